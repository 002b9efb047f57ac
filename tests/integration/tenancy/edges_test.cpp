// What seldom happens to what a process knows of its tenants: read off the lines that nothing else
// ran.
#include "support/service/installed_database.hpp"

#include "insula/tenancy/directory.hpp"
#include "insula/tenancy/migrate_tenants.hpp"
#include "insula/tenancy/revocations.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using tenancy::verdict;

template <class F>
void wait_until(std::string_view what, F&& is_true) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (!is_true()) {
        ASSERT_LT(std::chrono::steady_clock::now(), until) << "waited in vain for " << what;
        std::this_thread::sleep_for(2ms);
    }
}

class feed_edges : public testing::Test {
protected:
    feed_edges()
        : revoked_(loop_.get(), {.conninfo = database_.conninfo(database_.roles().app())}, budget_,
                   metrics_) {}
    ~feed_edges() override { loop_.await(revoked_.stop()); }
    bool start() {
        return loop_.await(
            revoked_.start([](runtime::deadline) -> runtime::awaitable<bool> { co_return true; },
                           runtime::deadline::after(5s)));
    }

    installed_database database_;
    running_loop loop_;
    observe::metrics metrics_;
    pg::connection_budget budget_{4};
    tenancy::revocations revoked_;
    installed_database::tenant a_ = database_.make_tenant(0, "aaa");
};

// As a newer program would write it while this one still runs.
TEST_F(feed_edges, G14_what_it_does_not_understand_is_left_to_the_database) {
    ASSERT_TRUE(start());
    EXPECT_FALSE(revoked_.silent());
    database_.raw().query_admin(
        "insert into control.feed_batch default values;"
        "insert into control.feed_change (kind, subject, value) values ('tenant', '" +
        a_.id.str() + "', 'asleep')");
    wait_until("silence", [&] { return revoked_.silent(); });
    database_.raw().query_admin(
        "update control.feed_change set value = 'suspended' where value = 'asleep'");
    wait_until("the feed to be heard", [&] { return !revoked_.silent(); });
    token::claims who;
    who.subject = a_.owner;
    who.session = a_.session;
    who.session_version = 1;
    who.tenant = a_.id;
    EXPECT_EQ(revoked_.check(who), verdict::suspended) << "nothing was passed over";
}

// Tokens under made-up keys: who would be one too many is refused at once.
TEST_F(feed_edges, G65_who_waits_for_a_look_because_of_an_unknown_key_is_one_of_64) {
    ASSERT_TRUE(start());
    sql_connection admin(database_.raw().admin_conninfo());
    admin.query("begin");
    admin.query("lock table control.feed_batch, control.feed_counter in access exclusive mode");
    std::atomic<int> served{0};
    std::atomic<int> refused{0};
    for (int i = 0; i < 80; ++i) {
        boost::asio::co_spawn(
            loop_.get().get_executor(), revoked_.look_again(runtime::deadline::after(20s)),
            [&](const std::exception_ptr&, bool looked) { ++(looked ? served : refused); });
    }
    wait_until("16 refusals", [&] { return refused == 16; });
    EXPECT_EQ(served, 0);
    admin.query("rollback");
    wait_until("the others", [&] { return served + refused == 80; });
    EXPECT_EQ(refused, 16);
}

TEST(directory_edges, a_database_that_is_away_is_an_error_and_not_an_unknown_tenant) {
    running_loop loop;
    observe::metrics metrics;
    pg::connection_budget budget{2};
    pg::pool_options options;
    options.name = "app";
    options.conninfo = "host=127.0.0.1 port=1 dbname=x user=y";
    pg::pool nowhere(loop.get(), options, budget, metrics);
    tenancy::directory directory(nowhere);
    EXPECT_FALSE(loop.await(directory.load(runtime::deadline::after(200ms))));
    const auto id = tenant_id::make();
    EXPECT_FALSE(loop.await(directory.find(id, runtime::deadline::after(200ms))));
    directory.remember({id, 1, "known"});
    const auto found = loop.await(directory.find(id, runtime::deadline::after(200ms)));
    ASSERT_TRUE(found) << "what is in memory needs no database";
    EXPECT_EQ((*found)->slug, "known");
    loop.await(nowhere.close(runtime::deadline::after(5s)));
}

