// What a process knows of revocations: read from the feed on a connection of its own, and what it
// does when it cannot read, missed something, or has no room.
#include "insula/tenancy/revocations.hpp"

#include "support/gate.hpp"
#include "support/service/installed_database.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using tenancy::verdict;

class revocations : public testing::Test {
protected:
    ~revocations() override {
        if (revoked_) {
            loop_.await(revoked_->stop());
        }
    }
    tenancy::revocations_options usual() {
        // Through the gate, so that the connection can be taken away.
        auto conninfo = database_.conninfo(database_.roles().app());
        return {.conninfo = conninfo + " host='" + gate_.folder() + "' port=5432"};
    }
    bool start(tenancy::revocations_options options, std::chrono::milliseconds limit = 5s) {
        revoked_ = std::make_unique<tenancy::revocations>(loop_.get(), std::move(options), budget_,
                                                          metrics_);
        return loop_.await(revoked_->start(
            [this](runtime::deadline) -> runtime::awaitable<bool> { return reload(); },
            runtime::deadline::after(limit)));
    }
    runtime::awaitable<bool> reload() {
        ++reloads_;
        co_return keys_open_.load();
    }
    token::claims claims_of(const installed_database::tenant& who) {
        token::claims claims;
        claims.subject = who.owner;
        claims.session = who.session;
        claims.session_version = 1;
        claims.tenant = who.id;
        claims.role = token::role::owner;
        return claims;
    }
    void catch_up(std::chrono::milliseconds limit = 5s) {
        loop_.await(revoked_->catch_up(runtime::deadline::after(limit)));
    }
    void end(const session_id& session) {
        database_.raw().query_admin("select control.end_session('" + session.str() + "', 'test')");
    }
    void set_status(const tenant_id& tenant, const std::string& status) {
        database_.raw().query_admin("update control.tenant set status = '" + status +
                                    "' where id = '" + tenant.str() + "'");
    }
    session_id another_session(const installed_database::tenant& who) {
        const auto made = session_id::make();
        database_.raw().query_admin(
            fmt::format("insert into control.session (id, user_id, tenant_id, expires_at)"
                        " values ('{}', '{}', '{}', now() + interval '1 day')",
                        made.str(), who.owner.str(), who.id.str()));
        return made;
    }
    template <class F>
    void wait_until(std::string_view what, F&& is_true) {
        const auto until = std::chrono::steady_clock::now() + 10s;
        while (!is_true()) {
            ASSERT_LT(std::chrono::steady_clock::now(), until) << "waited in vain for " << what;
            std::this_thread::sleep_for(2ms);
        }
    }

    installed_database database_;
    gate gate_{database_.raw().home()};
    running_loop loop_;
    running_loop other_loop_;
    observe::metrics metrics_;
    pg::connection_budget budget_{4};
    std::atomic<int> reloads_{0};
    std::atomic<bool> keys_open_{true};
    std::unique_ptr<tenancy::revocations> revoked_;
    installed_database::tenant a_ = database_.make_tenant(0, "aaa");
    installed_database::tenant b_ = database_.make_tenant(0, "bbb");
};

TEST_F(revocations, it_begins_with_what_was_revoked_before) {
    end(a_.session);
    set_status(b_.id, "suspended");
    ASSERT_TRUE(start(usual()));
    EXPECT_FALSE(revoked_->silent());
    EXPECT_EQ(revoked_->check(claims_of(a_)), verdict::over);
    EXPECT_EQ(revoked_->check(claims_of(b_)), verdict::suspended);
    EXPECT_GE(reloads_, 1);
}

TEST_F(revocations, a_lasting_state_is_known_however_old_it_is) {
    set_status(b_.id, "suspended");
    end(a_.session);
    database_.raw().query_admin(
        "update control.feed_batch set numbered_at = now() - interval '30 minutes'");
    ASSERT_TRUE(start(usual()));
    EXPECT_EQ(revoked_->check(claims_of(b_)), verdict::suspended);
    EXPECT_EQ(revoked_->check(claims_of(a_)), verdict::good) << "no token is that old";
    EXPECT_EQ(revoked_->entries(), 1U);
}

TEST_F(revocations, G14_whoever_catches_up_knows_of_everything_committed_before) {
    ASSERT_TRUE(start(usual()));
    for (int i = 0; i < 50; ++i) {
        auto claims = claims_of(a_);
        claims.session = another_session(a_);
        EXPECT_EQ(revoked_->check(claims), verdict::good);
        end(claims.session);
        // From its own loop and from another one.
        auto& from = i % 2 == 0 ? loop_ : other_loop_;
        from.await(revoked_->catch_up(runtime::deadline::after(5s)));
        EXPECT_EQ(revoked_->check(claims), verdict::over);
        EXPECT_FALSE(revoked_->silent());
    }
}

