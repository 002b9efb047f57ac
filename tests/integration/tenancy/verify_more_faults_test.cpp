// Faults outside the tenants' and the control plane's own schemas, changed code of ours, and
// set-ups that are legal and must not be cried about. Planted together, to be looked at once.

#include "verify_fixture.hpp"

#include <algorithm>
#include <set>

namespace insula::test {
namespace {

using tenancy::severity;

struct fault {
    const char* plant;
    const char* check;
    const char* object;
    const char* what = "";  ///< part of the sentence
    severity how = severity::danger;
};

struct verify_more_faults : verify_isolation {
    void plant(std::span<const fault> all) {
        for (const auto& one : all) {
            SCOPED_TRACE(one.plant);
            ASSERT_NO_THROW(as_admin(expand(one.plant)));
        }
    }

    static const tenancy::isolation_finding* find(const tenancy::isolation_report& report,
                                                  const std::string& check,
                                                  const std::string& object,
                                                  const std::string& what) {
        for (const auto& some : report.checks) {
            for (const auto& finding : some.findings) {
                if (some.name == check && finding.object == object &&
                    finding.what.find(what) != std::string::npos) {
                    return &finding;
                }
            }
        }
        return nullptr;
    }

    void expect_found(const tenancy::isolation_report& report, std::span<const fault> all) {
        for (const auto& one : all) {
            const auto* found = find(report, one.check, expand(one.object), expand(one.what));
            EXPECT_NE(found, nullptr) << one.check << " does not tell " << expand(one.object);
            if (found != nullptr) {
                EXPECT_EQ(found->how, one.how) << expand(one.object);
            }
        }
        if (HasFailure()) {
            std::cout << describe(report);
        }
    }

