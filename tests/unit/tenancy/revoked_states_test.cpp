// A tenant that goes from a state it may stay in to one that passes, and back, while time goes by.
#include "tenancy/revoked_set.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace insula::tenancy {
namespace {

using kind = feed_change::kind;

class remembered_states : public testing::Test {
protected:
    static constexpr auto keep = std::chrono::minutes(20);

    void becomes(tenant_status status) {
        set_.apply({.what = kind::tenant,
                    .subject = who_.tenant->value(),
                    .version = {},
                    .status = status},
                   now_);
    }
    void later(std::chrono::minutes by) {
        now_ += by;
        set_.expire(now_);
    }
    static token::claims somebody() {
        token::claims who;
        who.subject = user_id::make();
        who.session = session_id::make();
        who.tenant = tenant_id::make();
        return who;
    }

    revoked_set set_{8, keep};
    revoked_set::time_point now_{std::chrono::hours(100)};
    token::claims who_ = somebody();
};

// Suspended tenants are kept for as long as they are suspended; a failure in between has a time,
// which must not take the suspension along when it is over.
TEST_F(remembered_states, G14_a_lasting_state_outlives_a_passing_one_before_it) {
    becomes(tenant_status::failed);
    EXPECT_EQ(set_.check(who_), verdict::not_ready);
    later(std::chrono::minutes(10));
    becomes(tenant_status::suspended);
    later(std::chrono::minutes(11));  // the failure would be forgotten now
    EXPECT_EQ(set_.check(who_), verdict::suspended);
    later(std::chrono::hours(24));
    EXPECT_EQ(set_.check(who_), verdict::suspended);
    becomes(tenant_status::ready);
    EXPECT_EQ(set_.check(who_), verdict::good);
    EXPECT_EQ(set_.size(), 0U);
}

TEST_F(remembered_states, G14_a_passing_state_behind_a_lasting_one_has_its_time) {
    becomes(tenant_status::suspended);
    later(std::chrono::hours(2));
    becomes(tenant_status::failed);
    later(keep - std::chrono::minutes(1));
    EXPECT_EQ(set_.check(who_), verdict::not_ready);
    later(std::chrono::minutes(2));
    EXPECT_EQ(set_.check(who_), verdict::good) << "no token is that old";
    EXPECT_EQ(set_.size(), 0U);
}

TEST_F(remembered_states, a_tenant_that_is_ready_again_is_good_while_it_is_remembered) {
    becomes(tenant_status::provisioning);
    becomes(tenant_status::ready);
    EXPECT_EQ(set_.check(who_), verdict::good);
    later(keep + std::chrono::minutes(1));
    EXPECT_EQ(set_.size(), 0U);
}

// Against a memory that forgets nothing: what was said last within the time counts, and room is
// given back.
TEST_F(remembered_states, G14_any_order_of_states_and_times_is_judged_by_the_last_one) {
    constexpr std::array states{tenant_status::ready,     tenant_status::failed,
                                tenant_status::suspended, tenant_status::provisioning,
                                tenant_status::deleting,  tenant_status::pending_deletion};
    std::mt19937 random(20261123);
    for (int round = 0; round < 2'000; ++round) {
        who_ = somebody();
        tenant_status last = tenant_status::ready;
        auto at = now_;
        for (int i = 0; i < 12; ++i) {
            last = states[random() % states.size()];
            at = now_;
            becomes(last);
            later(std::chrono::minutes(random() % 30));
            const bool lasting = last == tenant_status::suspended ||
                                 last == tenant_status::deleting ||
                                 last == tenant_status::pending_deletion;
            const bool known = lasting || now_ < at + keep;
            const auto found = set_.check(who_);
            if (known || last == tenant_status::ready) {
                EXPECT_EQ(found == verdict::good, last == tenant_status::ready) << round;
            } else {
                EXPECT_EQ(found, verdict::good) << round;
            }
        }
        becomes(tenant_status::ready);
        later(keep * 2);
        ASSERT_EQ(set_.size(), 0U) << round;
    }
}

}  // namespace
}  // namespace insula::tenancy