TEST_F(revocations, G14_a_notification_wakes_it_long_before_it_would_look) {
    auto options = usual();
    options.look_every = 60s;
    options.silent_after = 120s;
    ASSERT_TRUE(start(options));
    end(a_.session);
    wait_until("the notification to be followed",
               [&] { return revoked_->check(claims_of(a_)) == verdict::over; });
    const auto reloads = reloads_.load();
    database_.raw().query_admin(
        "insert into control.signing_key (kid, algorithm, state, sealed_private)"
        " values ('one', 'ES256', 'active', '')");
    wait_until("the keys to be read again", [&] { return reloads_ > reloads; });
}

TEST_F(revocations, G14_without_its_connection_it_is_silent_within_a_second_and_heals) {
    for (const auto how : {gate::mode::hold, gate::mode::refuse}) {
        gate_.set(gate::mode::pass);
        if (!revoked_) {
            ASSERT_TRUE(start(usual()));
        }
        wait_until("the feed to be heard", [&] { return !revoked_->silent(); });
        const auto session = another_session(a_);
        gate_.set(how);
        const auto cut = std::chrono::steady_clock::now();
        end(session);
        auto claims = claims_of(a_);
        claims.session = session;
        wait_until("silence", [&] { return revoked_->silent(); });
        EXPECT_LT(std::chrono::steady_clock::now() - cut, 1100ms);
        gate_.set(gate::mode::pass);
        wait_until("the feed to be heard again", [&] { return !revoked_->silent(); });
        EXPECT_EQ(revoked_->check(claims), verdict::over) << "heard, but not of what happened";
    }
}

TEST_F(revocations, G14_whoever_cannot_catch_up_makes_it_silent) {
    ASSERT_TRUE(start(usual()));
    EXPECT_FALSE(revoked_->silent());
    gate_.set(gate::mode::hold);
    end(a_.session);
    const auto began = std::chrono::steady_clock::now();
    catch_up(100ms);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 900ms);
    EXPECT_TRUE(revoked_->silent());
    gate_.set(gate::mode::pass);
    wait_until("the feed to be heard again", [&] { return !revoked_->silent(); });
    EXPECT_EQ(revoked_->check(claims_of(a_)), verdict::over);
}

TEST_F(revocations, one_that_was_never_started_answers_at_once_and_is_silent) {
    tenancy::revocations idle(loop_.get(), usual(), budget_, metrics_);
    loop_.await(idle.catch_up(runtime::deadline::never()));
    EXPECT_TRUE(idle.silent());
    EXPECT_FALSE(loop_.await(idle.look_again(runtime::deadline::never())));
}

TEST_F(revocations, keys_that_cannot_be_read_keep_it_silent_until_they_can) {
    keys_open_ = false;
    EXPECT_FALSE(start(usual(), 300ms));
    EXPECT_TRUE(revoked_->silent());
    keys_open_ = true;
    wait_until("the feed to be heard", [&] { return !revoked_->silent(); });
    const auto before = reloads_.load();
    keys_open_ = false;
    database_.raw().query_admin(
        "insert into control.signing_key (kid, algorithm, state, sealed_private)"
        " values ('one', 'ES256', 'active', '')");
    catch_up();
    EXPECT_TRUE(revoked_->silent()) << "a key may be revoked, and it is not known which";
    EXPECT_GT(reloads_, before);
    keys_open_ = true;
    wait_until("the feed to be heard again", [&] { return !revoked_->silent(); });
}

TEST_F(revocations, numbers_that_are_missing_or_went_back_are_read_afresh) {
    auto options = usual();
    options.look_every = 20ms;
    ASSERT_TRUE(start(options));
    const auto loads = [&] { return metrics_.counter("insula_feed_loads_total", "").value(); };
    auto before = loads();
    // Cleaned away before it was read: it was stopped for an hour. What counts is still there.
    auto claims = claims_of(a_);
    claims.session = another_session(a_);
    gate_.set(gate::mode::hold);
    end(a_.session);
    database_.raw().query_admin("delete from control.feed_batch");
    end(claims.session);
    gate_.set(gate::mode::pass);
    wait_until("a load", [&] { return loads() > before; });
    wait_until("the feed to be heard", [&] { return !revoked_->silent(); });
    EXPECT_EQ(revoked_->check(claims), verdict::over);
    // An older state of the database was restored.
    before = loads();
    database_.raw().query_admin(
        "delete from control.feed_batch; update control.feed_counter set"
        " last = 1");
    wait_until("a load", [&] { return loads() > before; });
    const auto last = another_session(b_);
    end(last);
    catch_up();
    claims = claims_of(b_);
    claims.session = last;
    EXPECT_EQ(revoked_->check(claims), verdict::over);
}

