// Who may do what in PostgreSQL, asked with the very logins a service has.

#include "support/service/installed_database.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace insula::test {
namespace {

constexpr auto denied = "42501";

struct roles : testing::Test {
    installed_database database;
    installed_database::tenant a = database.make_tenant(0, "aaa");
    installed_database::tenant b = database.make_tenant(0, "bbb");
    installed_database::tenant elsewhere = database.make_tenant(1, "ccc");
    sql_connection cell{database.conninfo(database.roles().cell(0))};

    std::string in_scope_of(const installed_database::tenant& who, const std::string& sql) {
        cell.query("begin");
        cell.query("set local role " + who.schema());
        const auto state = cell.outcome(sql);
        cell.query("rollback");
        return state;
    }
};

TEST_F(roles, G02_without_a_scope_every_tenant_table_is_refused) {
    for (const auto& tenant : {a, b, elsewhere}) {
        for (const auto* verb :
             {"select * from {}.projects", "delete from {}.projects",
              "update {}.projects set name = 'x'",
              "insert into {}.projects (id, name) values (gen_random_uuid(), 'x')"}) {
            EXPECT_EQ(cell.outcome(fmt::format(fmt::runtime(verb), tenant.schema())), denied)
                << verb;
        }
    }
}

TEST_F(roles, G02_within_the_scope_of_A_the_tables_of_B_are_refused) {
    EXPECT_EQ(in_scope_of(a, "select * from " + a.schema() + ".projects"), "00000");
    EXPECT_EQ(in_scope_of(a, "select * from " + b.schema() + ".projects"), denied);
    EXPECT_EQ(in_scope_of(a, "select * from " + elsewhere.schema() + ".projects"), denied);
}

TEST_F(roles, G02_a_cell_cannot_become_a_role_of_another_cell) {
    EXPECT_EQ(cell.outcome("set role " + elsewhere.schema()), denied);
    EXPECT_EQ(in_scope_of(a, "set local role " + elsewhere.schema()), denied);
    for (const auto& role : {database.roles().app(), database.roles().worker(),
                             database.roles().owner(), database.roles().provisioner(),
                             database.roles().schema_owner(), database.roles().cell(1)}) {
        EXPECT_EQ(cell.outcome("set role " + role), denied) << role;
    }
}

TEST_F(roles, G02_the_other_logins_have_no_right_in_a_tenant_schema) {
    for (const auto& role :
         {database.roles().app(), database.roles().worker(), database.roles().owner()}) {
        sql_connection login(database.conninfo(role));
        EXPECT_EQ(login.outcome("select * from " + a.schema() + ".projects"), denied) << role;
        EXPECT_EQ(login.outcome("set role " + a.schema()), denied) << role;
    }
}

TEST_F(roles, G07_under_a_tenants_role_nothing_can_be_created) {
    for (const auto& sql :
         {"create table " + a.schema() + ".x (i int)",
          "create function " + a.schema() + ".f() returns int language sql return 1",
          std::string("create temporary table x (i int)"), std::string("create schema x"),
          std::string("create role x"), std::string("create table public.x (i int)"),
          std::string("select lo_create(0)"),
          std::string("select pg_advisory_lock(29676314724950273)"),
          std::string("select pg_try_advisory_lock_shared(1)"),
          std::string("do $$ begin null; end $$"),
          "alter table " + a.schema() + ".projects add column x int",
          "drop table " + a.schema() + ".projects", "truncate " + a.schema() + ".projects",
          "create trigger t before insert on " + a.schema() +
              ".projects for each row execute function suppress_redundant_updates_trigger()"}) {
        EXPECT_EQ(in_scope_of(a, sql), denied) << sql;
    }
}

TEST_F(roles, G07_the_control_plane_is_out_of_reach_but_for_the_tenants_functions) {
    for (const auto* sql :
         {"select * from control.tenant", "select * from control.account",
          "select * from control.audit_log", "select * from queue.run",
          "select provision.drop_tenant(gen_random_uuid())",
          "select provision.create_tenant(gen_random_uuid(), 0)",
          "select control.assert_session(gen_random_uuid(), 1, gen_random_uuid(), null)"}) {
        EXPECT_EQ(in_scope_of(a, sql), denied) << sql;
    }
    const auto reachable = database.raw().query_admin(
        "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname in ('control', 'queue', 'provision', 'tenant_api')"
        " and has_function_privilege('" +
        a.schema() + "', p.oid, 'execute') order by 1");
    EXPECT_EQ(reachable, (rows{{"assert_session"},
                               {"audit_add"},
                               {"audit_list"},
                               {"audit_time"},
                               {"idempotency_answer"},
                               {"idempotency_take"}}));
}

TEST_F(roles, G07_the_functions_take_the_tenant_from_the_role) {
    cell.query("begin");
    cell.query("set local role " + a.schema());
    cell.query(
        "select tenant_api.audit_add(gen_random_uuid(), 'project.create', 'project', 'x', null, "
        "null, null,"
        " null, null)");
    cell.query("commit");
    EXPECT_EQ(database.raw().value_admin(
                  "select string_agg(distinct tenant_id::text, ',') from control.audit_log"),
              a.id.str());
    cell.query("begin");
    cell.query("set local role " + b.schema());
    EXPECT_TRUE(
        cell.query("select * from tenant_api.audit_list(null, null, null, null, null, null, 50)")
            .empty());
    cell.query("rollback");
    EXPECT_EQ(
        cell.outcome("select * from tenant_api.audit_list(null, null, null, null, null, null, 50)"),
        denied);
}

TEST_F(roles, G07_a_tenant_neither_sees_nor_blocks_the_idempotency_keys_of_another) {
    const std::string key = "decode(repeat('ab', 32), 'hex')";
    const std::string take =
        "select tenant_api.idempotency_take(" + key + ", " + key + ", '\\x01')";
    cell.query("begin");
    cell.query("set local role " + a.schema());
    cell.query(take);
    // The very same hash, while the first transaction is open.
    sql_connection sibling(database.conninfo(database.roles().cell(0)));
    sibling.query("begin");
    sibling.query("set local role " + b.schema());
    EXPECT_EQ(sibling.outcome("select * from tenant_api.idempotency_answer(" + key + ")"), "00000");
    EXPECT_EQ(sibling.outcome(take), "00000");
    sibling.query("commit");
    sibling.query("begin");
    sibling.query("set local role " + a.schema());
    EXPECT_EQ(sibling.outcome(take), "II001") << "its own is busy";
    sibling.query("rollback");
    cell.query("rollback");
    cell.query("begin");
    cell.query("set local role " + a.schema());
    EXPECT_TRUE(cell.query("select * from tenant_api.idempotency_answer(" + key + ")").empty())
        << "B's answer, or one that was rolled back";
    cell.query("rollback");
    EXPECT_EQ(in_scope_of(b, take), "II003");
    EXPECT_EQ(cell.outcome(take), denied) << "without a scope";
    EXPECT_EQ(in_scope_of(a, "select control.idempotency_take_in('" + b.id.str() + "', " + key +
                                 ", " + key + ", '\\x01')"),
              denied);
}

TEST_F(roles, stored_answers_go_with_their_tenant_and_no_others) {
    const std::string key = "decode(repeat('ab', 32), 'hex')";
    for (const auto& who : {a, b}) {
        cell.query("begin");
        cell.query("set local role " + who.schema());
        cell.query("select tenant_api.idempotency_take(" + key + ", " + key + ", '\\x01')");
        cell.query("commit");
    }
    database.raw().query_admin(
        "update control.tenant set status = 'pending_deletion', purge_at = now(),"
        " deletion_run = gen_random_uuid() where id = '" +
        a.id.str() + "'");
    database.raw().query_admin("update control.tenant set status = 'deleting' where id = '" +
                               a.id.str() + "'");
    sql_connection worker(database.conninfo(database.roles().worker()));
    worker.query("select control.finish_deletion('" + a.id.str() + "')");
    EXPECT_EQ(database.raw().value_admin(
                  "select string_agg(scope::text, ',') from control.idempotency_key"),
              b.id.str());
}

TEST_F(roles, no_login_holds_a_right_that_could_make_it_more) {
    const auto powerful = database.raw().query_admin(
        "select rolname from pg_roles where rolname like '" + database.raw().role_prefix() +
        "\\_%' and rolcanlogin and (rolcreaterole or rolsuper or rolcreatedb or rolbypassrls or "
        "rolreplication"
        " or rolinherit)");
    EXPECT_TRUE(powerful.empty());
    // Nor can a login become the role that may create roles.
    EXPECT_EQ(database.raw().value_admin("select count(*) from pg_roles r where r.rolname like '" +
                                         database.raw().role_prefix() +
                                         "\\_%' and r.rolcanlogin and (pg_has_role(r.oid, '" +
                                         database.roles().provisioner() +
                                         "', 'member') or pg_has_role(r.oid, '" +
                                         database.roles().schema_owner() + "', 'member'))"),
              "0");
}

// What the owner attaches to a table runs with the rights of whoever reads it. The role that may
// create roles must therefore never read the owner's tables itself.
TEST_F(roles, code_of_the_owner_never_runs_with_the_right_to_create_roles) {
    sql_connection owner(database.conninfo(database.roles().owner()));
    owner.query(
        "create table control.seen (who name); grant insert on control.seen to public;"
        "create function control.evil() returns boolean language plpgsql as"
        " $$ begin insert into control.seen values (current_user); return true; end $$;"
        "grant execute on function control.evil() to public;"
        "grant usage on schema control to public;"
        "alter table control.tenant enable row level security;"
        "create policy p on control.tenant using (control.evil()) with check (true)");
    const auto made = tenant_id::make().str();
    sql_connection worker(database.conninfo(database.roles().worker()));
    worker.query("insert into control.tenant (id, slug, name, cell) values ('" + made +
                 "', 'ddd', 'D', 0)");
    worker.outcome("select provision.create_tenant('" + made + "', 0)");
    EXPECT_EQ(database.raw().value_admin("select count(*) from control.seen where who = '" +
                                         database.roles().provisioner() + "'"),
              "0");
}

TEST_F(roles, the_logins_need_their_derived_passwords) {
    const auto verifier = database.raw().value_admin(
        "select rolpassword like 'SCRAM-SHA-256$4096:%' from pg_authid"
        " where rolname = '" +
        database.roles().app() + "'");
    EXPECT_EQ(verifier, "t");
}

TEST_F(roles, the_worker_cannot_drop_a_living_tenant) {
    sql_connection worker(database.conninfo(database.roles().worker()));
    EXPECT_EQ(worker.outcome("select provision.drop_tenant('" + a.id.str() + "')"), "IT001");
    EXPECT_EQ(worker.outcome("select provision.drop_tenant('" + tenant_id::make().str() + "')"),
              "IT404");
    EXPECT_EQ(in_scope_of(a, "select * from " + a.schema() + ".projects"), "00000");
}

TEST_F(roles, a_tenant_is_not_made_in_a_cell_that_does_not_exist) {
    sql_connection worker(database.conninfo(database.roles().worker()));
    const auto id = tenant_id::make().str();
    worker.query("insert into control.tenant (id, slug, name, cell) values ('" + id +
                 "', 'ddd', 'D', 7)");
    EXPECT_EQ(worker.outcome("select provision.create_tenant('" + id + "', 7)"), "IT002");
}

TEST_F(roles, every_transition_of_a_tenant_that_is_not_listed_is_refused) {
    const std::vector<std::string> states{"provisioning",     "ready",    "failed", "suspended",
                                          "pending_deletion", "deleting", "gone"};
    const std::map<std::string, std::string> allowed{
        {"provisioning", "ready failed"},
        {"failed", "provisioning pending_deletion"},
        {"ready", "suspended pending_deletion"},
        {"suspended", "ready pending_deletion"},
        {"pending_deletion", "ready suspended failed deleting"},
        {"deleting", "gone"},
        {"gone", ""}};
    sql_connection app(database.conninfo(database.roles().app()));
    for (const auto& from : states) {
        for (const auto& to : states) {
            // Put there past the trigger, by the administrator: what is tested is the step away
            // from it. A tenant pending deletion goes back to what it was, and has a run.
            const bool restores = to == "ready" || to == "suspended" || to == "failed";
            database.raw().query_admin(
                "alter table control.tenant disable trigger guard_status;"
                "update control.tenant set purge_at = now(), deletion_run = gen_random_uuid(),"
                " restore_status = '" +
                (restores ? to : "ready") + "', status = '" + from + "' where id = '" + a.id.str() +
                "'; alter table control.tenant enable trigger guard_status");
            const bool fine = from == to || (" " + allowed.at(from) + " ").find(" " + to + " ") !=
                                                std::string::npos;
            EXPECT_EQ(app.outcome("update control.tenant set status = '" + to + "' where id = '" +
                                  a.id.str() + "'"),
                      fine ? "00000" : "IT001")
                << from << " to " << to;
        }
    }
    database.raw().query_admin(
        "alter table control.tenant disable trigger guard_status;"
        "update control.tenant set status = 'pending_deletion', restore_status = 'suspended'"
        " where id = '" +
        a.id.str() + "'; alter table control.tenant enable trigger guard_status");
    EXPECT_EQ(
        app.outcome("update control.tenant set status = 'ready' where id = '" + a.id.str() + "'"),
        "IT001")
        << "it was suspended";
    EXPECT_EQ(app.outcome("insert into control.tenant (id, slug, name, cell, status)"
                          " values (gen_random_uuid(), 'eee', 'E', 0, 'ready')"),
              "IT001");
}

}  // namespace
}  // namespace insula::test
