// bootstrap and migrate, as an operator runs them: again, at once, with more cells, with new files.

#include "support/service/installed_database.hpp"

#include "insula/app/database_setup.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>

namespace insula::test {
namespace {

const auto silent = [](std::string_view) {};

struct setup : testing::Test {
    installed_database database;
    app::config values = database.values();
    temporary_folder folder;

    result<> bootstrap() {
        const auto administrator = app::database_url::parse(database.raw().admin_conninfo());
        return app::bootstrap_database(values, *administrator, database.raw().name(), false,
                                       silent);
    }
    void put(const std::string& name, const std::string& sql) {
        std::ofstream(folder.path() + "/" + name) << sql;
        values.tenant_migrations = folder.path();
    }
    void put_built_in() {
        std::filesystem::copy_file(INSULA_TENANT_MIGRATION_FILE,
                                   folder.path() + "/0001_projects.sql");
    }
};

TEST_F(setup, bootstrap_may_be_repeated_and_adds_cells) {
    ASSERT_TRUE(bootstrap());
    values.cells = 5;
    ASSERT_TRUE(bootstrap());
    EXPECT_EQ(database.raw().value_admin("select count(*) from pg_roles where rolname like '" +
                                         database.raw().role_prefix() + "\\_cell\\_%'"),
              "5");
}

TEST_F(setup, bootstrap_with_a_fresh_key_does_not_lock_an_installation_out) {
    const auto verifier = [&] {
        return database.raw().value_admin("select rolpassword from pg_authid where rolname = '" +
                                          database.roles().app() + "'");
    };
    const auto before = verifier();
    const auto administrator = app::database_url::parse(database.raw().admin_conninfo());
    const auto refused =
        app::bootstrap_database(values, *administrator, database.raw().name(), true, silent);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().internal().find("INSULA_KEY_ENCRYPTION_KEY"), std::string_view::npos);
    EXPECT_EQ(verifier(), before);
}

TEST_F(setup, bootstrap_says_that_it_needs_a_superuser) {
    const auto role = database.raw().role_prefix() + "_dba";
    database.raw().query_admin("create role " + role +
                               " login createrole createdb;"
                               "grant connect on database " +
                               database.raw().name() + " to " + role);
    const auto administrator = app::database_url::parse(database.raw().conninfo(role));
    const auto refused =
        app::bootstrap_database(values, *administrator, database.raw().name(), false, silent);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().internal().find("needs a superuser"), std::string_view::npos)
        << refused.error().internal();
}

TEST_F(setup, administrators_at_the_same_time_do_not_disturb_each_other) {
    std::vector<std::future<result<>>> all;
    for (int i = 0; i < 4; ++i) {
        all.push_back(std::async(std::launch::async, [this] { return bootstrap(); }));
    }
    for (auto& one : all) {
        const auto done = one.get();
        EXPECT_TRUE(done) << done.error().describe();
    }
}

TEST_F(setup, migrate_with_nothing_to_do_says_so) {
    const auto summary = app::migrate_database(values, true, silent);
    ASSERT_TRUE(summary) << summary.error().describe();
    EXPECT_TRUE(summary->control_pending.empty());
    EXPECT_EQ(summary->tenants_behind, 0U);
}

TEST_F(setup, a_new_file_reaches_every_tenant_and_new_ones_alike) {
    const auto old_one = database.make_tenant(0, "old");
    put_built_in();
    put("0002_notes.sql", "create table {t}.notes (id uuid primary key, body text);\n");
    const auto pending = app::migrate_database(values, true, silent);
    ASSERT_TRUE(pending);
    EXPECT_EQ(pending->tenants_behind, 1U);
    const auto summary = app::migrate_database(values, false, silent);
    ASSERT_TRUE(summary) << summary.error().describe();
    EXPECT_EQ(summary->tenants_migrated, 1U);
    const auto new_one = database.make_tenant(1, "new");
    const auto fingerprint = [&](const std::string& schema) {
        return database.raw().query_admin(
            "select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
            " replace(c.relacl::text, '" +
            schema +
            "', 'T') from pg_class c join pg_attribute a on a.attrelid = c.oid"
            " where c.relnamespace = '" +
            schema + "'::regnamespace and a.attnum > 0 order by 1, 2");
    };
    EXPECT_EQ(fingerprint(old_one.schema()), fingerprint(new_one.schema()));
    EXPECT_FALSE(fingerprint(new_one.schema()).empty());
}

