// A tenant's beginning, with failures at every place of it (G30, G33), and what its registrant can
// do then.

#include "life.hpp"
#include "trouble.hpp"

#include "insula/app/database_setup.hpp"
#include "insula/queue/fault.hpp"

#include <fmt/format.h>

#include <fstream>
#include <future>
#include <thread>

namespace insula::test {
namespace {

using identity::actor;
using testing::IsEmpty;

constexpr std::string_view catalogue_leftovers[] = {"role",
                                                    "schema",
                                                    "relation",
                                                    "grant to nobody",
                                                    "default privilege",
                                                    "shared dependency of nobody"};

struct provisioning : life {
    trouble failing{database.raw()};
    life_process process{database};

    /// What the catalogue still has of a tenant that was not made.
    std::vector<std::string> in_catalogue(tenant_id tenant) {
        auto all = leftovers(tenant);
        std::erase_if(all, [](const std::string& one) {
            return std::ranges::none_of(catalogue_leftovers, [&](std::string_view what) {
                return one.ends_with(": " + std::string(what));
            });
        });
        return all;
    }
    result<identity::registration_status> retry(const identity::registered& who) {
        return process.await(
            identity::retry_registration(process.with(), who.registration_id.view(), nobody()));
    }
    result<identity::registration_status> watch(const identity::registered& who) {
        return process.await(identity::read_registration(process.with(), who.registration_id.view(),
                                                         runtime::deadline::after(20s),
                                                         runtime::deadline::after(25s)));
    }
    result<identity::registered> attempt(const std::string& slug, const std::string& email) {
        return process.await(
            identity::register_tenant(process.with(), form_for(slug, email), nobody()));
    }
};

struct provisioning_at : provisioning, testing::WithParamInterface<std::string_view> {};

TEST_P(provisioning_at, G30_what_passes_is_tried_again_and_ends_ready) {
    const auto smooth = make_ready(process, "smooth");
    failing.at(GetParam(), passing, 2);
    const auto who = register_one(process, "bumpy");
    const auto ended = watch(who);
    ASSERT_TRUE(ended) << ended.error().describe();
    EXPECT_EQ(ended->status, tenancy::tenant_status::ready);
    EXPECT_EQ(fingerprint(who.tenant), fingerprint(smooth.tenant)) << "nothing missing or double";
    EXPECT_EQ(ended->steps.at(0).attempts, 3);
    EXPECT_EQ(sql("select count(*) from control.audit_log where action = 'tenant.create'"
                  " and tenant_id = '" +
                  who.tenant.str() + "'"),
              "1");
    EXPECT_THAT(queue_violations(database.raw()), IsEmpty());
}

TEST_P(provisioning_at, G30_what_lasts_is_taken_back_whole_and_a_retry_goes_on_to_ready) {
    failing.at(GetParam(), lasting, 1);
    const auto who = register_one(process, "unlucky");
    const auto ended = watch(who);
    ASSERT_TRUE(ended) << ended.error().describe();
    EXPECT_EQ(ended->status, tenancy::tenant_status::failed);
    EXPECT_EQ(ended->failure_code, "database_error");
    EXPECT_FALSE(ended->failure_detail.empty());
    EXPECT_EQ(ended->failure_detail.find("trouble"), std::string::npos) << "that is for operators";
    EXPECT_THAT(in_catalogue(who.tenant), IsEmpty());
    EXPECT_THAT(queue_violations(database.raw()), IsEmpty());

    const auto begun = retry(who);
    ASSERT_TRUE(begun) << begun.error().describe();
    const auto again = watch(who);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->status, tenancy::tenant_status::ready);
    EXPECT_EQ(again->failure_code, "");
    EXPECT_EQ(
        sql("select released_at is null from control.account where id = '" + who.user.str() + "'"),
        "t");
    EXPECT_EQ(sql("select m.status || ' ' || m.role from control.membership m"), "active owner");
}

INSTANTIATE_TEST_SUITE_P(places, provisioning_at, testing::ValuesIn(trouble::places),
                         [](const auto& info) { return std::string(info.param); });

TEST_F(provisioning, G30_mail_and_slug_of_a_failed_registration_are_free) {
    failing.at("owner", lasting, 1);
    const auto who = register_one(process, "unlucky");
    ASSERT_TRUE(gets(who.tenant, "failed"));
    const auto again = attempt("unlucky", "unlucky@example.org");
    ASSERT_TRUE(again) << again.error().describe();
    EXPECT_TRUE(gets(again->tenant, "ready"));
    EXPECT_THAT(in_catalogue(who.tenant), IsEmpty());
}

TEST_F(provisioning, G30_a_retry_says_who_was_faster) {
    failing.at("ready", lasting, 2);
    const auto first = register_one(process, "wanted", "wanted@example.org");
    const auto second = register_one(process, "other", "other@example.org");
    ASSERT_TRUE(gets(first.tenant, "failed"));
    ASSERT_TRUE(gets(second.tenant, "failed"));
    ASSERT_TRUE(attempt("wanted", "somebody@example.org"));
    ASSERT_TRUE(attempt("somewhere", "other@example.org"));

    const auto no_slug = retry(first);
    ASSERT_FALSE(no_slug);
    EXPECT_EQ(no_slug.error(), errc::slug_taken);
    const auto no_mail = retry(second);
    ASSERT_FALSE(no_mail);
    EXPECT_EQ(no_mail.error(), errc::email_taken);
    EXPECT_EQ(status(first.tenant), "failed");
    EXPECT_EQ(status(second.tenant), "failed");
    EXPECT_EQ(sql("select count(*) from control.account where released_at is not null"), "2")
        << "a refused retry takes nothing";
}

TEST_F(provisioning, G30_only_what_has_failed_is_tried_again) {
    const auto fine = make_ready(process, "fine");
    const auto refused = retry(fine);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), errc::not_failed);
    const auto unknown = process.await(
        identity::retry_registration(process.with(), "AAAAAAAAAAAAAAAAAAAAAA", nobody()));
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error(), errc::not_found);
}