class migrate_edges : public testing::Test {
protected:
    migrate_edges() {
        pg::pool_options options;
        options.name = "owner";
        options.conninfo = database_.conninfo(database_.roles().owner());
        owner_ = std::make_unique<pg::pool>(loop_.get(), options, budget_, metrics_);
        (void)database_.make_tenant(0, "aaa");
    }
    ~migrate_edges() override { loop_.await(owner_->close(runtime::deadline::after(5s))); }
    pg::lease borrow() {
        return loop_.await(owner_->acquire(runtime::deadline::after(5s))).value();
    }

    installed_database database_;
    running_loop loop_;
    observe::metrics metrics_;
    pg::connection_budget budget_{2};
    std::unique_ptr<pg::pool> owner_;
};

// An older program, after a newer one has migrated: it must not forget what tenants have.
TEST_F(migrate_edges, tenants_that_are_newer_than_the_program_are_refused) {
    for (const bool check : {true, false}) {
        auto lease = borrow();
        const auto report = loop_.await(tenancy::migrate_tenants(lease, {}, check, {}));
        ASSERT_FALSE(report);
        EXPECT_EQ(report.error().state, pg::sqlstate::migration_refused);
        EXPECT_NE(report.error().message.find("which this program does not know"),
                  std::string::npos)
            << report.error().message;
    }
    EXPECT_NE(database_.raw().value_admin("select count(*) from control.tenant_migration"), "0");
}

TEST_F(migrate_edges, a_connection_that_is_lost_is_said_and_nothing_has_happened) {
    auto lease = borrow();
    database_.raw().query_admin(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = '" +
        database_.roles().owner() + "'");
    const auto report = loop_.await(tenancy::migrate_tenants(lease, {}, false, {}));
    ASSERT_FALSE(report);
    EXPECT_TRUE(report.error().lost()) << report.error().message;
    EXPECT_NE(database_.raw().value_admin("select count(*) from control.tenant_migration"), "0");
}

// docs/security.md says what SQL of an attacker's choosing learns of other tenants: that they are
// there, and no more. Written down here, so that the sentence stays true.
TEST(hostile_sql,
     G07_learns_from_the_catalogue_that_others_are_there_and_nothing_of_what_they_have) {
    installed_database database;
    const auto a = database.make_tenant(0, "aaa");
    const auto b = database.make_tenant(0, "bbb");
    database.raw().query_admin("insert into " + b.schema() +
                               ".projects (id, name) select gen_random_uuid(), 'secret ' || n"
                               " from generate_series(1, 50) n");
    database.raw().query_admin("analyze " + b.schema() + ".projects");
    sql_connection hostile(database.conninfo(database.roles().cell(0)));
    hostile.query("begin");
    hostile.query("set local role " + a.schema());
    const auto one = [&](const std::string& sql) { return hostile.query(sql).at(0).at(0); };
    EXPECT_EQ(one("select count(*) from pg_namespace where nspname = '" + b.schema() + "'"), "1");
    EXPECT_EQ(one("select reltuples from pg_class where oid = (select c.oid from pg_class c join"
                  " pg_namespace n on n.oid = c.relnamespace where n.nspname = '" +
                  b.schema() + "' and c.relname = 'projects')"),
              "50");
    EXPECT_EQ(one("select count(*) from pg_stats where schemaname = '" + b.schema() + "'"), "0");
    EXPECT_EQ(one("select count(*) from pg_stat_activity where usename <> session_user and query"
                  " not in ('', '<insufficient privilege>')"),
              "0");
    for (const std::string& refused :
         {"select count(*) from " + b.schema() + ".projects",
          "insert into " + b.schema() + ".projects (id, name) values (gen_random_uuid(), 'x')",
          std::string("select stavalues1 from pg_statistic limit 1"),
          std::string("select passwd from pg_shadow"),
          std::string("select rolpassword from pg_authid")}) {
        hostile.query("savepoint before");
        EXPECT_THROW(hostile.query(refused), query_failed) << refused;
        hostile.query("rollback to before");
    }
}

}  // namespace
}  // namespace insula::test
