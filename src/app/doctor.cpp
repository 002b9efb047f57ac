#include "doctor.hpp"

#include "setup_connection.hpp"

#include "insula/app/database_setup.hpp"
#include "insula/core/time.hpp"
#include "insula/identity/key_store.hpp"
#include "insula/pg/embedded_migrations.hpp"
#include "insula/tenancy/bootstrap.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <memory>

namespace insula::app {
namespace {

constexpr std::chrono::seconds look_limit{10};
constexpr rlim_t descriptors_wanted = 4096;
constexpr std::chrono::seconds clock_skew_max{2};
constexpr int server_version_min = 150000;

constexpr pg::statement server_facts{
    "doctor.server",
    "select current_setting('server_version_num')::integer, current_setting('server_version'),"
    " current_setting('max_connections')::integer, clock_timestamp(), "
    "current_setting('recovery_init_sync_method')"};
// A login that may create roles could, on PostgreSQL 15, make itself a member of
// pg_execute_server_program.
constexpr pg::statement powerful_logins{
    "doctor.logins",
    "select coalesce(string_agg(rolname, ', ' order by rolname), '') from pg_catalog.pg_roles"
    " where starts_with(rolname::text, $1) and rolcanlogin and (rolcreaterole or rolsuper or "
    "rolbypassrls"
    " or rolreplication or rolcreatedb)"};
constexpr pg::statement migration_heads{
    "doctor.heads", "select coalesce(max(number), 0)::integer from control.migration"};

void add(std::vector<finding>& to, std::string check, verdict status, std::string detail) {
    to.push_back({std::move(check), status, std::move(detail)});
}

void examine_machine(const config& values, std::vector<finding>& to) {
    utsname system{};
    ::uname(&system);
    add(to, "kernel", verdict::ok, fmt::format("{} {}", system.sysname, system.release));
    const auto choice = runtime::choose_backend(values.runtime);
    if (!choice) {
        add(to, "event loop", verdict::fail, std::string(choice.error().internal()));
    } else {
        const bool fell_back = values.runtime == "auto" && choice->kind == runtime::backend::epoll;
        add(to, "event loop", fell_back ? verdict::warn : verdict::ok,
            fmt::format("{}: {}", runtime::name(choice->kind), choice->why));
    }
    rlimit descriptors{};
    ::getrlimit(RLIMIT_NOFILE, &descriptors);
    // The service raises its soft limit to the hard one.
    const bool enough =
        descriptors.rlim_max == RLIM_INFINITY || descriptors.rlim_max >= descriptors_wanted;
    add(to, "file descriptors", enough ? verdict::ok : verdict::warn,
        enough ? fmt::format("{}", descriptors.rlim_max)
               : fmt::format("{}; raise it to {} or more (ulimit -Hn, LimitNOFILE=)",
                             descriptors.rlim_max, descriptors_wanted));
}

void judge_server(const pg::row& row, const config& values, std::vector<finding>& to) {
    const bool recent = row.get<std::int32_t>(0) >= server_version_min;
    add(to, "PostgreSQL", recent ? verdict::ok : verdict::fail,
        row.get<std::string>(1) + (recent ? "" : "; 15 or later is needed"));
    const auto connections = row.get<std::int32_t>(2);
    const bool enough = connections > static_cast<std::int32_t>(values.database_connections) + 10;
    add(to, "max_connections", enough ? verdict::ok : verdict::warn,
        fmt::format("{} for {} of this process{}", connections, values.database_connections,
                    enough ? "" : "; raise it, or lower INSULA_DATABASE_CONNECTIONS"));
    const auto skew = row.get<timestamp>(3) - now();
    const bool same_time = std::chrono::abs(skew) <= clock_skew_max;
    add(to, "clock", same_time ? verdict::ok : verdict::warn,
        fmt::format(
            "{} ms apart from the database's{}",
            std::chrono::duration_cast<std::chrono::milliseconds>(skew).count(),
            same_time ? "" : "; synchronise both (tokens are checked by this machine's clock)"));
    const auto sync = row.get<std::string>(4);
    add(to, "crash recovery", sync == "syncfs" ? verdict::ok : verdict::warn,
        "recovery_init_sync_method = " + sync +
            (sync == "syncfs"
                 ? ""
                 : "; with thousands of tenants set it to syncfs: a restart after a crash takes "
                   "half a second instead of fifteen"));
}

/// Whether a pooler is in between: it names a backend of its own invention at the start. Its mode
/// has been told already: on another one than session nothing connects. Blocks.
void examine_way(const std::string& conninfo, std::vector<finding>& to) {
    const std::unique_ptr<PGconn, decltype(&PQfinish)> direct(
        PQconnectdb((conninfo + " connect_timeout=10").c_str()), &PQfinish);
    const std::unique_ptr<PGresult, decltype(&PQclear)> answer(
        PQexec(direct.get(), "select pg_catalog.pg_backend_pid()"), &PQclear);
    if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK) {
        return;  // what connects and what does not is told by others
    }
    const bool between =
        std::to_string(PQbackendPID(direct.get())) != PQgetvalue(answer.get(), 0, 0);
    add(to, "pooler", verdict::ok,
        between ? "one in session mode: its pools must hold the connections of all processes, and "
                  "one more for each login"
                : "none");
}

runtime::awaitable<void> examine_roles(pg::pool& control, const config& values,
                                       const tenancy::role_names& roles, std::vector<finding>& to) {
    const auto until = runtime::deadline::after(look_limit);
    const auto cells = co_await tenancy::count_cells(control, roles, until);
    if (cells) {
        add(to, "cells", *cells >= values.cells ? verdict::ok : verdict::fail,
            fmt::format("{} logins for INSULA_CELLS={}{}", *cells, values.cells,
                        *cells >= values.cells ? "" : "; run insula bootstrap"));
    }
    pg::unit look;
    look.add(powerful_logins, roles.prefix() + "_");
    const auto powerful = co_await control.run(std::move(look), until);
    if (powerful) {
        const auto names = powerful->front().scalar<std::string>();
        add(to, "logins", names.empty() ? verdict::ok : verdict::fail,
            names.empty()
                ? "none has more than it needs"
                : names + " hold CREATEROLE, SUPERUSER or the like; run insula bootstrap");
    }
}

runtime::awaitable<void> examine_state(pg::pool& control, const identity::secret_keys& keys,
                                       std::vector<finding>& to) {
    const auto until = runtime::deadline::after(look_limit);
    const auto head = pg::embedded_control_migrations().back().number;
    pg::unit look;
    look.add(migration_heads);
    const auto at = co_await control.run(std::move(look), until);
    if (!at) {
        add(to, "migrations", verdict::fail, explain(at.error()));
        co_return;
    }
    const auto number = at->front().scalar<std::int32_t>();
    add(to, "migrations", number == head ? verdict::ok : verdict::fail,
        number == head
            ? fmt::format("at {}", head)
            : fmt::format("at {}, this version has {}; run insula migrate", number, head));
    const auto signing = co_await identity::read_signing_keys(control, keys, until);
    if (!signing) {
        add(to, "signing keys", verdict::fail, signing.error().describe());
    } else if ((*signing)->signing() == nullptr) {
        add(to, "signing keys", verdict::ok, "none yet; the first start makes one");
    } else {
        add(to, "signing keys", verdict::ok,
            fmt::format("{} known, {} signs", (*signing)->entries().size(),
                        (*signing)->signing()->value.kid()));
    }
}

runtime::awaitable<std::vector<finding>> examine_database(setup_connection& app,
                                                          const config& values,
                                                          const tenancy::role_names& roles,
                                                          const identity::secret_keys& keys) {
    std::vector<finding> found;
    // Ends at once where the server refuses the login, instead of trying until the deadline.
    if (const auto connection = co_await app.open(); !connection) {
        add(found, "database", verdict::fail, explain(connection.error()));
        co_await app.close();
        co_return found;
    }
    pg::unit look;
    look.add(server_facts);
    const auto facts =
        co_await app.pool().run(std::move(look), runtime::deadline::after(look_limit));
    if (facts) {
        add(found, "database", verdict::ok, "reachable as " + roles.app());
        judge_server(facts->front().only(), values, found);
        co_await examine_roles(app.pool(), values, roles, found);
        co_await examine_state(app.pool(), keys, found);
    } else {
        add(found, "database", verdict::fail, explain(facts.error()));
    }
    co_await app.close();
    co_return found;
}

}  // namespace

std::string_view name(verdict v) {
    return v == verdict::ok ? "ok" : v == verdict::warn ? "warn" : "FAIL";
}

std::vector<finding> examine(const config& values) {
    std::vector<finding> found;
    examine_machine(values, found);
    found.push_back(examine_mail(values));
    if (values.database_url.empty()) {
        add(found, "database", verdict::warn,
            "INSULA_DATABASE_URL is not set, so it was not examined");
        return found;
    }
    const auto key = values.key();
    const auto roles = roles_of(values);
    const auto url = database_url::parse(values.database_url);
    if (!key || !roles || !url) {
        const auto& problem = !key ? key.error() : !roles ? roles.error() : url.error();
        add(found, "configuration", verdict::fail, std::string(problem.internal()));
        return found;
    }
    auto home = setup_loop(values);
    if (!home) {
        return found;
    }
    const identity::secret_keys keys(*key);
    setup_connection app(**home, "app", url->conninfo(roles->app(), *key));
    auto more = run_blocking(**home, examine_database(app, values, *roles, keys));
    const bool reached = more.front().status == verdict::ok;
    found.insert(found.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
    if (reached) {
        examine_way(url->conninfo(roles->app(), *key), found);
    }
    return found;
}

}  // namespace insula::app
