// The end of a tenant: grace, restore, purge (G35).

#include "life.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace insula::test {
namespace {

using identity::actor;
using testing::IsEmpty;

struct deletion : life {
    using life::life;

    /// `count` tables with what tables usually have, as a migration would make them.
    void add_tables(tenant_id tenant, int first, int count) {
        const auto schema = tenancy::tenant_name(tenant);
        database.raw().query_admin(fmt::format(
            "do $$ begin for i in {2} .. {3} loop execute format("
            "'create table {0}.extra_%1$s (id bigint generated always as identity primary key,"
            " name text not null unique check (length(name) < 100), body text default ''x'',"
            " before bigint %2$s); alter table {0}.extra_%1$s owner to {1}',"
            " i, case when i % 50 > 0 then 'references {0}.extra_' || i - 1 end); end loop; end $$",
            schema, database.roles().schema_owner(), first, first + count - 1));
    }
};

TEST_F(deletion, G35_after_its_grace_nothing_is_left_of_a_tenant_but_its_row_and_its_audit_log) {
    life_process process(database, quick_engine(), 1s);
    const auto who = make_ready(process, "going");
    const auto session = log_in(who);
    const auto other = make_ready(process, "staying");
    const auto asked = process.await(identity::request_deletion(process.with(), session, nobody()));
    ASSERT_TRUE(asked) << asked.error().describe();
    EXPECT_EQ(status(who.tenant), "pending_deletion");
    ASSERT_TRUE(gets(who.tenant, "gone"));
    ASSERT_TRUE(becomes("select count(*) from queue.run where kind = 'tenant.delete'", "0"));
    EXPECT_THAT(leftovers(who.tenant), IsEmpty());
    EXPECT_EQ(sql("select clock_timestamp() >= t.purge_at from control.tenant t, (values (1)) v"
                  " where t.id = '" +
                  other.tenant.str() + "'"),
              "<null>");
    EXPECT_EQ(sql("select string_agg(action || ' ' || coalesce(changes->>'status', ''), ', '"
                  " order by created_at) from control.audit_log where action like 'tenant.d%'"),
              "tenant.delete pending_deletion, tenant.delete gone");
    EXPECT_EQ(status(other.tenant), "ready");
    EXPECT_FALSE(fingerprint(other.tenant).empty());
    EXPECT_THAT(queue_violations(database.raw()), IsEmpty());
    // The slug is free, and the person stays.
    const auto again = process.await(identity::create_tenant(
        process.with(), log_in(other),
        {*insula::tenant_name::parse("Again"), *slug::parse("going")}, nobody()));
    EXPECT_TRUE(again) << again.error().describe();
    EXPECT_EQ(
        sql("select released_at is null from control.account where id = '" + who.user.str() + "'"),
        "t");
}

TEST_F(deletion, G35_within_its_grace_a_tenant_is_restored_with_all_its_data_and_its_sessions) {
    life_process process(database);
    const auto who = make_ready(process, "back");
    const auto session = log_in(who);
    const auto schema = tenancy::tenant_name(who.tenant);
    run("insert into " + schema +
        ".projects (id, name) select gen_random_uuid(), 'p' || i"
        " from generate_series(1, 100) i");
    const auto data = [&] {
        return sql("select md5(string_agg(p::text, '' order by id)) from " + schema +
                   ".projects p");
    };
    const auto before = data();
    const auto tables = fingerprint(who.tenant);
    const auto write = [&] {
        return sql_connection(database.conninfo(database.roles().app()))
            .outcome("select control.assert_session('" + session.session.str() + "', 1, '" +
                     who.user.str() + "', '" + who.tenant.str() + "')");
    };
    ASSERT_TRUE(process.await(identity::request_deletion(process.with(), session, nobody())));
    EXPECT_EQ(write(), "IS003") << "pending deletion: nothing is written";
    const auto twice = process.await(identity::request_deletion(process.with(), session, nobody()));
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error(), errc::tenant_pending_deletion);

    const auto restored =
        process.await(identity::restore_tenant(process.with(), session, nobody()));
    ASSERT_TRUE(restored) << restored.error().describe();
    EXPECT_EQ(restored->status, tenancy::tenant_status::ready);
    EXPECT_EQ(write(), "00000") << "works at once";
    EXPECT_EQ(data(), before);
    EXPECT_EQ(fingerprint(who.tenant), tables);
    ASSERT_TRUE(becomes("select count(*) from queue.run where kind = 'tenant.delete'", "0"))
        << "the purge is cancelled with it";
    EXPECT_EQ(sql("select state from queue.history where kind = 'tenant.delete'"), "6");
    const auto again = process.await(identity::restore_tenant(process.with(), session, nobody()));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error(), errc::conflict);
    EXPECT_EQ(again.error().detail(), "The tenant is ready.");
}

TEST_F(deletion, G35_a_restored_tenant_is_what_it_was_before) {
    life_process process(database);
    const auto by = actor::command_line();
    const auto who = make_ready(process, "asleep");
    const auto id = who.tenant;
    ASSERT_TRUE(process.await(identity::suspend_tenant(process.with(), by, id, nobody())));
    ASSERT_TRUE(process.await(identity::delete_tenant(process.with(), by, id, false, nobody())));
    const auto restored = process.await(identity::restore_tenant(process.with(), by, id, nobody()));
    ASSERT_TRUE(restored) << restored.error().describe();
    EXPECT_EQ(restored->status, tenancy::tenant_status::suspended);
    EXPECT_FALSE(restored->purge_at);
}

