#include "verify_attempts.hpp"

#include <fmt/format.h>

#include <string>

namespace insula::tenancy::detail {
namespace {

using must = attempt::must;

attempt refused(std::string role, std::string sql, std::string or_else = {}) {
    return {.role = std::move(role), .sql = std::move(sql), .refusal = std::move(or_else)};
}

attempt answers(std::string role, std::string sql, std::vector<std::string> before = {}) {
    return {.role = std::move(role),
            .sql = std::move(sql),
            .what = must::answer_true,
            .refusal = {},
            .before = std::move(before)};
}

attempt on_neighbour(attempt one) {
    one.on_neighbour = true;
    return one;
}

/// Where doing it could not be taken back.
attempt may_not_call(std::string role, const std::string& function) {
    return answers(std::move(role),
                   "select not has_function_privilege('" + function + "', 'execute')");
}

bool is_table(const relation& some) {
    return some.kind == 'r' || some.kind == 'p';
}

void read_only(const std::string& role, const relation& some, std::vector<attempt>& to) {
    if (some.kind == 'S') {
        to.push_back(refused(role, "select last_value from " + some.name));
        to.push_back(refused(role, "select nextval('" + some.name + "')"));
    } else {
        to.push_back(refused(role, "select 1 from " + some.name + " limit 0"));
    }
}

void every_verb(const std::string& role, const relation& some, std::vector<attempt>& to) {
    read_only(role, some, to);
    if (!is_table(some)) {
        return;
    }
    to.push_back(refused(role, "insert into " + some.name + " default values"));
    to.push_back(refused(role, "delete from " + some.name + " where false"));
    if (!some.column.empty()) {
        to.push_back(refused(
            role, "update " + some.name + " set " + some.column + " = default where false"));
    }
    to.push_back(refused(role, "truncate " + some.name));
    to.push_back(refused(role, "lock table " + some.name + " in access share mode"));
}

attempt_group own(const attempt_plan& plan) {
    attempt_group group{"probe_own", plan.roles.cell(plan.cell), {}};
    for (const auto* tenant : {&plan.a, &plan.b}) {
        group.attempts.push_back(
            {.role = tenant->role(), .sql = "select 1", .what = must::succeed});
        for (const auto& some : tenant->relations) {
            if (is_table(some)) {
                group.attempts.push_back({.role = tenant->role(),
                                          .sql = "select 1 from " + some.name + " limit 0",
                                          .what = must::succeed});
            }
        }
    }
    return group;
}

attempt_group without_scope(const attempt_plan& plan, const std::string& login) {
    attempt_group group{"probe_without_scope", login, {}};
    for (const auto& some : plan.a.relations) {
        every_verb({}, some, group.attempts);
    }
    return group;
}

attempt_group other_tenant(const attempt_plan& plan) {
    attempt_group group{"probe_other_tenant", plan.roles.cell(plan.cell), {}};
    for (const auto& some : plan.b.relations) {
        every_verb(plan.a.role(), some, group.attempts);
    }
    group.attempts.push_back(
        answers(plan.a.role(), "select not has_schema_privilege(" + quote_literal(plan.b.role()) +
                                   ", 'usage') and not has_schema_privilege(" +
                                   quote_literal(plan.b.role()) + ", 'create')"));
    return group;
}

attempt_group other_cell(const attempt_plan& plan, int cell) {
    attempt_group group{"probe_other_cell", plan.roles.cell(cell), {}};
    for (const auto* tenant : {&plan.a, &plan.b}) {
        group.attempts.push_back(refused({}, "set role " + tenant->role()));
        for (const auto& some : tenant->relations) {
            read_only({}, some, group.attempts);
        }
    }
    group.attempts.push_back(
        on_neighbour(refused({}, fmt::format("select pg_terminate_backend({})", plan.neighbour))));
    return group;
}

std::vector<std::string> other_roles(const attempt_plan& plan) {
    const auto& r = plan.roles;
    std::vector<std::string> all{r.owner(),       r.app(),          r.worker(),
                                 r.provisioner(), r.schema_owner(), r.gatekeeper()};
    for (const int cell : plan.other_cells) {
        all.push_back(r.cell(cell));
    }
    return all;
}

attempt_group become(const attempt_plan& plan) {
    attempt_group group{"probe_become", plan.roles.cell(plan.cell), {}};
    for (const auto& scope : {std::string(), plan.a.role()}) {
        for (const auto& role : other_roles(plan)) {
            group.attempts.push_back(refused(scope, "set role " + role));
        }
        group.attempts.push_back(refused(scope, "set session authorization " + plan.roles.owner()));
    }
    return group;
}

/// The service's own logins are no tenants.
attempt_group service_login(const attempt_plan& plan, const std::string& login) {
    attempt_group group{"probe_become", login, {}};
    group.attempts.push_back(refused({}, "set role " + plan.a.role()));
    group.attempts.push_back(refused({}, "set role " + plan.roles.cell(plan.cell)));
    group.attempts.push_back(refused({}, "set role " + plan.roles.provisioner()));
    group.attempts.push_back(refused({}, "set role " + plan.roles.schema_owner()));
    return group;
}

void make_things(const std::string& scope, const std::string& schema, std::vector<attempt>& to) {
    for (const auto* sql :
         {"create table {}.verify_it (i integer)", "create view {}.verify_it as select 1",
          "create function {}.verify_it() returns integer language sql return 1",
          "create type {}.verify_it as enum ('a')", "create sequence {}.verify_it"}) {
        // A database without a schema public is none the worse.
        to.push_back(refused(scope, fmt::format(fmt::runtime(sql), schema), "3F000"));
    }
}

attempt_group create(const attempt_plan& plan) {
    attempt_group group{"probe_create", plan.roles.cell(plan.cell), {}};
    auto& all = group.attempts;
    const auto tenant = plan.a.role();
    for (const auto& scope : {std::string(), tenant}) {
        make_things(scope, tenant, all);
        make_things(scope, "public", all);
        for (const auto* sql :
             {"create temporary table verify_it (i integer)", "create schema verify_it",
              "create role verify_it", "do $$ begin null; end $$", "select lo_create(0)",
              "select lo_from_bytea(0, 'x')", "create publication verify_it",
              "create foreign data wrapper verify_it",
              "create event trigger verify_it on ddl_command_start execute function "
              "pg_catalog.suppress_redundant_updates_trigger()",
              "create function tenant_api.verify_it() returns integer language sql return 1"}) {
            all.push_back(refused(scope, sql));
        }
    }
    for (const auto& some : plan.a.relations) {
        if (!is_table(some)) {
            continue;
        }
        for (const auto* sql :
             {"alter table {} add column verify_it integer", "drop table {}", "truncate {}",
              "comment on table {} is 'x'", "create index on {} ((1))",
              "create rule verify_it as on insert to {} do nothing",
              "create policy verify_it on {} using (true)",
              "create trigger verify_it before insert on {} for each row execute function "
              "pg_catalog.suppress_redundant_updates_trigger()"}) {
            all.push_back(refused(tenant, fmt::format(fmt::runtime(sql), some.name)));
        }
    }
    return group;
}

attempt_group control(const attempt_plan& plan) {
    attempt_group group{"probe_control", plan.roles.cell(plan.cell), {}};
    for (const auto& scope : {std::string(), plan.a.role()}) {
        for (const auto& some : plan.control) {
            if (some.kind == 'S') {  // what nextval() has taken, nobody gives back
                group.attempts.push_back(refused(scope, "select last_value from " + some.name));
                group.attempts.push_back(
                    answers(scope,
                            "select not has_sequence_privilege(c.oid, 'usage') from pg_class c"
                            " join pg_namespace n on n.oid = c.relnamespace"
                            " where format('%I.%I', n.nspname, c.relname) = " +
                                quote_literal(some.name)));
            } else {
                read_only(scope, some, group.attempts);
            }
        }
        group.attempts.push_back(
            refused(scope, "select provision.drop_tenant('" + plan.b.id.str() + "')"));
        group.attempts.push_back(answers(
            scope,
            "select count(*) = 0 from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            " where n.nspname in ('control', 'queue', 'provision')"
            " and has_function_privilege(p.oid, 'execute')"));
    }
    return group;
}

attempt_group functions(const attempt_plan& plan) {
    attempt_group group{"probe_functions", plan.roles.cell(plan.cell), {}};
    auto& all = group.attempts;
    const auto to = [](const std::string& role) {
        return "select set_config('role', '" + role + "', true)";
    };
    const std::string list =
        "select * from tenant_api.audit_list(null, null, null, null, null, null, 50)";
    const std::string count = "from tenant_api.audit_list(null, null, null, null, null, null, 50)";
    const std::string add =
        "select tenant_api.audit_add(gen_random_uuid(), 'project.create', 'project', 'verify', "
        "null,"
        " null, null, null, null)";
    const std::string key = "decode(repeat('5a', 32), 'hex')";
    const std::string take =
        "select tenant_api.idempotency_take(" + key + ", " + key + ", '\\x01')";
    all.push_back(answers(plan.a.role(), "select count(*) = 1 " + count, {add}));
    all.push_back(answers(plan.a.role(), "select count(*) = 0 " + count, {add, to(plan.b.role())}));
    all.push_back(answers(plan.a.role(),
                          "select count(*) = 0 from tenant_api.idempotency_answer(" + key + ")",
                          {take, to(plan.b.role())}));
    all.push_back(refused({}, list));
    all.push_back(refused({}, add));
    // The group that all tenants are in is no tenant.
    all.push_back(refused(plan.roles.prefix() + "_tenant", list, "IT403"));
    all.push_back(refused(plan.roles.prefix() + "_tenant", add, "IT403"));
    return group;
}

attempt_group server(const attempt_plan& plan) {
    attempt_group group{"probe_server", plan.roles.cell(plan.cell), {}};
    auto& all = group.attempts;
    for (const auto& scope : {std::string(), plan.a.role()}) {
        for (const auto* sql :
             {"select pg_advisory_xact_lock(1)", "select pg_try_advisory_xact_lock(1, 1)",
              "select pg_read_file('PG_VERSION')", "select pg_ls_dir('.')",
              "copy (select 1) to program 'true'", "set local session_replication_role = replica",
              "set local lo_compat_privileges = on", "select rolpassword from pg_authid limit 0"}) {
            all.push_back(refused(scope, sql));
        }
        for (const auto* function :
             {"pg_advisory_lock(bigint)", "pg_try_advisory_lock(bigint)",
              "pg_try_advisory_lock_shared(bigint)", "pg_reload_conf()", "pg_rotate_logfile()"}) {
            all.push_back(may_not_call(scope, function));
        }
    }
    const auto pid = std::to_string(plan.neighbour);
    all.push_back(on_neighbour(refused(plan.a.role(), "select pg_cancel_backend(" + pid + ")")));
    all.push_back(on_neighbour(
        answers(plan.a.role(), "select count(*) = 0 from pg_stat_activity where pid = " + pid +
                                   " and query like '%" + plan.mark + "%'")));
    all.push_back(on_neighbour(refused(plan.a.role(), "select pg_terminate_backend(" + pid + ")")));
    return group;
}

}  // namespace

std::vector<attempt_group> plan_attempts(const attempt_plan& plan) {
    const auto& r = plan.roles;
    std::vector<attempt_group> all{own(plan), without_scope(plan, r.cell(plan.cell)),
                                   other_tenant(plan)};
    for (const int cell : plan.other_cells) {
        all.push_back(other_cell(plan, cell));
    }
    all.push_back(become(plan));
    for (const auto& login : {r.app(), r.worker(), r.owner()}) {
        all.push_back(without_scope(plan, login));
        all.push_back(service_login(plan, login));
    }
    all.push_back(create(plan));
    all.push_back(control(plan));
    all.push_back(functions(plan));
    all.push_back(server(plan));
    return all;
}

}  // namespace insula::tenancy::detail
