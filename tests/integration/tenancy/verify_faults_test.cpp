// Faults planted one at a time: each is found by its name, and what the report says mends it.

#include "verify_fixture.hpp"

#include <algorithm>

namespace insula::test {
namespace {

using tenancy::severity;

struct fault {
    const char* name;
    const char* plant;
    const char* check;   ///< that must find it
    const char* object;  ///< part of the finding's object
    /// Other checks that see it too, separated by spaces.
    const char* also = "";
    /// What mends it instead of the SQL that the report names.
    const char* by_hand = "";
};

// {prefix}, {a}, {b}, {c}: the roles' prefix, two tenants of cell 0 and one of cell 1.
constexpr fault faults[] = {
    {"a cell with BYPASSRLS", "alter role {prefix}_cell_0 bypassrls", "roles",
     "role {prefix}_cell_0"},
    {"a login that may create roles", "alter role {prefix}_worker createrole", "roles",
     "role {prefix}_worker"},
    {"a cell that inherits", "alter role {prefix}_cell_1 inherit", "roles", "role {prefix}_cell_1"},
    {"a provisioner that logs in", "alter role {prefix}_provisioner login", "roles",
     "role {prefix}_provisioner"},
    {"a role is missing", "alter role {prefix}_gatekeeper rename to {prefix}_away", "roles",
     "role {prefix}_gatekeeper", "functions control_tables",
     "alter role {prefix}_away rename to {prefix}_gatekeeper"},
    {"a cell with a tenant of another cell", "grant {c} to {prefix}_cell_0", "memberships",
     "role {prefix}_cell_0"},
    {"a tenant that may become another", "grant {b} to {a}", "memberships", "role {a}"},
    {"a cell that may become the provisioner", "grant {prefix}_provisioner to {prefix}_cell_0",
     "memberships", "role {prefix}_cell_0"},
    {"somebody else who may become a tenant", "create role {prefix}_joe; grant {a} to {prefix}_joe",
     "memberships", "role {prefix}_joe", "", "drop role {prefix}_joe"},
    {"a cell that may give its tenants on", "grant {a} to {prefix}_cell_0 with admin option",
     "memberships", "role {prefix}_cell_0"},
    {"a login that reads the server's files", "grant pg_read_server_files to {prefix}_worker",
     "memberships", "role {prefix}_worker"},
    {"a tenant that logs in", "alter role {a} login", "tenant_roles", "role {a}"},
    {"a cell that lost a tenant", "revoke {a} from {prefix}_cell_0", "cells", "tenant {a}"},
    {"a row that names another cell", "update control.tenant set cell = 0 where slug = 'ccc'",
     "cells", "tenant {c}", "memberships",
     "revoke {c} from {prefix}_cell_0; update control.tenant set cell = 1 where slug = 'ccc';"
     "grant {c} to {prefix}_cell_1"},
    {"a schema that nobody has",
     "create schema t_00000000000000000000000000000001 authorization {prefix}_schema_owner",
     "leftovers", "schema t_00000000000000000000000000000001"},
    {"a role that nobody has",
     "create role t_00000000000000000000000000000002 in role {prefix}_tenant", "leftovers",
     "role t_00000000000000000000000000000002"},
    {"temporary tables for all", "grant temporary on database {database} to public", "database",
     "database {database}"},
    {"everybody may create in public", "grant create on schema public to public", "schemas",
     "schema public"},
    {"everybody may use the control plane", "grant usage on schema control to {prefix}_tenant",
     "schemas", "schema control"},
    {"a tenant that may use another's schema", "grant usage on schema {b} to {a}", "schemas",
     "schema {b}"},
    {"a tenant that may create in its own schema", "grant create on schema {a} to {a}", "schemas",
     "schema {a}"},
    {"a tenant's schema of another owner", "alter schema {a} owner to {prefix}_worker", "schemas",
     "schema {a}", "owned"},
    {"a table for everybody", "grant select on {b}.projects to public", "tenant_tables",
     "table {b}.projects"},
    {"a table for another tenant", "grant select on {b}.projects to {a}", "tenant_tables",
     "table {b}.projects"},
    {"a column for another tenant", "grant select (name) on {b}.projects to {a}", "tenant_tables",
     "table {b}.projects"},
    {"a tenant that may attach code to its table", "grant trigger on {a}.projects to {a}",
     "tenant_tables", "table {a}.projects"},
    {"a table of another owner", "alter table {a}.projects owner to {prefix}_cell_0",
     "tenant_tables", "table {a}.projects", "owned"},
    {"accounts for tenants", "grant select on control.account to {prefix}_tenant", "control_tables",
     "table control.account"},
    {"history that can be changed", "grant update on control.audit_log to {prefix}_app",
     "control_tables", "table control.audit_log"},
    {"row security on the tenants' rows",
     "alter table control.tenant enable row level security;"
     "create policy everybody on control.tenant using (true)",
     "control_tables", "table control.tenant", "",
     "drop policy everybody on control.tenant; alter table control.tenant disable row level "
     "security"},
    {"a function of the control plane for all",
     "grant execute on function control.lock_tenant(uuid, text[]) to public", "function_rights",
     "function control.lock_tenant(uuid,text[])"},
    {"the provisioner's function for the service",
     "grant execute on function provision.create_tenant_role(uuid, integer) to {prefix}_app",
     "function_rights", "function provision.create_tenant_role(uuid,integer)"},
    {"another function for tenants",
     "create function tenant_api.more() returns integer language sql set search_path = pg_catalog,"
     " pg_temp return 1; alter function tenant_api.more() owner to {prefix}_owner;"
     "revoke all on function tenant_api.more() from public;"
     "grant execute on function tenant_api.more() to {prefix}_tenant",
     "function_rights", "function tenant_api.more()", "shipped_code",
     "drop function tenant_api.more()"},
    {"session locks for all", "grant execute on function pg_advisory_lock(bigint) to public",
     "function_rights", "function pg_advisory_lock(bigint)"},
    {"files for all", "grant execute on function pg_read_file(text) to public", "function_rights",
     "function pg_read_file(text)"},
    {"a type that a cell owns",
     "create schema things; create type things.colour as enum ('red');"
     "alter type things.colour owner to {prefix}_cell_0",
     "owned", "type things.colour", "", "drop schema things cascade"},
    {"new tables for everybody",
     "alter default privileges for role {prefix}_schema_owner grant select on tables to public",
     "default_privileges", "default privileges of {prefix}_schema_owner for tables"},
    {"new functions for everybody",
     "alter default privileges for role {prefix}_owner grant execute on functions to public",
     "default_privileges", "default privileges of {prefix}_owner for functions"},
    {"an unpinned function", "alter function tenant_api.audit_time(uuid) reset search_path",
     "functions", "function tenant_api.audit_time(uuid)", "shipped_code"},
    {"a path that looks in public",
     "alter function tenant_api.audit_time(uuid) set search_path = public, pg_temp", "functions",
     "function tenant_api.audit_time(uuid)", "shipped_code"},
    {"a path that looks among temporary tables first",
     "alter function tenant_api.audit_time(uuid) set search_path = pg_catalog", "functions",
     "function tenant_api.audit_time(uuid)", "shipped_code"},
    {"a function of another owner", "alter function tenant_api.audit_time(uuid) owner to {a}",
     "functions", "function tenant_api.audit_time(uuid)", "shipped_code"},
    {"a tenant's function with its owner's rights",
     "create function {a}.all_of() returns bigint language sql security definer set search_path ="
     " pg_catalog, pg_temp as 'select 1::bigint';"
     "alter function {a}.all_of() owner to {prefix}_schema_owner",
     "functions", "function {a}.all_of()", "", "drop function {a}.all_of()"},
    {"a function that changes the role",
     "create function {a}.hop() returns void language plpgsql as $$ begin set local role x; end $$;"
     "alter function {a}.hop() owner to {prefix}_schema_owner",
     "role_changing_code", "function {a}.hop()"},
    {"a function that changes the role by set_config",
     "create function {a}.hop() returns text language sql as"
     " $$ select set_config('ro' || 'le', 'x', true) $$;"
     "alter function {a}.hop() owner to {prefix}_schema_owner",
     "role_changing_code", "function {a}.hop()"},
    {"a default that changes the role",
     "alter table {a}.projects alter column description set default"
     " set_config('role', 'x', true)",
     "role_changing_code", "default of a column of {a}.projects", "",
     "alter table {a}.projects alter column description drop default"},
    {"a function that is set to another role",
     "create function {a}.hop() returns integer language sql set role = {a} return 1;"
     "alter function {a}.hop() owner to {prefix}_schema_owner",
     "role_changing_code", "function {a}.hop()"},
    {"an event trigger",
     "create function public.watch() returns event_trigger language plpgsql as"
     " $$ begin null; end $$;"
     "create event trigger watch on ddl_command_start execute function public.watch()",
     "triggers", "event trigger watch", "", "drop function public.watch() cascade"},
    {"a stranger's trigger on the tenants' rows",
     "create function public.peek() returns trigger language plpgsql as"
     " $$ begin return new; end $$;"
     "create trigger peek before update on control.tenant for each row"
     " execute function public.peek()",
     "triggers", "trigger peek on control.tenant", "shipped_code",
     "drop function public.peek() cascade"},
    {"a view that shows another tenant",
     "create view {a}.theirs as select * from {b}.projects;"
     "alter view {a}.theirs owner to {prefix}_schema_owner; grant select on {a}.theirs to {a}",
     "cross_references", "{a}.theirs", "", "drop view {a}.theirs"},
    {"a view over two tenants elsewhere",
     "create schema reports; create view reports.all_of as"
     " select name from {a}.projects union all select name from {b}.projects",
     "cross_references", "reports.all_of", "", "drop schema reports cascade"},
    {"a foreign key into another tenant",
     "alter table {a}.projects add constraint theirs foreign key (id) references {b}.projects",
     "cross_references", "constraint theirs", "",
     "alter table {a}.projects drop constraint theirs"},
    {"a function that names another tenant's schema",
     "create function {a}.theirs() returns bigint language plpgsql as"
     " $$ begin return (select count(*) from {b}.projects); end $$;"
     "alter function {a}.theirs() owner to {prefix}_schema_owner",
     "cross_references", "function {a}.theirs()"},
    {"an extension that connects",
     "create schema extensions; create extension dblink schema extensions", "extensions",
     "extension dblink", "function_rights",
     "drop extension dblink; drop schema extensions cascade"},
    {"an extension in a tenant's schema", "create extension pg_trgm schema {a}", "extensions",
     "extension pg_trgm", "tenant_tables owned function_rights functions",
     "drop extension pg_trgm"},
    {"code blocks for everybody", "grant usage on language plpgsql to public", "languages",
     "language plpgsql"},
    {"another server",
     "create extension postgres_fdw; create server theirs foreign data wrapper postgres_fdw;"
     "create user mapping for {prefix}_cell_0 server theirs",
     "foreign_data", "foreign server theirs", "extensions owned",
     "drop extension postgres_fdw cascade"},
    {"a large object for everybody",
     "select lo_create(424242); grant select on large object 424242 to public", "large_objects",
     "large object 424242", "", "select lo_unlink(424242)"},
    {"a tablespace for a cell", "grant create on tablespace pg_default to {prefix}_cell_0",
     "tablespaces", "tablespace pg_default", "owned"},
    {"a cell that starts as a tenant", "alter role {prefix}_cell_0 set role = {a}", "settings",
     "setting role of role {prefix}_cell_0"},
    {"a path for the whole database", "alter database {database} set search_path = public",
     "settings", "setting search_path of database {database}"},
    {"a parameter that turns triggers off",
     "grant set on parameter session_replication_role to {prefix}_worker", "settings",
     "parameter session_replication_role"},
};

bool holds(std::string_view words, const std::string& word) {
    return (" " + std::string(words) + " ").find(" " + word + " ") != std::string::npos;
}

struct verify_faults : verify_isolation {
    /// What the report says, where that is SQL.
    void mend(const tenancy::isolation_report& report) {
        for (const auto& check : report.checks) {
            for (const auto& some : check.findings) {
                const auto verb = some.mend.substr(0, some.mend.find(' '));
                if (some.how == severity::danger && holds("alter create grant revoke drop", verb) &&
                    some.mend.find(" … ") == std::string::npos &&
                    some.mend.find(", or ") == std::string::npos && some.mend != "drop it") {
                    SCOPED_TRACE(some.mend);
                    EXPECT_NO_THROW(as_admin(some.mend));
                }
            }
        }
    }
};

TEST_F(verify_faults,
       G07_every_planted_fault_is_found_by_its_name_and_mended_by_what_the_report_says) {
    ASSERT_EQ(describe(examine()), "");
    for (const auto& one : faults) {
        SCOPED_TRACE(one.name);
        as_admin(expand(one.plant));
        const auto report = examine();
        EXPECT_FALSE(report.isolated());
        bool found = false;
        for (const auto& check : report.checks) {
            EXPECT_EQ(check.trouble, "") << check.name;
            for (const auto& some : check.findings) {
                const bool named = some.object.find(expand(one.object)) != std::string::npos;
                found |= check.name == one.check && named && some.how == severity::danger;
                EXPECT_TRUE(check.name == one.check || holds(one.also, check.name))
                    << check.name << " found " << some.object << ": " << some.what;
                EXPECT_FALSE(some.what.empty() || some.mend.empty());
            }
        }
        EXPECT_TRUE(found) << expand(one.object) << " is not in\n" << describe(report);
        // Whether it is mended shows when the next one is looked for.
        if (*one.by_hand != '\0') {
            as_admin(expand(one.by_hand));
        } else {
            mend(report);
        }
        if (HasFailure()) {
            FAIL() << describe(report);
        }
    }
    EXPECT_EQ(describe(examine()), "") << "something was not mended";
}

}  // namespace
}  // namespace insula::test