TEST_F(provisioning, G30_of_many_retries_at_once_one_is_taken) {
    failing.at("role", lasting, 1);
    const auto who = register_one(process, "many");
    ASSERT_TRUE(gets(who.tenant, "failed"));
    std::vector<std::future<bool>> all;
    for (int i = 0; i < 8; ++i) {
        all.push_back(std::async(std::launch::async, [&] { return retry(who).has_value(); }));
    }
    int taken = 0;
    for (auto& one : all) {
        taken += one.get() ? 1 : 0;
    }
    EXPECT_EQ(taken, 1);
    ASSERT_TRUE(gets(who.tenant, "ready"));
    EXPECT_EQ(sql("select count(*) from queue.status((select run_id from control.registration))"),
              "1");
    EXPECT_TRUE(becomes("select count(*) from queue.history where kind = 'tenant.provision'", "2"));
}

TEST_F(life, a_tenant_made_while_migrate_runs_is_not_left_behind) {
    life_process process(database);
    const auto before = make_ready(process, "before");
    temporary_folder folder;
    auto values = database.values();
    values.tenant_migrations = folder.path();
    std::ofstream(folder.path() + "/0001_projects.sql")
        << sql("select sql from control.tenant_migration where number = 1");
    std::ofstream(folder.path() + "/0002_more.sql")
        << "create table {t}.more (id uuid primary key);\n";
    // Provisioning has read the old list of files and has not committed.
    queue::fault::arm("provisioning.after_create", 1, queue::fault::action::hold);
    const auto between = register_one(process, "between");
    while (!queue::fault::holding("provisioning.after_create")) {
        std::this_thread::yield();
    }
    auto migrating = std::async(std::launch::async, [&] {
        return app::migrate_database(values, false, [](std::string_view) {});
    });
    EXPECT_TRUE(
        becomes("select count(*) from pg_locks where locktype = 'advisory' and not granted"
                " and database = (select oid from pg_database where datname ="
                " current_database())",
                "1"))
        << "migrate waits for it";
    queue::fault::clear();
    const auto migrated = migrating.get();
    ASSERT_TRUE(migrated) << migrated.error().describe();
    ASSERT_TRUE(gets(between.tenant, "ready"));
    const auto after = make_ready(process, "after");
    EXPECT_EQ(sql("select string_agg(distinct schema_version::text, ',') from control.tenant"),
              "2");
    EXPECT_EQ(fingerprint(before.tenant), fingerprint(after.tenant)) << "migrated and replayed";
    EXPECT_EQ(fingerprint(between.tenant), fingerprint(after.tenant));
}

