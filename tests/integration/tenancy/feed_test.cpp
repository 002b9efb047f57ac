// The feed in the database: everything that revokes is in it, in the order of commits, without
// gaps, and nobody stands in anybody's way.
#include "support/service/installed_database.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <set>
#include <thread>

namespace insula::test {
namespace {

using clock_type = std::chrono::steady_clock;

class feed : public testing::Test {
protected:
    /// kind, subject, value of everything behind that number.
    rows since(const std::string& number) {
        return database_.raw().query_admin(
            "select f.kind, coalesce(f.subject::text, ''), coalesce(f.value, '')"
            " from control.feed_batch b join control.feed_change f using (xact, began_at)"
            " where b.number > " +
            number + " order by b.number");
    }
    std::string last() {
        return database_.raw().value_admin("select last from control.feed_counter");
    }
    /// What one statement of the service's login adds.
    rows adds(const std::string& statement) {
        const auto before = last();
        app_.query(statement);
        return since(before);
    }
    std::string add_sessions(const installed_database::tenant& of, int count) {
        return database_.raw().value_admin(fmt::format(
            "with made as (insert into control.session (id, user_id, tenant_id, expires_at)"
            " select gen_random_uuid(), '{}', '{}', now() + interval '1 day'"
            " from generate_series(1, {}) returning id) select min(id::text) from made",
            of.owner.str(), of.id.str(), count));
    }