// The rights are given one by one, because GRANT … ON ALL TABLES IN SCHEMA reads the whole
// catalogue; what it would give is what there must be.
TEST_F(setup, whatever_kind_of_table_a_file_makes_its_tenant_may_use_it) {
    put_built_in();
    put("0002_kinds.sql",
        "create table {t}.\"Odd 'one\" (id serial primary key, n bigint generated always as "
        "identity);\n"
        "create table {t}.parted (id integer) partition by range (id);\n"
        "create table {t}.part partition of {t}.parted for values from (0) to (9);\n"
        "create view {t}.seen as select id from {t}.projects;\n"
        "create materialized view {t}.kept as select id from {t}.projects;\n"
        "create sequence {t}.alone;\n");
    const auto old_one = database.make_tenant(0, "old");
    const auto summary = app::migrate_database(values, false, silent);
    ASSERT_TRUE(summary) << summary.error().describe();
    for (const auto& tenant : {old_one, database.make_tenant(1, "new")}) {
        const auto rights = [&] {
            return database.raw().query_admin(
                "select relname, relkind, relacl from pg_class where relnamespace = '" +
                tenant.schema() + "'::regnamespace and relkind <> 'i' order by relname");
        };
        const auto before = rights();
        EXPECT_GE(before.size(), 9U);
        database.raw().query_admin("grant select, insert, update, delete on all tables in schema " +
                                   tenant.schema() + " to " + tenant.schema());
        database.raw().query_admin("grant usage on all sequences in schema " + tenant.schema() +
                                   " to " + tenant.schema());
        EXPECT_EQ(rights(), before);
    }
}

TEST_F(setup, a_changed_file_that_a_tenant_has_is_refused) {
    database.make_tenant(0, "one");
    put("0001_projects.sql", "create table {t}.other (id uuid primary key);\n");
    const auto refused = app::migrate_database(values, false, silent);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().internal().find("was changed after it had been applied"),
              std::string_view::npos);
}

TEST_F(setup, a_file_that_fails_leaves_its_tenants_as_they_were_and_may_be_corrected) {
    const auto tenant = database.make_tenant(0, "one");
    const auto version = [&] {
        return database.raw().value_admin("select schema_version from control.tenant where id = '" +
                                          tenant.id.str() + "'");
    };
    put_built_in();
    put("0002_broken.sql", "create table {t}.half (id uuid primary key); select 1 / 0;\n");
    const auto broken = app::migrate_database(values, false, silent);
    ASSERT_TRUE(broken) << broken.error().describe();
    EXPECT_EQ(broken->failures.size(), 1U);
    EXPECT_EQ(database.raw().value_admin("select count(*) from pg_class where relname = 'half'"),
              "0");
    EXPECT_EQ(version(), "1");
    put("0002_broken.sql", "create table {t}.half (id uuid primary key);\n");
    const auto mended = app::migrate_database(values, false, silent);
    ASSERT_TRUE(mended) << mended.error().describe();
    EXPECT_TRUE(mended->failures.empty());
    EXPECT_EQ(version(), "2");
    put("0002_broken.sql", "create table {t}.other (id uuid primary key);\n");
    EXPECT_FALSE(app::migrate_database(values, false, silent)) << "now a tenant has it";
}