TEST_F(revocations, a_hole_that_stays_is_no_reason_to_hurry) {
    for (int i = 0; i < 3; ++i) {
        end(another_session(a_));
    }
    database_.raw().query_admin("delete from control.feed_batch where number = 2");
    const auto failed = [&] {
        return metrics_.counter("insula_feed_looks_total", "", {{"outcome", "failed"}}).value();
    };
    auto options = usual();
    options.look_every = 100ms;
    EXPECT_FALSE(start(options, 1ms));
    wait_until("a look", [&] { return failed() > 2; });
    const auto began = std::chrono::steady_clock::now();
    const auto before = failed();
    wait_until("five more", [&] { return failed() >= before + 5; });
    EXPECT_GT(std::chrono::steady_clock::now() - began, 300ms);
    EXPECT_TRUE(revoked_->silent());
    database_.raw().query_admin("delete from control.feed_batch where number = 1");
    wait_until("the feed to be heard", [&] { return !revoked_->silent(); });
}

TEST_F(revocations, G14_with_a_wrong_clock_the_database_decides) {
    manual_clock clock(now());
    auto options = usual();
    options.clock = &clock;
    ASSERT_TRUE(start(options));
    for (const auto apart : {-3min, 3min}) {
        clock.set(now() + apart);
        catch_up();
        EXPECT_TRUE(revoked_->silent()) << apart.count();
        clock.set(now() + apart / 2);
        wait_until("the feed to be heard", [&] { return !revoked_->silent(); });
    }
    loop_.await(revoked_->stop());  // before its clock
    revoked_.reset();
}

TEST_F(revocations, G65_beyond_its_room_the_database_decides_and_it_recovers) {
    auto options = usual();
    options.entries_max = 100;
    options.keep = 2s;
    options.look_every = 20ms;
    ASSERT_TRUE(start(options));
    const auto end_many = [&](int count) {
        database_.raw().query_admin(fmt::format(
            "with made as (insert into control.session (id, user_id, tenant_id, expires_at)"
            " select gen_random_uuid(), '{}', '{}', now() + interval '1 day'"
            " from generate_series(1, {}))"
            " select 1",
            a_.owner.str(), a_.id.str(), count));
        database_.raw().query_admin(fmt::format(
            "select control.end_member_sessions('{}', '{}', 'test')", a_.id.str(), a_.owner.str()));
        catch_up();
    };
    end_many(90);  // and the tenant's own
    EXPECT_EQ(revoked_->entries(), 91U);
    EXPECT_FALSE(revoked_->silent());
    end_many(50);
    EXPECT_EQ(revoked_->entries(), 100U);
    EXPECT_TRUE(revoked_->silent());
    EXPECT_EQ(revoked_->check(claims_of(a_)), verdict::over);
    wait_until("room again", [&] { return !revoked_->silent() && revoked_->entries() == 0; });
    end_many(1000);  // more at once than there is room for: read over
    EXPECT_EQ(revoked_->entries(), 0U);
    EXPECT_TRUE(revoked_->silent());
    wait_until("room again", [&] { return !revoked_->silent(); });
}

TEST_F(revocations, G14_ten_thousand_at_once_are_heard_within_a_second) {
    ASSERT_TRUE(start(usual()));
    database_.raw().query_admin(
        fmt::format("insert into control.session (id, user_id, tenant_id, expires_at)"
                    " select gen_random_uuid(), '{}', '{}', now() + interval '1 day'"
                    " from generate_series(1, 10000)",
                    a_.owner.str(), a_.id.str()));
    database_.raw().query_admin(fmt::format("select control.end_member_sessions('{}', '{}', 'x')",
                                            a_.id.str(), a_.owner.str()));
    const auto began = std::chrono::steady_clock::now();
    wait_until("an answer", [&] {
        return revoked_->silent() || revoked_->check(claims_of(a_)) == verdict::over;
    });
    EXPECT_LT(std::chrono::steady_clock::now() - began, 1100ms);
    wait_until("all of it", [&] { return revoked_->entries() == 10'001U; });
}

TEST_F(revocations, strangers_share_looks_and_there_are_few) {
    ASSERT_TRUE(start(usual()));
    const auto looks = [&] {
        return metrics_.counter("insula_feed_looks_total", "", {{"outcome", "heard"}}).value();
    };
    const auto before = looks();
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 30; ++i) {
        EXPECT_TRUE(loop_.await(revoked_->look_again(runtime::deadline::after(5s))));
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    EXPECT_LE(looks() - before, took.count() * 54 + 2);
}

}  // namespace
}  // namespace insula::test