    installed_database database_;
    sql_connection app_{database_.conninfo(database_.roles().app())};
    installed_database::tenant tenant_ = database_.make_tenant(0, "first");
};

TEST_F(feed, sessions_tenants_accounts_and_keys_are_in_it_whoever_changes_them) {
    const auto session = tenant_.session.str();
    EXPECT_EQ(adds("update control.session set last_used_at = now() where id = '" + session + "'"),
              rows());
    EXPECT_EQ(adds(fmt::format("select control.age_member_sessions('{}', '{}')", tenant_.id.str(),
                               tenant_.owner.str())),
              (rows{{"session", session, "2"}}));
    EXPECT_EQ(adds("select control.end_session('" + session + "', 'test')"),
              (rows{{"session", session, ""}}));
    EXPECT_EQ(adds("select control.end_session('" + session + "', 'test')"), rows());
    const auto id = tenant_.id.str();
    EXPECT_EQ(adds("update control.tenant set name = 'another' where id = '" + id + "'"), rows());
    EXPECT_EQ(adds("select control.change_tenant_status('" + id + "', 'ready', 'suspended')"),
              (rows{{"tenant", id, "suspended"}}));
    EXPECT_EQ(adds("insert into control.signing_key (kid, algorithm, state, sealed_private)"
                   " values ('one', 'ES256', 'active', '')"),
              (rows{{"key", "", "one"}}));
    EXPECT_EQ(adds("update control.signing_key set state = 'revoked' where kid = 'one'"),
              (rows{{"key", "", "one"}}));
}

TEST_F(feed, an_account_that_is_closed_takes_its_sessions_with_it) {
    const auto owner = tenant_.owner.str();
    const auto found = adds("update control.account set active = false where id = '" + owner + "'");
    EXPECT_EQ(
        std::set<row>(found.begin(), found.end()),
        (std::set<row>{{"account", owner, "closed"}, {"session", tenant_.session.str(), ""}}));
    EXPECT_EQ(adds("update control.account set active = true where id = '" + owner + "'"),
              (rows{{"account", owner, "open"}}));
    EXPECT_EQ(adds("update control.account set full_name = 'x' where id = '" + owner + "'"),
              rows());
}

TEST_F(feed, nobody_but_the_triggers_writes_it) {
    EXPECT_EQ(app_.outcome("insert into control.feed_batch default values"), "42501");
    EXPECT_EQ(app_.outcome("update control.feed_counter set last = 0"), "42501");
    EXPECT_EQ(app_.outcome("delete from control.feed_change"), "42501");
    EXPECT_EQ(app_.outcome("select control.add_to_feed('session', null, null)"), "42501");
    EXPECT_EQ(app_.outcome("select control.clean_feed(1)"), "42501");
    sql_connection worker(database_.conninfo(database_.roles().worker()));
    EXPECT_EQ(worker.outcome("select control.clean_feed(1)"), "00000");
    EXPECT_EQ(worker.outcome("update control.feed_counter set last = 0"), "42501");
}

TEST_F(feed, what_is_rolled_back_to_a_savepoint_is_not_in_it_and_the_rest_is) {
    const auto other = add_sessions(tenant_, 1);
    const auto before = last();
    app_.query("begin; savepoint a; select control.end_session('" + tenant_.session.str() +
               "', 'test'); rollback to a; select control.end_session('" + other +
               "', 'test'); savepoint b; update control.tenant set status = 'suspended' where id ="
               " '" +
               tenant_.id.str() + "'; rollback to b; commit");
    EXPECT_EQ(since(before), (rows{{"session", other, ""}}));
    EXPECT_EQ(std::stoi(last()), std::stoi(before) + 1);
}

TEST_F(feed, ten_thousand_sessions_end_in_one_transaction_with_one_number) {
    add_sessions(tenant_, 10'000);
    const auto before = last();
    const auto began = clock_type::now();
    app_.query(fmt::format("select control.end_member_sessions('{}', '{}', 'test')",
                           tenant_.id.str(), tenant_.owner.str()));
    const auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(clock_type::now() - began);
    RecordProperty("milliseconds", std::to_string(took.count()));
    EXPECT_EQ(since(before).size(), 10'001U);
    EXPECT_EQ(std::stoi(last()), std::stoi(before) + 1);
    // Linear: about 60 microseconds each where this was written. Squared it would be minutes.
    EXPECT_LT(took, std::chrono::seconds(10));
    // The lock that everybody shares is held for the commit only.
    EXPECT_EQ(database_.raw().value_admin("select max(changes) from control.feed_batch"), "10001");
}

/// Many at once, some of which give up; one who reads as a process does.
TEST_F(feed, G14_numbers_come_in_the_order_of_commits_and_a_reader_misses_none) {
    constexpr int writers = 8;
    constexpr int rounds = 60;
    std::vector<std::vector<std::string>> sessions(writers);
    for (auto& own : sessions) {
        for (const auto& made : database_.raw().query_admin(fmt::format(
                 "insert into control.session (id, user_id, tenant_id, expires_at) select"
                 " gen_random_uuid(), '{}', '{}', now() + interval '1 day'"
                 " from generate_series(1, {}) returning id",
                 tenant_.owner.str(), tenant_.id.str(), 3 * rounds))) {
            own.push_back(made.front());
        }
    }
    std::atomic<bool> done{false};
    std::vector<std::set<std::string>> committed(writers);
    std::vector<std::string> failures(writers);
    std::vector<std::thread> threads;
    for (std::size_t w = 0; w < writers; ++w) {
        threads.emplace_back([&, w] {
            try {
                sql_connection own(database_.conninfo(database_.roles().app()));
                std::mt19937 random(static_cast<unsigned>(w));
                for (std::size_t i = 0; i < rounds; ++i) {
                    const bool gives_up = random() % 4 == 0;
                    std::string text = "begin;";
                    const auto count = random() % 4;
                    for (std::size_t k = 0; k < count; ++k) {
                        text += "select control.end_session('" + sessions[w][3 * i + k % 3] +
                                "', 'test');";
                        if (random() % 8 == 0) {
                            text += "select pg_sleep(0.003);";
                        }
                    }
                    own.query(text + (gives_up ? "rollback" : "commit"));
                    for (std::size_t k = 0; k < count && !gives_up; ++k) {
                        committed[w].insert(sessions[w][3 * i + k % 3]);
                    }
                }
            } catch (const std::exception& e) {
                failures[w] = e.what();
            }
        });
    }
    std::set<std::string> seen;
    std::int64_t at = std::stoll(last());
    std::string missed;
    std::thread reader([&] {
        sql_connection own(database_.conninfo(database_.roles().app()));
        for (bool last_look = false; !last_look;) {
            last_look = done;
            for (const auto& found : own.query(fmt::format(
                     "select b.number, f.subject from control.feed_batch b join control.feed_change"
                     " f using (xact, began_at) where b.number > {} order by b.number",
                     at))) {
                const auto number = std::stoll(found[0]);
                if (number != at && number != at + 1) {
                    missed += fmt::format(" {} after {}", number, at);
                }
                at = number;
                seen.insert(found[1]);
            }
        }
    });
    for (auto& thread : threads) {
        thread.join();
    }
    done = true;
    reader.join();
    std::set<std::string> all;
    for (std::size_t w = 0; w < writers; ++w) {
        EXPECT_EQ(failures[w], "");
        all.insert(committed[w].begin(), committed[w].end());
    }
    EXPECT_EQ(missed, "");
    EXPECT_GT(all.size(), 100U);
    EXPECT_EQ(seen, all);
    EXPECT_EQ(std::to_string(at), last());
}

TEST_F(feed, old_rows_go_and_the_numbers_go_on) {
    add_sessions(tenant_, 3);
    app_.query(fmt::format("select control.end_member_sessions('{}', '{}', 'test')",
                           tenant_.id.str(), tenant_.owner.str()));
    const auto before = last();
    database_.raw().query_admin(
        "update control.feed_batch set numbered_at = now() - interval '61 minutes'");
    app_.query("select control.change_tenant_status('" + tenant_.id.str() +
               "', 'ready', 'suspended')");
    sql_connection worker(database_.conninfo(database_.roles().worker()));
    worker.query("select control.clean_feed(1)");
    EXPECT_EQ(database_.raw().value_admin("select min(number) from control.feed_batch"), "2")
        << "the oldest first";
    worker.query("select control.clean_feed(1000)");
    EXPECT_EQ(database_.raw().value_admin("select count(*) from control.feed_batch"), "1");
    EXPECT_EQ(database_.raw().value_admin("select count(*) from control.feed_change"), "1");
    EXPECT_EQ(std::stoi(last()), std::stoi(before) + 1);
}

TEST_F(feed, what_a_fast_clock_wrote_keeps_what_follows_it) {
    for (int i = 0; i < 6; ++i) {
        app_.query(
            fmt::format("select control.end_session('{}', 'test')", add_sessions(tenant_, 1)));
    }
    database_.raw().query_admin(
        "update control.feed_batch set numbered_at = now() + case when number = 3"
        " then interval '2 hours' else interval '-61 minutes' end");
    sql_connection worker(database_.conninfo(database_.roles().worker()));
    worker.query("select control.clean_feed(1000)");
    // No hole: a reader that begins before one would begin for ever.
    EXPECT_EQ(database_.raw().value_admin(
                  "select string_agg(number::text, ' ' order by number) from control.feed_batch"),
              "3 4 5 6 7");
}

TEST_F(feed, a_key_that_has_retired_is_revoked_and_forgotten_in_its_time) {
    const auto add = [&](const std::string& kid, const std::string& state, const std::string& age) {
        database_.raw().query_admin(
            "insert into control.signing_key (kid, algorithm, state, sealed_private, changed_at)"
            " values ('" +
            kid + "', 'ES256', '" + state + "', '', now() - interval '" + age + "')");
    };
    add("signing", "active", "1 year");
    add("fresh", "retiring", "59 minutes");
    add("stale", "retiring", "61 minutes");
    add("seen", "revoked", "29 days");
    add("forgotten", "revoked", "31 days");
    sql_connection worker(database_.conninfo(database_.roles().worker()));
    EXPECT_EQ(worker.query("select control.clean_keys(100)"), (rows{{"1"}}));
    EXPECT_EQ(
        database_.raw().query_admin("select kid, state from control.signing_key order by kid"),
        (rows{{"fresh", "retiring"},
              {"seen", "revoked"},
              {"signing", "active"},
              {"stale", "revoked"}}));
    EXPECT_EQ(database_.raw().value_admin(
                  "select entity_id from control.audit_log where action = 'key.revoke'"),
              "stale");
}

}  // namespace
}  // namespace insula::test