    /// The SQL of all dangers, as a person does it who believes what is written.
    void mend(const tenancy::isolation_report& report) {
        const std::set<std::string> verbs{"alter", "create", "grant", "revoke", "drop"};
        for (const auto& check : report.checks) {
            for (const auto& some : check.findings) {
                const auto verb = some.mend.substr(0, some.mend.find(' '));
                if (some.how == severity::danger && verbs.contains(verb) &&
                    some.mend.find(" … ") == std::string::npos && some.mend != "drop it") {
                    // What another finding's mend has dropped is gone already.
                    (void)sql_connection(database->raw().admin_conninfo()).outcome(some.mend);
                }
            }
        }
    }
};

// What was not looked at, because of the schema that it is in.
constexpr fault elsewhere[] = {
    {"create schema reports; create view reports.people as select * from control.account;"
     "grant usage on schema reports to public; grant select on reports.people to public",
     "other_relations", "view reports.people", "public has SELECT on it"},
    {"create table reports.p as select * from {b}.projects; grant select (name) on reports.p to "
     "{prefix}_tenant",
     "other_relations", "table reports.p", "{prefix}_tenant has SELECT on column name"},
    {"", "other_relations", "schema reports", "public has USAGE"},
    {"", "cross_references", "rule _RETURN on view reports.people", "control.account",
     severity::notice},
    {"create function pg_catalog.peek() returns bigint language sql security definer as"
     " 'select count(*) from {b}.projects'",
     "functions", "function peek()", "its caller's search_path"},
    {"", "function_rights", "function peek()", "public may call it"},
    {"", "cross_references", "function peek()", "its text names {b}"},
    {"grant select on pg_statistic to public", "system_catalogue", "table pg_statistic", "public"},
    {"grant select (rolpassword) on pg_authid to {prefix}_tenant", "system_catalogue",
     "table pg_authid", "{prefix}_tenant has SELECT on column rolpassword"},
    {"grant update on information_schema.sql_features to public", "system_catalogue",
     "table information_schema.sql_features", "public has UPDATE"},
    {"alter function pg_catalog.pg_client_encoding() security definer", "system_catalogue",
     "function pg_client_encoding()", "its owner's rights"},
    {"create role {prefix}_ops login createrole", "strangers", "role {prefix}_ops", "CREATEROLE",
     severity::notice},
    {"create role {prefix}_team bypassrls; grant {prefix}_team to {prefix}_ops", "strangers",
     "role {prefix}_team", "BYPASSRLS", severity::notice},
};

TEST_F(verify_more_faults, G07_what_stands_in_other_schemas_and_in_pg_catalog_is_found) {
    ASSERT_EQ(describe(examine()), "");
    plant(elsewhere);
    const auto report = examine();
    expect_found(report, elsewhere);
    mend(report);
    as_admin(
        expand("drop schema reports cascade; drop function if exists pg_catalog.peek();"
               "drop role {prefix}_ops; drop role {prefix}_team"));
    EXPECT_EQ(describe(examine()), "");
}

constexpr fault role_changing[] = {
    {"create function {a}.quoted() returns void language plpgsql as"
     " $$ begin set local \"role\" to x; end $$",
     "role_changing_code", "function {a}.quoted()", "could change the role"},
    {"create function {a}.commented() returns void language plpgsql as"
     " $$ begin set/**/role x; end $$",
     "role_changing_code", "function {a}.commented()", "could change the role"},
    {"create function {a}.remarked() returns void language plpgsql as"
     " $$ begin set -- nothing\n session /* /* */ */ authorization x; end $$",
     "role_changing_code", "function {a}.remarked()", "could change the role"},
    {"create procedure {a}.forgetting() language plpgsql as $$ begin reset/**/all; end $$",
     "role_changing_code", "procedure {a}.forgetting()", "could change the role"},
    {"create function {a}.escaped() returns text language plpgsql as"
     " $$ begin return U&\"set\\005fconfig\"('role', 'x', true); end $$",
     "role_changing_code", "function {a}.escaped()", "could change the role"},
    {"create function {a}.alias(text, text, boolean) returns text language internal as"
     " 'set_config_by_name'",
     "role_changing_code", "function {a}.alias(text,text,boolean)", "could change the role"},
    {"create function public.compiled() returns integer language internal as 'pg_backend_pid'",
     "role_changing_code", "function public.compiled()", "compiled code"},
    {"create aggregate {a}.gathered(text, boolean)"
     " (sfunc = set_config, stype = text, initcond = 'role')",
     "role_changing_code", "aggregate {a}.gathered(text,boolean)", "under a name of its own"},
    {"create domain {a}.checked as text check (set_config('role', value, true) is not null)",
     "role_changing_code", "constraint checked_check on domain {a}.checked", ""},
    {"create domain {a}.preset as text default set_config('role', 'x', true)", "role_changing_code",
     "default of domain {a}.preset", ""},
    {"create function pg_catalog.hop() returns void language plpgsql as"
     " $$ begin set role x; end $$",
     "role_changing_code", "function hop()", "could change the role"},
    {"create function public.runs(text) returns void language plpgsql as"
     " $$ begin execute $1; end $$",
     "role_changing_code", "function public.runs(text)", "puts SQL together", severity::notice},
};

TEST_F(verify_more_faults, G07_code_that_changes_the_role_is_found_however_it_is_written) {
    plant(role_changing);
    // None of these does.
    as_admin(
        expand("create function {a}.harmless() returns text language plpgsql as $$ begin"
               " update {a}.projects set name = 'x'; perform set_config('app.role', 'y', true);"
               " update x set \"role\" = 1; /* set the role */ return 'reset'; end $$"));
    const auto report = examine();
    expect_found(report, role_changing);
    EXPECT_EQ(find(report, "role_changing_code", expand("function {a}.harmless()"), ""), nullptr);
    mend(report);
    as_admin(expand(
        "drop function if exists {a}.harmless(), public.runs(text), public.compiled(), "
        "{a}.quoted(),"
        " {a}.commented(), {a}.remarked(), {a}.escaped(), pg_catalog.hop(),"
        " {a}.alias(text, text, boolean);"
        "drop procedure if exists {a}.forgetting(); drop domain if exists {a}.checked, {a}.preset;"
        "drop aggregate if exists {a}.gathered(text, boolean)"));
    EXPECT_EQ(describe(examine()), "");
}

constexpr fault changed_code[] = {
    {"alter table control.tenant disable trigger guard_status", "shipped_code",
     "trigger guard_status on control.tenant", "switched off"},
    {"create or replace function control.lock_tenant(p_tenant uuid, variadic p_allowed text[])"
     " returns text language plpgsql set search_path = pg_catalog, pg_temp as"
     " $$ begin return p_allowed[1]; end $$",
     "shipped_code", "function control.lock_tenant(uuid,text[])", "its text"},
    {"create function control.lock_tenant(uuid, text) returns text language sql as"
     " 'select null::text'; revoke all on function control.lock_tenant(uuid, text) from public",
     "shipped_code", "function control.lock_tenant(uuid,text)", ""},
    {"alter function control.assert_session(uuid, integer, uuid, uuid) security definer",
     "shipped_code", "function control.assert_session(uuid,integer,uuid,uuid)", "whose rights"},
    {"alter function queue.sweep() set plan_cache_mode = force_generic_plan", "shipped_code",
     "function queue.sweep()", "its settings"},
    {"drop trigger feed_change on control.tenant", "shipped_code",
     "trigger feed_change on control.tenant", "it is missing"},
    {"drop trigger feed_delete on control.session;"
     "create trigger feed_delete after delete on control.session for each row"
     " when (false) execute function control.feed_session()",
     "shipped_code", "trigger feed_delete on control.session", "not what this version makes"},
    {"create trigger more before delete on control.membership for each row"
     " execute function pg_catalog.suppress_redundant_updates_trigger()",
     "shipped_code", "trigger more on control.membership", "no such trigger"},
    {"create rule less as on delete to control.invite do instead nothing", "shipped_code",
     "rule less on control.invite", "in the place of ours"},
    {"create or replace function provision.tenant_name(tenant uuid) returns text"
     " language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp"
     " return 't_' || pg_catalog.replace(tenant::text, '-', '_')",
     "shipped_code", "function provision.tenant_name(uuid)", "its text"},
    {"alter function tenant_api.audit_time(uuid) owner to {a}", "shipped_code",
     "function tenant_api.audit_time(uuid)", "its owner"},
};

TEST_F(verify_more_faults, G07_code_of_ours_that_somebody_has_changed_is_found_and_put_back) {
    const auto code = [this] {
        return admin(
            "select string_agg(d, '' order by d) from (select pg_get_functiondef(p.oid) ||"
            " p.proowner || coalesce(p.proacl::text, '') as d from pg_proc p"
            " where p.pronamespace in ('control'::regnamespace, 'queue'::regnamespace,"
            " 'provision'::regnamespace, 'tenant_api'::regnamespace)"
            " union all select pg_get_triggerdef(t.oid) || t.tgenabled::text from pg_trigger t"
            " where not t.tgisinternal) x");
    };
    const auto before = code();
    const auto name =
        admin("select pg_get_functiondef('provision.tenant_name(uuid)'::regprocedure)");
    plant(changed_code);
    const auto report = examine();
    expect_found(report, changed_code);
    const auto* bootstrapped =
        find(report, "shipped_code", "function provision.tenant_name(uuid)", "");
    ASSERT_NE(bootstrapped, nullptr);
    EXPECT_EQ(bootstrapped->mend, "insula bootstrap");
    mend(report);
    as_admin(name);
    // Of two functions with one name that were both changed, the second look tells which is ours.
    mend(examine());
    EXPECT_EQ(describe(examine()), "");
    EXPECT_EQ(code(), before);
}

// Review: "the mend hands the attacker the higher rights".
TEST_F(verify_more_faults, G07_no_mend_gives_planted_code_to_somebody_who_may_do_more) {
    as_admin(expand(
        "create schema planted;"
        "create function planted.f() returns text language sql security definer"
        " set search_path = pg_catalog, pg_temp as $$ select rolpassword from pg_authid limit 1 $$;"
        "alter function planted.f() owner to {a};"
        "create function tenant_api.planted() returns text language sql security definer"
        " set search_path = pg_catalog, pg_temp as $$ select rolpassword from pg_authid limit 1 $$;"
        "alter function tenant_api.planted() owner to {prefix}_app;"
        "create aggregate planted.g(text) (sfunc = textcat, stype = text);"
        "alter aggregate planted.g(text) owner to {prefix}_worker;"
        "create view {a}.planted as select * from pg_authid; alter view {a}.planted owner to {a};"
        "create view control.planted as select * from pg_authid;"
        "alter view control.planted owner to {prefix}_worker;"
        "create materialized view planted.m as select 1; alter materialized view planted.m owner to"
        " {prefix}_cell_0;"
        "create table {a}.planted_rule (i integer); create rule r as on insert to {a}.planted_rule"
        " do also select * from pg_authid; alter table {a}.planted_rule owner to {a};"
        "create table {a}.planted_default (i integer default tenant_api.planted()::integer);"
        "alter table {a}.planted_default owner to {a}"));
    const auto report = examine();
    for (const auto& check : report.checks) {
        for (const auto& some : check.findings) {
            EXPECT_EQ(some.mend.find("reassign"), std::string::npos) << some.object;
            EXPECT_FALSE(some.object.find("planted") != std::string::npos &&
                         some.mend.starts_with("alter") &&
                         some.mend.find("owner to") != std::string::npos)
                << some.object << ": " << some.mend;
        }
    }
    mend(report);
    EXPECT_EQ(
        admin(expand("select coalesce(string_agg(o, ' '), '') from ("
                     "select p.oid::regprocedure::text as o, p.proowner as owner from pg_proc p"
                     " where p.oid::regprocedure::text ~ 'planted' union all "
                     "select c.oid::regclass::text, c.relowner from pg_class c"
                     " where c.oid::regclass::text ~ 'planted' and c.relkind in ('r', 'v', 'm')) x"
                     " where owner not in (select oid from pg_roles where rolname in"
                     " ('{a}', '{prefix}_app', '{prefix}_worker', '{prefix}_cell_0'))")),
        "");
    as_admin(expand(
        "drop table if exists {a}.planted_rule, {a}.planted_default; drop schema planted cascade;"
        "drop view if exists {a}.planted, control.planted;"
        "drop function if exists tenant_api.planted()"));
    EXPECT_EQ(describe(examine()), "");
}

// Nothing here lets a tenant reach anything: a wolf cried once too often is heard no more.
TEST_F(verify_more_faults, what_an_administrator_may_well_have_is_no_danger) {
    const auto other = database->raw().home().admin_conninfo();
    as_admin(
        expand("create role {prefix}_bi login; grant usage on schema {a} to {prefix}_bi;"
               "grant select on all tables in schema {a} to {prefix}_bi;"
               "create function {a}.theirs() returns integer language sql as 'select 1';"
               "alter function {a}.theirs() owner to {prefix}_schema_owner;"
               "revoke all on function {a}.theirs() from public;"
               "grant execute on function {a}.theirs() to {prefix}_bi;"
               "create schema monitoring; create function monitoring.sessions() returns bigint"
               " language sql security definer set search_path = pg_catalog as"
               " 'select count(*) from pg_stat_activity';"
               "create schema extensions; grant usage on schema extensions to {prefix}_tenant;"
               "create extension pg_trgm schema extensions;"
               "create extension pg_stat_statements schema extensions;"
               "alter default privileges grant execute on functions to {prefix}_bi;"
               "create role t_00000000000000000000000000000003 in role {prefix}_tenant;"
               "grant t_00000000000000000000000000000003 to {prefix}_cell_0"));
    // Another database of the server whose tenants have the same prefix.
    sql_connection(other).query(
        expand("create schema {prefix}_two; grant usage on schema {prefix}_two to"
               " t_00000000000000000000000000000003"));
    const auto report = examine();
    EXPECT_TRUE(report.isolated()) << describe(report);
    EXPECT_NE(find(report, "tenant_tables", expand("table {a}.projects"), "_bi has SELECT"),
              nullptr);
    const auto* two = find(report, "leftovers", "database postgres", "1 roles of tenants are its");
    ASSERT_NE(two, nullptr) << describe(report);
    EXPECT_EQ(two->mend.find("drop"), std::string::npos);
    EXPECT_EQ(find(report, "memberships", expand("role {prefix}_cell_0"), ""), nullptr);
    sql_connection(other).query(expand("drop schema {prefix}_two"));
    // No other database knows it now, and a temporary table could stand in for a catalogue's.
    as_admin(expand("grant temporary on database {database} to {prefix}_bi"));
    const auto later = examine();
    const auto* role = find(later, "leftovers", "role t_00000000000000000000000000000003", "");
    ASSERT_NE(role, nullptr) << describe(later);
    EXPECT_EQ(role->how, severity::danger);
    const auto* path = find(later, "functions", "function monitoring.sessions()", "");
    ASSERT_NE(path, nullptr) << describe(later);
    EXPECT_EQ(path->how, severity::danger);
    as_admin(
        expand("revoke temporary on database {database} from {prefix}_bi;"
               "drop role t_00000000000000000000000000000003; drop function {a}.theirs();"
               "drop schema monitoring, extensions cascade; drop owned by {prefix}_bi;"
               "alter default privileges revoke execute on functions from {prefix}_bi;"
               "drop role {prefix}_bi"));
    EXPECT_EQ(describe(examine()), "");
}

TEST_F(verify_more_faults, tenants_in_every_state_of_their_lives_are_sound) {
    struct life {
        bool made;
        std::vector<std::string> states;
        const char* dropped;  ///< what of it is gone
    };
    const std::vector<life> lives{
        {false, {}, ""},
        {true, {}, ""},
        {false, {"failed"}, ""},
        {true, {"failed"}, ""},
        {false, {"failed", "pending_deletion"}, ""},
        {true, {"ready", "suspended"}, ""},
        {true, {"ready", "suspended", "pending_deletion"}, ""},
        {true, {"ready", "pending_deletion"}, ""},
        {true, {"ready", "pending_deletion", "deleting"}, ""},
        {true, {"ready", "pending_deletion", "deleting"}, "schema"},
        {true, {"ready", "pending_deletion", "deleting", "gone"}, "role and schema"},
    };
    sql_connection worker(database->conninfo(database->roles().worker()));
    std::vector<std::string> made;
    for (const auto& one : lives) {
        const auto id = tenant_id::make().str();
        made.push_back(id);
        worker.query("insert into control.tenant (id, slug, name, cell) values ('" + id +
                     "', 'state-" + std::to_string(made.size()) + "', 'x', 1)");
        if (one.made) {
            worker.query("select provision.create_tenant('" + id + "', 1)");
        }
        for (const auto& state : one.states) {
            worker.query("update control.tenant set status = '" + state +
                         "', purge_at = now(), deletion_run = id where id = '" + id + "'");
            const std::string dropped = state == "deleting" ? one.dropped : "";
            if (!dropped.empty()) {
                worker.query("select provision.drop_tenant_schema('" + id + "')");
            }
            if (dropped == "role and schema") {
                worker.query("select provision.drop_tenant_role('" + id + "')");
            }
        }
    }
    EXPECT_EQ(describe(examine()), "");
    for (const auto& id : made) {
        const auto name = tenancy::tenant_name(*tenant_id::parse(id));
        as_admin("drop schema if exists " + name + " cascade; drop role if exists " + name +
                 "; delete from control.tenant where id = '" + id + "'");
    }
}

TEST_F(verify_more_faults, more_than_are_listed_are_counted_as_what_they_are) {
    as_admin(
        expand("create role {prefix}_bi; do $$ begin for i in 1 .. 60 loop"
               " execute format('create table {a}.many_%s (i integer)', i);"
               " execute format('alter table {a}.many_%s owner to {prefix}_schema_owner', i);"
               " execute format('grant select, insert on {a}.many_%s to {prefix}_bi', i);"
               " execute format('grant select on {a}.many_%s to {b}', i); end loop; end $$"));
    auto report = examine();
    EXPECT_EQ(report.count(severity::danger), 60);
    EXPECT_EQ(report.count(severity::notice), 120);
    // Whatever an operator accepts of those that are listed, the rest is told.
    for (auto& check : report.checks) {
        EXPECT_LE(check.findings.size(), std::size_t{tenancy::findings_max});
        for (auto& some : check.findings) {
            some.how = severity::accepted;
        }
    }
    EXPECT_TRUE(report.isolated());
    EXPECT_EQ(report.count(severity::notice), 80);
    as_admin(
        expand("do $$ begin for i in 1 .. 60 loop execute format('drop table {a}.many_%s', i);"
               " end loop; end $$; drop owned by {prefix}_bi; drop role {prefix}_bi"));
}

// As when it is dropped between the snapshot and the look at its name.
TEST_F(verify_more_faults, what_has_gone_meanwhile_is_told_and_not_counted_in_silence) {
    as_admin(expand(
        "set allow_system_table_mods = on; insert into pg_shdepend select d.oid,"
        " 'pg_type'::regclass, 4000000000, 0, 'pg_authid'::regclass, r.oid, 'o' from pg_roles r,"
        " pg_database d where r.rolname = '{prefix}_cell_0' and d.datname = current_database()"));
    const auto report = examine();
    as_admin("set allow_system_table_mods = on; delete from pg_shdepend where objid = 4000000000");
    const auto* found = find(report, "owned", "something that is gone", "");
    ASSERT_NE(found, nullptr) << describe(report);
    EXPECT_FALSE(found->mend.empty());
    EXPECT_EQ(report.count(severity::danger), 1);
}

}  // namespace
}  // namespace insula::test
