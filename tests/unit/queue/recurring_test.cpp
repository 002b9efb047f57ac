#include "insula/queue/recurring.hpp"

#include <gtest/gtest.h>

namespace insula::queue {
namespace {

using namespace std::chrono_literals;

TEST(schedule, says_when_in_words_that_the_database_reads) {
    EXPECT_EQ(schedule::every(300s).str(), "every 300000 ms");
    EXPECT_EQ(schedule::every(1ms).str(), "every 1 ms");
    EXPECT_EQ(schedule::daily_at(3h + 5min).str(), "daily 03:05");
    EXPECT_EQ(schedule::daily_at(0min).str(), "daily 00:00");
    EXPECT_EQ(schedule::daily_at(23h + 59min).str(), "daily 23:59");
}

TEST(schedule, refuses_what_never_or_always_is) {
    EXPECT_THROW(schedule::every(0ms), std::invalid_argument);
    EXPECT_THROW(schedule::daily_at(24h), std::invalid_argument);
    EXPECT_THROW(schedule::daily_at(-1min), std::invalid_argument);
}

}  // namespace
}  // namespace insula::queue
