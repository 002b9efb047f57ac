// What verify-isolation tries on its two temporary tenants: each kind of attempt notices the fault
// that it is there for, and nothing stays behind.

#include "verify_fixture.hpp"

#include <algorithm>

namespace insula::test {
namespace {

using tenancy::severity;

struct verify_probes : verify_isolation {
    static bool dangers_of(const tenancy::isolation_report& report, std::string_view check) {
        return std::ranges::any_of(report.checks, [check](const auto& some) {
            return some.name == check && !some.findings.empty();
        });
    }
    /// The function's text with something replaced; the text as it was, to put it back.
    std::string change(const std::string& function, const std::string& from,
                       const std::string& to) {
        auto before = admin("select pg_get_functiondef('" + function + "'::regprocedure)");
        auto after = before;
        const auto at = after.find(from);
        if (at == std::string::npos) {
            throw std::runtime_error("no " + from + " in " + before);
        }
        as_admin(after.replace(at, from.size(), to));
        return before;
    }
};

TEST_F(verify_probes, G02_on_a_sound_database_every_attempt_is_refused_and_nothing_stays_behind) {
    const auto before = tenants_and_schemas();
    const auto report = probe();
    EXPECT_TRUE(report.isolated()) << describe(report);
    std::int64_t attempts = 0;
    for (const auto& check : report.checks) {
        EXPECT_GT(check.looked_at, 0) << check.name;
        attempts += check.looked_at;
    }
    EXPECT_GT(attempts, 200);
    // The tests' cluster asks nobody for a password; that is for its operator to judge.
    EXPECT_EQ(report.count(severity::notice), 1) << describe(report);
    EXPECT_EQ(tenants_and_schemas(), before);
}

TEST_F(verify_probes, G02_a_provisioner_that_opens_each_schema_to_all_tenants_is_noticed) {
    const auto before = change(
        "provision.create_tenant_schema(uuid)", "return provision.apply_tenant_migrations(tenant);",
        expand("perform provision.apply_tenant_migrations(tenant);"
               "execute format('grant usage on schema %I to {prefix}_tenant;"
               " grant select on all tables in schema %I to {prefix}_tenant',"
               " schema_name, schema_name); return 1;"));
    const auto report = probe();
    as_admin(before);
    EXPECT_TRUE(dangers_of(report, "probe_other_tenant")) << describe(report);
    EXPECT_FALSE(dangers_of(report, "probe_without_scope")) << "the login inherits nothing";
}

TEST_F(verify_probes, G02_a_schema_that_is_open_without_a_scope_is_noticed) {
    const auto before = change("provision.create_tenant_schema(uuid)",
                               "return provision.apply_tenant_migrations(tenant);",
                               "perform provision.apply_tenant_migrations(tenant);"
                               "execute format('grant usage on schema %I to public;"
                               " grant delete on all tables in schema %I to public',"
                               " schema_name, schema_name); return 1;");
    const auto report = probe();
    as_admin(before);
    EXPECT_TRUE(dangers_of(report, "probe_without_scope")) << describe(report);
}

TEST_F(verify_probes, G02_a_tenant_that_every_cell_may_become_is_noticed) {
    const auto before = change(
        "provision.create_tenant_role(uuid,integer)",
        "execute format('grant %I to %I', tenant_role, cell_role);",
        expand("execute format('grant %I to {prefix}_cell_0, {prefix}_cell_1', tenant_role);"));
    const auto report = probe();
    as_admin(before);
    EXPECT_TRUE(dangers_of(report, "probe_other_cell")) << describe(report);
}

TEST_F(verify_probes, a_cell_that_cannot_become_its_own_tenant_is_no_proof_of_isolation) {
    const auto before =
        change("provision.create_tenant_role(uuid,integer)",
               "execute format('grant %I to %I', tenant_role, cell_role);", "null;");
    const auto report = probe();
    as_admin(before);
    EXPECT_FALSE(report.isolated());
    EXPECT_NE(report.trouble.find("cannot become its own tenant"), std::string::npos)
        << describe(report);
}

TEST_F(verify_probes, G07_functions_that_take_the_tenant_from_elsewhere_are_noticed) {
    const auto before = change("tenant_api.current_tenant()", "return substr(role_name, 3)::uuid;",
                               "return '00000000-0000-0000-0000-000000000000';");
    const auto report = probe();
    as_admin(before);
    EXPECT_TRUE(dangers_of(report, "probe_functions")) << describe(report);
}

struct grant {
    const char* name;
    const char* plant;
    const char* undo;
    const char* check;
};

constexpr grant grants[] = {
    {"temporary_tables", "grant temporary on database {database} to public",
     "revoke temporary on database {database} from public", "probe_create"},
    {"schema_public", "grant all on schema public to public",
     "revoke all on schema public from public", "probe_create"},
    {"large_objects", "grant execute on function lo_create(oid) to public",
     "revoke execute on function lo_create(oid) from public", "probe_create"},
    {"code_blocks", "grant usage on language plpgsql to public",
     "revoke usage on language plpgsql from public", "probe_create"},
    {"another_cell",
     "grant {prefix}_cell_0 to {prefix}_cell_1; grant {prefix}_cell_1 to {prefix}_worker",
     "revoke {prefix}_cell_0 from {prefix}_cell_1; revoke {prefix}_cell_1 from {prefix}_worker",
     "probe_become"},
    {"accounts",
     "grant usage on schema control to {prefix}_tenant; grant select on control.account to "
     "{prefix}_tenant",
     "revoke usage on schema control from {prefix}_tenant;"
     "revoke select on control.account from {prefix}_tenant",
     "probe_control"},
    {"provisioning", "grant execute on function provision.create_tenant(uuid, integer) to public",
     "revoke execute on function provision.create_tenant(uuid, integer) from public",
     "probe_control"},
    {"locks", "grant execute on function pg_advisory_lock(bigint) to public",
     "revoke execute on function pg_advisory_lock(bigint) from public", "probe_server"},
    {"files", "grant execute on function pg_read_file(text) to public",
     "revoke execute on function pg_read_file(text) from public", "probe_server"},
    {"settings", "grant set on parameter session_replication_role to public",
     "revoke set on parameter session_replication_role from public", "probe_server"},
    {"sessions",
     "grant pg_signal_backend to {prefix}_tenant; grant pg_read_all_stats to {prefix}_tenant",
     "revoke pg_signal_backend from {prefix}_tenant; revoke pg_read_all_stats from {prefix}_tenant",
     "probe_server"},
};

TEST_F(verify_probes, G07_rights_that_nobody_should_have_are_noticed_by_using_them) {
    const auto before = tenants_and_schemas();
    for (const auto& one : grants) {
        SCOPED_TRACE(one.name);
        as_admin(expand(one.plant));
        const auto report = probe();
        as_admin(expand(one.undo));
        EXPECT_FALSE(report.isolated());
        EXPECT_TRUE(dangers_of(report, one.check)) << describe(report);
    }
    EXPECT_EQ(tenants_and_schemas(), before) << "attempts that succeeded were rolled back";
    EXPECT_TRUE(probe().isolated());
}

TEST_F(verify_probes, an_interrupted_run_says_so_and_removes_its_tenants) {
    const auto before = tenants_and_schemas();
    int asked = 0;
    const auto report = probe([&asked] { return ++asked == 40; });
    EXPECT_NE(report.trouble.find("Interrupted"), std::string::npos) << describe(report);
    EXPECT_FALSE(report.isolated());
    EXPECT_EQ(tenants_and_schemas(), before);
}

TEST_F(verify_probes, what_a_killed_run_left_is_removed_by_the_next_and_a_persons_tenant_is_not) {
    const auto before = tenants_and_schemas();
    const auto make = [](const std::string& name) {
        const auto id = tenant_id::make();
        sql_connection worker(database->conninfo(database->roles().worker()));
        worker.query("insert into control.tenant (id, slug, name, cell) values ($1, $2, $3, 0)",
                     {id.str(), "verify-isolation-" + tenancy::tenant_name(id).substr(2), name});
        worker.query("select provision.create_tenant($1, 0)", {id.str()});
        return id;
    };
    (void)make("insula verify-isolation");
    // Somebody who likes the name, in the middle of a registration: it has an owner.
    const auto person = make("insula verify-isolation");
    as_admin("insert into control.membership (tenant_id, user_id, role) values ('" + person.str() +
             "', '" + tenants.at("a").owner.str() + "', 'owner')");
    const auto report = probe();
    EXPECT_TRUE(report.isolated()) << describe(report);
    EXPECT_EQ(admin("select count(*) from control.tenant where name = 'insula verify-isolation'"),
              "1");
    as_admin("delete from control.membership where tenant_id = '" + person.str() + "'");
    EXPECT_TRUE(probe().isolated());
    EXPECT_EQ(tenants_and_schemas(), before);
}

TEST_F(verify_probes, one_run_at_a_time) {
    sql_connection other(database->conninfo(database->roles().owner()));
    other.query("select pg_advisory_lock(x'696e73756c6108'::bigint)");
    const auto report = probe();
    EXPECT_NE(report.trouble.find("Another verify-isolation is running"), std::string::npos)
        << describe(report);
    EXPECT_FALSE(report.isolated());
}

}  // namespace
}  // namespace insula::test
