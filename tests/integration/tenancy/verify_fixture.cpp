#include "verify_fixture.hpp"

namespace insula::test {

std::unique_ptr<installed_database> verify_isolation::database;
std::unique_ptr<running_loop> verify_isolation::loop;
std::map<std::string, installed_database::tenant> verify_isolation::tenants;

runtime::awaitable<pg::pg_result<pg::lease>> pooled_logins::open(std::string login) {
    auto& pool = pools_[login];
    if (!pool) {
        pool = std::make_unique<pg::pool>(
            home_,
            pg::pool_options{
                .name = login, .conninfo = database_.conninfo(login), .exclusive_max = 2},
            budget_, metrics_);
    }
    co_return co_await pool->acquire(runtime::deadline::after(std::chrono::seconds(30)));
}

runtime::awaitable<void> pooled_logins::close(std::string login) {
    if (const auto found = pools_.find(login); found != pools_.end()) {
        const auto pool = std::move(found->second);
        pools_.erase(found);
        co_await pool->close(runtime::deadline::after(std::chrono::seconds(5)));
    }
}

// The tests' cluster asks nobody for a password.
runtime::awaitable<bool> pooled_logins::takes_any_password(std::string) {
    co_return true;
}

runtime::awaitable<void> pooled_logins::close_all() {
    while (!pools_.empty()) {
        co_await close(pools_.begin()->first);
    }
}

void verify_isolation::SetUpTestSuite() {
    database = std::make_unique<installed_database>();
    loop = std::make_unique<running_loop>();
    tenants = {{"a", database->make_tenant(0, "aaa")},
               {"b", database->make_tenant(0, "bbb")},
               {"c", database->make_tenant(1, "ccc")}};
}

void verify_isolation::TearDownTestSuite() {
    tenants.clear();
    loop.reset();
    database.reset();
}

namespace {

struct examining {
    pooled_logins logins;
    std::string login;
    tenancy::role_names roles;

    runtime::awaitable<tenancy::isolation_report> run() {
        tenancy::isolation_report report;
        {
            auto app = (co_await logins.open(login)).value();
            const tenancy::isolation_progress ignore = [](const auto&) {};
            report.checks = (co_await tenancy::examine_isolation(app, roles, ignore)).value();
        }
        co_await logins.close_all();
        co_return report;
    }
};

struct probing {
    pooled_logins logins;
    tenancy::probe_options options;

    runtime::awaitable<tenancy::isolation_report> run() {
        const tenancy::isolation_progress ignore = [](const auto&) {};
        auto report = co_await tenancy::probe_isolation(logins, options, ignore);
        co_await logins.close_all();
        co_return report;
    }
};

}  // namespace

tenancy::isolation_report verify_isolation::examine() {
    examining one{{loop->get(), *database}, database->roles().app(), database->roles()};
    return loop->await(one.run());
}

tenancy::isolation_report verify_isolation::probe(std::function<bool()> interrupted) {
    probing one{{loop->get(), *database}, {database->roles(), std::move(interrupted)}};
    return loop->await(one.run());
}

std::string verify_isolation::expand(std::string text) const {
    std::map<std::string, std::string> words{{"{prefix}", database->raw().role_prefix()},
                                             {"{database}", database->raw().name()}};
    for (const auto& [name, tenant] : tenants) {
        words["{" + name + "}"] = tenant.schema();
    }
    for (const auto& [word, value] : words) {
        for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at)) {
            text.replace(at, word.size(), value);
            at += value.size();
        }
    }
    return text;
}

std::string verify_isolation::tenants_and_schemas() {
    return admin(
        "select concat((select string_agg(t.id || t.status, ',' order by t.id) from control.tenant "
        "t),"
        " (select string_agg(nspname, ',' order by nspname) from pg_namespace where nspname ~ "
        "'^t_'),"
        " (select string_agg(r.rolname, ',' order by r.rolname) from pg_auth_members m"
        "  join pg_roles r on r.oid = m.member join pg_roles g on g.oid = m.roleid"
        "  where g.rolname = '" +
        database->raw().role_prefix() +
        "_tenant'),"
        " (select count(*) from control.audit_log))");
}

std::string describe(const tenancy::isolation_report& report) {
    std::string text = report.trouble.empty() ? "" : "trouble: " + report.trouble + "\n";
    for (const auto& check : report.checks) {
        if (!check.trouble.empty()) {
            text += check.name + " | trouble | " + check.trouble + "\n";
        }
        for (const auto& some : check.findings) {
            text += check.name + " | " + std::string(tenancy::name(some.how)) + " | " +
                    some.object + " | " + some.what + " | " + some.mend + "\n";
        }
    }
    return text;
}

}  // namespace insula::test