TEST_F(deletion, cancelling_its_task_does_not_leave_a_tenant_pending_for_ever) {
    life_process process(database, quick_engine(), 2s);
    const auto by = actor::command_line();
    const auto who = make_ready(process, "stubborn");
    ASSERT_TRUE(
        process.await(identity::delete_tenant(process.with(), by, who.tenant, false, nobody())));
    run("select queue.cancel_run(id) from queue.run where kind = 'tenant.delete'");
    process.engine().wake();
    ASSERT_TRUE(
        becomes("select count(*) from queue.history where kind = 'tenant.delete'"
                " and state = 6",
                "1"));
    EXPECT_EQ(
        sql("select count(*) from queue.run r join control.tenant t on t.deletion_run = r.id"), "1")
        << "another task has taken over";
    ASSERT_TRUE(gets(who.tenant, "gone"));
}

TEST_F(deletion, G35_a_schema_whose_newest_objects_are_all_part_of_others_is_emptied_in_batches) {
    life_process process(database);
    const auto who = make_ready(process, "going");
    const auto schema = tenancy::tenant_name(who.tenant);
    // Identities that came later: more sequences, newer than any table, than a batch looks at.
    run(fmt::format(
        "do $$ begin for i in 1 .. 210 loop execute 'create table {0}.late_' || i || ' (x int)';"
        " execute 'alter table {0}.late_' || i || ' owner to {1}'; end loop; for i in 1 .. 210 loop"
        " execute 'alter table {0}.late_' || i || ' add id bigint generated always as identity';"
        " end loop; end $$",
        schema, database.roles().schema_owner()));
    const auto deletion_run = run_id::make().str();
    sql_connection worker(database.conninfo(database.roles().worker()));
    worker.query("select control.request_deletion($1, $2, '0', true)",
                 {who.tenant.str(), deletion_run});
    worker.query("select control.begin_deletion($1, $2)", {who.tenant.str(), deletion_run});
    const auto tables = "select count(*) from pg_tables where schemaname = '" + schema + "'";
    for (int left = 211; left > 0;) {
        worker.query("select provision.empty_tenant_schema($1, 500)", {who.tenant.str()});
        const int now = std::stoi(sql(tables));
        ASSERT_LT(now, left);
        left = now;
    }
}

TEST_F(deletion, G35_a_login_that_was_under_way_at_the_beginning_leaves_no_session) {
    life_process process(database);
    const auto who = make_ready(process, "going");
    const auto run = run_id::make().str();
    sql_connection worker(database.conninfo(database.roles().worker()));
    worker.query("select control.request_deletion($1, $2, '0', true)", {who.tenant.str(), run});
    worker.query("select control.begin_deletion($1, $2)", {who.tenant.str(), run});
    log_in(who);
    worker.query("select provision.drop_tenant($1)", {who.tenant.str()});
    worker.query("select control.finish_deletion($1)", {who.tenant.str()});
    EXPECT_THAT(leftovers(who.tenant), IsEmpty());
}

TEST_F(deletion, a_deletion_that_fails_is_tried_for_ever_and_goes_on_when_the_reason_is_gone) {
    life_process process(database);
    const auto by = actor::command_line();
    const auto who = make_ready(process, "stuck");
    // An object of somebody else depends on the tenant's role.
    run("create table public.foreign_one (i int); grant select on public.foreign_one to " +
        tenancy::tenant_name(who.tenant));
    ASSERT_TRUE(
        process.await(identity::delete_tenant(process.with(), by, who.tenant, true, nobody())));
    ASSERT_TRUE(
        becomes("select count(*) > 2 from queue.failed_attempt where step = 'drop_schema'"
                " and code = 'database_error'",
                "t"));
    EXPECT_EQ(status(who.tenant), "deleting");
    run("drop table public.foreign_one");
    ASSERT_TRUE(gets(who.tenant, "gone"));
    EXPECT_THAT(leftovers(who.tenant), IsEmpty());
}

/// A server with the lock table that PostgreSQL has by default; the tests' own one has a larger
/// one.
struct default_server {
    std::unique_ptr<cluster> own = cluster::start();
    default_server() {
        sql_connection administrator(own->admin_conninfo());
        administrator.query("alter system set max_locks_per_transaction = 64");
        administrator.query("alter system set max_connections = 100");
        own->stop_server();
        own->start_server();
    }
};
struct deletion_by_default : private default_server, deletion {
    deletion_by_default() : deletion(*own) {}
};

TEST_F(deletion_by_default, G35_a_schema_of_many_tables_is_purged_within_the_default_lock_table) {
    // 10,000 take most of a minute to make and purge, so that is asked for by hand (and by nightly
    // runs).
    const char* asked = std::getenv("INSULA_PURGE_TABLES");
    const int tables = asked != nullptr ? std::atoi(asked) : 1000;
    ASSERT_EQ(sql("show max_locks_per_transaction"), "64");
    life_process process(database, quick_engine(), 0s);
    const auto who = make_ready(process, "wide");
    for (int made = 0; made < tables; made += 250) {
        add_tables(who.tenant, made, 250);
    }
    const auto session = log_in(who);
    const auto begun = std::chrono::steady_clock::now();
    const auto deleted =
        process.await(identity::request_deletion(process.with(), session, nobody()));
    ASSERT_TRUE(deleted) << deleted.error().describe();
    ASSERT_TRUE(gets(who.tenant, "gone", 600s));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%d tables purged in %.1f s\n", tables, took.count());
    ASSERT_TRUE(becomes("select count(*) from queue.run where kind = 'tenant.delete'", "0"));
    EXPECT_THAT(leftovers(who.tenant), IsEmpty());
    EXPECT_EQ(sql("select count(*) from queue.failed_attempt"), "0") << "no batch was too large";
}

}  // namespace
}  // namespace insula::test
