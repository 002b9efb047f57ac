#include "queue/fair_clock.hpp"

#include <gtest/gtest.h>

namespace insula::queue::detail {
namespace {

using namespace std::chrono_literals;
using line = fair_clock::line;

const fair_clock::time_point start{1h};

line of(tenant_id tenant) {
    return {.tenant = tenant, .queue = 0, .priority = 0};
}

TEST(fair_clock, a_backlog_is_spread_over_the_time_ahead) {
    fair_clock turns;
    const line busy = of(tenant_id::make());
    for (int i = 0; i < 1000; ++i) {
        EXPECT_EQ(turns.lead(busy, 1, start), i * fair_clock::cost);
    }
}

TEST(fair_clock, G37_a_newcomer_goes_in_at_now) {
    fair_clock turns;
    const line busy = of(tenant_id::make());
    for (int i = 0; i < 1000; ++i) {
        turns.lead(busy, 1, start);
    }
    EXPECT_EQ(turns.lead(of(tenant_id::make()), 1, start), 0us);
    EXPECT_EQ(turns.lead({}, 1, start), 0us);  // nobody's runs are a line of their own
}

TEST(fair_clock, real_time_catches_up) {
    fair_clock turns;
    const line who = of(tenant_id::make());
    for (int i = 0; i < 100; ++i) {
        turns.lead(who, 1, start);
    }
    EXPECT_EQ(turns.lead(who, 1, start + 400ms), 600ms);
    EXPECT_EQ(turns.lead(who, 1, start + 1h), 0us);
    EXPECT_EQ(turns.lead(who, 1, start + 1h), fair_clock::cost);  // nothing was saved up
}

TEST(fair_clock, weight_is_a_share) {
    fair_clock turns;
    const line heavy = of(tenant_id::make());
    turns.lead(heavy, 4, start);
    EXPECT_EQ(turns.lead(heavy, 4, start), fair_clock::cost / 4);
    EXPECT_EQ(turns.lead(heavy, 0, start), fair_clock::cost / 2);  // nonsense counts as 1 …
    EXPECT_EQ(turns.lead(heavy, -3, start), fair_clock::cost * 3 / 2);
}

TEST(fair_clock, queues_and_priorities_are_lines_of_their_own) {
    fair_clock turns;
    const tenant_id tenant = tenant_id::make();
    turns.lead({tenant, 0, 0}, 1, start);
    EXPECT_EQ(turns.lead({tenant, 1, 0}, 1, start), 0us);
    EXPECT_EQ(turns.lead({tenant, 0, -1}, 1, start), 0us);
    EXPECT_EQ(turns.lead({tenant, 0, 0}, 1, start), fair_clock::cost);
}

TEST(fair_clock, leads_are_bounded) {
    fair_clock turns;
    const line who = of(tenant_id::make());
    std::chrono::microseconds last{0};
    for (int i = 0; i < 400'000; ++i) {
        last = turns.lead(who, 1, start);
    }
    EXPECT_EQ(last, fair_clock::lead_max);
}

TEST(fair_clock, memory_is_bounded_and_the_busiest_are_remembered) {
    fair_clock turns(100);
    const line busy = of(tenant_id::make());
    for (int i = 0; i < 50; ++i) {
        turns.lead(busy, 1, start);
    }
    for (int i = 0; i < 10'000; ++i) {
        turns.lead(of(tenant_id::make()), 1, start);
        ASSERT_LE(turns.size(), 100U);
    }
    EXPECT_EQ(turns.lead(busy, 1, start), 50 * fair_clock::cost);
}

}  // namespace
}  // namespace insula::queue::detail