TEST_F(provisioning, G36_an_input_that_nobody_can_read_ends_as_a_failed_tenant) {
    {
        // Nobody takes it before it is spoilt.
        run("insert into queue.paused (queue) values (0)");
    }
    const auto who = register_one(process, "poison");
    run("update queue.run set input = '{\"tenant\": 7}' where kind = 'tenant.provision'");
    run("delete from queue.paused");
    ASSERT_TRUE(gets(who.tenant, "failed"));
    const auto ended = watch(who);
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->failure_code, "invalid_input");
    EXPECT_TRUE(attempt("poison", "poison@example.org")) << "mail and slug are free";
}

TEST_F(provisioning, G33_trouble_with_the_books_behind_ready_leaves_a_living_tenant) {
    run("create function trouble.books() returns trigger language plpgsql security definer as $$ "
        "begin"
        " if new.kind = 'tenant.provision' and exists (select from trouble.plan) then"
        " raise exception using errcode = '22012'; end if; return new; end $$;"
        "grant execute on function trouble.books() to public;"
        "create trigger books before insert on queue.history for each row"
        " execute function trouble.books()");
    failing.at("books", lasting, 1);
    const auto who = register_one(process, "lively");
    ASSERT_TRUE(gets(who.tenant, "ready"));
    ASSERT_TRUE(becomes("select state from queue.run where kind = 'tenant.provision'", "3"))
        << "parked visibly";
    EXPECT_EQ(status(who.tenant), "ready");
    EXPECT_FALSE(fingerprint(who.tenant).empty());
    failing.over();
    run("select queue.retry_run(id, null) from queue.run where state = 3");
    process.engine().wake();
    ASSERT_TRUE(becomes("select count(*) from queue.run where kind = 'tenant.provision'", "0"));
    EXPECT_EQ(status(who.tenant), "ready");
}

// The two steps share a transaction, so a run stands between them only when a version with two
// transactions began it: what that one did is undone by this one.
TEST_F(provisioning, G33_a_compensation_that_fails_is_tried_again_and_then_parked_visibly) {
    run("insert into queue.paused (queue) values (0)");
    const auto who = register_one(process, "halfway");
    const auto id = "'" + who.tenant.str() + "'";
    sql_connection worker(database.conninfo(database.roles().worker()));
    worker.query("select provision.create_tenant(" + id +
                 ", (select cell from control.tenant where id = " + id + "))");
    run("insert into queue.step (run, direction, seq, name, state, token, attempts, compensation)"
        " select id, 1, 0, 'create_schema', 1, 1, 1, 'create_schema' from queue.run"
        " where kind = 'tenant.provision';"
        "update queue.run set step = 1 where kind = 'tenant.provision'");
    // Opening fails for good, and then dropping, once in passing and once for good.
    run("create function trouble.closed() returns trigger language plpgsql as"
        " $$ begin raise exception using errcode = '22012'; end $$;"
        "grant execute on function trouble.closed() to public;"
        "create trigger closed before update on control.membership for each row"
        " execute function trouble.closed()");
    failing.at("drop_role", passing, 1);
    run("create function trouble.second() returns trigger language plpgsql as $$ begin"
        " update trouble.plan set state = '22012', times = 2 where place = 'drop_role';"
        " return null; end $$; grant execute on function trouble.second() to public;"
        "alter function trouble.second() security definer;"
        "create trigger second after insert on queue.failed_attempt for each row"
        " when (new.direction = -1) execute function trouble.second()");
    run("delete from queue.paused");
    ASSERT_TRUE(
        becomes("select state || ' ' || direction from queue.run"
                " where kind = 'tenant.provision'",
                "3 -1"));
    EXPECT_EQ(sql("select count(*) from queue.failed_attempt where direction = -1"), "2");
    EXPECT_EQ(status(who.tenant), "provisioning") << "never dropped, never called done";
    EXPECT_THAT(in_catalogue(who.tenant), testing::Not(IsEmpty()));

    failing.over();
    run("select queue.retry_run(id, null) from queue.run where state = 3");
    process.engine().wake();
    ASSERT_TRUE(gets(who.tenant, "failed"));
    EXPECT_THAT(in_catalogue(who.tenant), IsEmpty());
}

}  // namespace
}  // namespace insula::test