TEST_F(setup, one_tenant_whose_data_does_not_fit_holds_up_nobody_else) {
    std::vector<installed_database::tenant> tenants;
    for (const auto* slug : {"one", "two", "three"}) {
        tenants.push_back(database.make_tenant(0, slug));
    }
    database.raw().query_admin(
        "insert into " + tenants[1].schema() +
        ".projects (id, name) values (gen_random_uuid(), 'too long for the new rule')");
    put_built_in();
    put("0002_short.sql", "alter table {t}.projects add check (length(name) < 10);\n");
    const auto summary = app::migrate_database(values, false, silent);
    ASSERT_TRUE(summary) << summary.error().describe();
    EXPECT_EQ(summary->tenants_migrated, 2U);
    ASSERT_EQ(summary->failures.size(), 1U);
    EXPECT_NE(summary->failures[0].find(tenants[1].id.str()), std::string::npos);
    EXPECT_EQ(
        database.raw().value_admin("select string_agg(schema_version::text, ' ' order by slug) from"
                                   " control.tenant"),
        "2 2 1");
}

TEST_F(setup, a_tenant_migration_cannot_reach_outside_tenant_schemas) {
    put_built_in();
    put("0002_evil.sql", "create role evil;\n");
    database.make_tenant(0, "one");
    const auto summary = app::migrate_database(values, false, silent);
    ASSERT_TRUE(summary) << summary.error().describe();
    ASSERT_EQ(summary->failures.size(), 1U);
    EXPECT_NE(summary->failures[0].find("42501"), std::string::npos);
    EXPECT_EQ(database.raw().value_admin("select count(*) from pg_roles where rolname = 'evil'"),
              "0");
}

// Tenants' tables that use an extension hang on it: the end of the tenant whose schema it is in
// would take their columns along.
TEST_F(setup, an_extension_is_no_tenants_own) {
    const auto first = database.make_tenant(0, "one");
    database.make_tenant(0, "two");
    put_built_in();
    put("0002_citext.sql",
        "create extension if not exists citext schema {t};"
        "alter table {t}.projects add remark text;\n");
    const auto summary = app::migrate_database(values, false, silent);
    ASSERT_TRUE(summary) << summary.error().describe();
    ASSERT_EQ(summary->failures.size(), 2U);
    EXPECT_NE(summary->failures[0].find("IT007"), std::string::npos) << summary->failures[0];
    EXPECT_EQ(database.raw().value_admin("select count(*) from pg_extension where extname = "
                                         "'citext'"),
              "0");
    // One that came there otherwise holds the purge up, instead of going with it.
    database.raw().query_admin("create extension citext schema " + first.schema());
    sql_connection worker(database.conninfo(database.roles().worker()));
    database.raw().query_admin(
        "alter table control.tenant disable trigger guard_status;"
        "update control.tenant set status = 'deleting' where id = '" +
        first.id.str() + "'; alter table control.tenant enable trigger guard_status");
    EXPECT_EQ(worker.outcome("select provision.drop_tenant('" + first.id.str() + "')"), "IT007");
    database.raw().query_admin("create schema shared; alter extension citext set schema shared");
    EXPECT_EQ(worker.outcome("select provision.drop_tenant('" + first.id.str() + "')"), "00000");
}

TEST_F(setup, names_and_numbers_of_files_are_checked) {
    put("0002_gap.sql", "select 1");
    EXPECT_FALSE(app::tenant_migration_files::load(values));
    std::filesystem::rename(folder.path() + "/0002_gap.sql", folder.path() + "/0001-Bad.sql");
    EXPECT_FALSE(app::tenant_migration_files::load(values));
    values.tenant_migrations = folder.path() + "/nowhere";
    EXPECT_FALSE(app::tenant_migration_files::load(values));
}

TEST_F(setup, G22_many_tenants_made_at_once_all_have_the_same_tables) {
    std::vector<std::future<installed_database::tenant>> all;
    for (int i = 0; i < 24; ++i) {
        all.push_back(std::async(std::launch::async, [this, i] {
            return database.make_tenant(i % 2, "t" + std::to_string(i));
        }));
    }
    for (auto& one : all) {
        one.get();
    }
    EXPECT_EQ(
        database.raw().value_admin("select count(distinct c.relnamespace) from pg_class c"
                                   " join pg_namespace n on n.oid = c.relnamespace"
                                   " where c.relname = 'projects' and n.nspname like 't\\_%'"),
        "24");
}

}  // namespace
}  // namespace insula::test
