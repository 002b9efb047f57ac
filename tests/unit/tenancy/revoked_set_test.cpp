#include "tenancy/revoked_set.hpp"

#include <gtest/gtest.h>

namespace insula::tenancy {
namespace {

using namespace std::chrono_literals;
using kind = feed_change::kind;

class remembered : public testing::Test {
protected:
    static constexpr std::size_t most = 8;
    static constexpr auto keep = std::chrono::minutes(20);

    static token::claims somebody() {
        token::claims who;
        who.subject = user_id::make();
        who.session = session_id::make();
        who.session_version = 3;
        who.tenant = tenant_id::make();
        who.role = token::role::member;
        return who;
    }
    void session(const token::claims& who, std::optional<std::int64_t> version) {
        set_.apply({.subject = who.session.value(), .version = version}, now_);
    }
    void tenant(const token::claims& who, tenant_status status) {
        set_.apply(
            {.what = kind::tenant, .subject = who.tenant->value(), .version = {}, .status = status},
            now_);
    }
    void account(const user_id& who, bool closed) {
        set_.apply({.what = kind::account,
                    .subject = who.value(),
                    .version = {},
                    .status = tenant_status::ready,
                    .closed = closed},
                   now_);
    }

    revoked_set set_{most, keep};
    revoked_set::time_point now_{std::chrono::hours(100)};
    token::claims who_ = somebody();
};

TEST_F(remembered, nothing_speaks_against_somebody_nobody_has_spoken_of) {
    EXPECT_EQ(set_.check(who_), verdict::good);
    session(somebody(), {});
    tenant(somebody(), tenant_status::suspended);
    account(user_id::make(), true);
    EXPECT_EQ(set_.check(who_), verdict::good);
    EXPECT_EQ(set_.size(), 3U);
}

TEST_F(remembered, an_ended_session_is_over_for_good) {
    session(who_, {});
    EXPECT_EQ(set_.check(who_), verdict::over);
    session(who_, 3);
    EXPECT_EQ(set_.check(who_), verdict::over);
}

TEST_F(remembered, a_raised_version_refuses_older_tokens_only) {
    session(who_, 3);
    EXPECT_EQ(set_.check(who_), verdict::good);
    session(who_, 4);
    EXPECT_EQ(set_.check(who_), verdict::over);
    who_.session_version = 4;
    EXPECT_EQ(set_.check(who_), verdict::good);
}

TEST_F(remembered, a_tenants_state_is_the_last_that_was_said) {
    tenant(who_, tenant_status::suspended);
    EXPECT_EQ(set_.check(who_), verdict::suspended);
    tenant(who_, tenant_status::pending_deletion);
    EXPECT_EQ(set_.check(who_), verdict::pending_deletion);
    tenant(who_, tenant_status::deleting);
    EXPECT_EQ(set_.check(who_), verdict::not_ready);
    tenant(who_, tenant_status::ready);
    EXPECT_EQ(set_.check(who_), verdict::good);
    EXPECT_EQ(set_.size(), 0U);
    who_.tenant.reset();
    EXPECT_EQ(set_.check(who_), verdict::good);
}

TEST_F(remembered, a_closed_account_is_out_as_itself_and_as_the_operator_behind_another) {
    const auto its_own = who_.subject;
    account(its_own, true);
    EXPECT_EQ(set_.check(who_), verdict::over);
    auto assumed = somebody();
    assumed.actor = its_own;
    EXPECT_EQ(set_.check(assumed), verdict::over);
    account(its_own, false);
    EXPECT_EQ(set_.check(who_), verdict::good);
    EXPECT_EQ(set_.check(assumed), verdict::good);
}

TEST_F(remembered, what_no_living_token_can_name_is_forgotten_and_lasting_states_are_not) {
    session(who_, {});
    account(user_id::make(), true);
    tenant(somebody(), tenant_status::failed);
    tenant(who_, tenant_status::suspended);
    set_.expire(now_ + keep - 1ms);
    EXPECT_EQ(set_.size(), 4U);
    EXPECT_EQ(set_.check(who_), verdict::over);
    now_ += 1min;
    session(who_, {});  // said again: kept from now on
    set_.expire(now_ + keep - 1min);
    EXPECT_EQ(set_.size(), 2U);
    EXPECT_EQ(set_.check(who_), verdict::over);
    set_.expire(now_ + keep);
    EXPECT_EQ(set_.check(who_), verdict::suspended);
    set_.expire(now_ + 24h);
    EXPECT_EQ(set_.check(who_), verdict::suspended);
}

TEST_F(remembered, G65_what_does_not_fit_makes_it_incomplete_until_it_is_out_of_date) {
    std::vector<token::claims> all;
    for (std::size_t i = 0; i < most; ++i) {
        all.push_back(somebody());
        session(all.back(), {});
    }
    EXPECT_LE(set_.incomplete_until(), now_);
    session(who_, {});
    EXPECT_EQ(set_.size(), most);
    EXPECT_EQ(set_.check(who_), verdict::good) << "it is not there: nobody may rely on this";
    EXPECT_EQ(set_.incomplete_until(), now_ + keep);
    for (const auto& one : all) {
        EXPECT_EQ(set_.check(one), verdict::over);
    }
    set_.expire(now_ + keep);
    EXPECT_EQ(set_.size(), 0U);
}

TEST_F(remembered, G65_the_same_again_and_again_takes_the_room_of_one) {
    const auto closed = user_id::make();
    const auto other = somebody();
    for (int i = 0; i < 1000; ++i) {
        now_ += 1s;
        session(who_, 4 + i);
        account(closed, true);
        account(closed, false);
        account(closed, true);
        tenant(other, tenant_status::failed);
        tenant(other, tenant_status::suspended);
        tenant(other, tenant_status::ready);
        tenant(other, tenant_status::failed);
        set_.expire(now_);
    }
    EXPECT_EQ(set_.size(), 3U);
    EXPECT_EQ(set_.incomplete_until(), revoked_set::time_point::min());
    who_.session_version = 1002;
    // Kept from when it was said last.
    set_.expire(now_ + keep - 1ms);
    EXPECT_EQ(set_.check(who_), verdict::over);
    EXPECT_EQ(set_.size(), 3U);
    set_.expire(now_ + keep);
    EXPECT_EQ(set_.size(), 0U);
}

TEST_F(remembered, a_lasting_state_that_does_not_fit_is_missing_until_all_is_read_afresh) {
    for (std::size_t i = 0; i < most; ++i) {
        session(somebody(), {});
    }
    tenant(who_, tenant_status::suspended);
    EXPECT_EQ(set_.incomplete_until(), revoked_set::time_point::max());
}

TEST_F(remembered, the_cost_of_a_check) {
    revoked_set full(200'000, keep);
    for (int i = 0; i < 50'000; ++i) {
        full.apply({.subject = session_id::make().value(), .version = {}}, now_);
        full.apply({.what = kind::tenant,
                    .subject = tenant_id::make().value(),
                    .version = {},
                    .status = tenant_status::suspended},
                   now_);
    }
    constexpr int rounds = 200'000;
    int good = 0;
    const auto began = runtime::steady_clock::now();
    for (int i = 0; i < rounds; ++i) {
        good += full.check(who_) == verdict::good ? 1 : 0;
    }
    const auto each = (runtime::steady_clock::now() - began) / rounds;
    EXPECT_EQ(good, rounds);
    RecordProperty("nanoseconds", std::to_string(each.count()));
    EXPECT_LT(each, 50us);
}

}  // namespace
}  // namespace insula::tenancy
