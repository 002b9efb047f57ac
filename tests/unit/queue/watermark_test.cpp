#include "queue/watermark.hpp"

#include <gtest/gtest.h>

namespace insula::queue::detail {
namespace {

using namespace std::chrono_literals;

const watermark::time_point start{1h};
const place lowest{};

TEST(watermark, an_idle_engine_looks_at_everything) {
    watermark mark;
    EXPECT_EQ(mark.from(start), lowest);
    mark.looked(lowest, place{0, 100}, false, start, 100ms);
    EXPECT_EQ(mark.from(start), lowest);
    mark.looked(lowest, std::nullopt, false, start, 100ms);
    EXPECT_EQ(mark.from(start), lowest);
}

TEST(watermark, a_busy_one_goes_on_where_it_was) {
    watermark mark;
    mark.looked(lowest, place{0, 100}, true, start, 100ms);
    EXPECT_EQ(mark.from(start + 1ms), (place{0, 100}));
    mark.looked({0, 100}, place{1, 7}, true, start + 2ms, 1ms);
    EXPECT_EQ(mark.from(start + 3ms), (place{1, 7}));
}

TEST(watermark, a_short_claim_is_followed_by_a_full_look) {
    watermark mark;
    mark.looked(lowest, place{0, 100}, true, start, 100ms);
    mark.looked({0, 100}, place{0, 200}, false, start + 2ms, 1ms);
    EXPECT_EQ(mark.from(start + 3ms), lowest);
}

TEST(watermark, there_is_a_full_look_each_second_however_long_it_takes) {
    watermark mark;
    mark.looked(lowest, place{0, 100}, true, start, 10s);
    EXPECT_EQ(mark.from(start + 999ms), (place{0, 100}));
    EXPECT_EQ(mark.from(start + 1s), lowest);
    for (auto now = start; now < start + 900ms; now += 10ms) {
        mark.looked({0, 100}, place{0, 200}, true, now, 1ms);  // these do not put it off
    }
    EXPECT_EQ(mark.from(start + 1s), lowest);
}

TEST(watermark, cheap_full_looks_are_frequent) {
    watermark mark;
    mark.looked(lowest, place{0, 100}, true, start, 1ms);
    EXPECT_EQ(mark.from(start + 19ms), (place{0, 100}));
    EXPECT_EQ(mark.from(start + 20ms), lowest);
}

TEST(watermark, where_nothing_is_dead_every_look_is_a_full_one) {
    watermark mark;
    mark.looked(lowest, place{0, 100}, true, start, 3ms);
    mark.looked({0, 100}, place{0, 200}, true, start + 1ms, 2ms);
    mark.looked(lowest, place{0, 300}, true, start + 60ms, 2ms);
    EXPECT_EQ(mark.from(start + 60ms), lowest);
    mark.looked(lowest, place{0, 400}, true, start + 62ms, 2500us);  // half a millisecond more
    EXPECT_EQ(mark.from(start + 71ms), (place{0, 400}));
    EXPECT_EQ(mark.from(start + 72ms), lowest);
}

TEST(watermark, a_full_look_that_finds_something_smaller_goes_on_from_there) {
    watermark mark;
    mark.looked(lowest, place{0, 500}, true, start, 100ms);
    mark.looked(lowest, place{-1, 900}, true, start + 1s, 100ms);
    EXPECT_EQ(mark.from(start + 1s), (place{-1, 900}));
}

}  // namespace
}  // namespace insula::queue::detail
