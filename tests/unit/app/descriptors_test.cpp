#include "app/descriptors.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace insula::app {
namespace {

TEST(descriptors, G65_connections_leave_what_others_need) {
    EXPECT_EQ(connections_that_fit(16384, 524288, 200, 1), 16384U);
    EXPECT_EQ(connections_that_fit(16384, 1024, 200, 1), 824U);
    EXPECT_EQ(connections_that_fit(16384, 1024, 200, 2), 412U) << "of each server";
    EXPECT_EQ(connections_that_fit(100, 1024, 200, 1), 100U) << "never more than was asked for";
    EXPECT_EQ(connections_that_fit(16384, std::numeric_limits<std::size_t>::max(), 200, 1), 16384U);
}

TEST(descriptors, G65_a_hopeless_limit_still_lets_somebody_in) {
    EXPECT_EQ(connections_that_fit(16384, 128, 200, 1), 16U);
    EXPECT_EQ(connections_that_fit(16384, 1024, 200, 0), 824U);
}

}  // namespace
}  // namespace insula::app
