#include "insula/app/database_setup.hpp"

#include "setup_connection.hpp"

#include "insula/pg/embedded_migrations.hpp"
#include "insula/pg/migrate.hpp"
#include "insula/tenancy/bootstrap.hpp"
#include "insula/tenancy/migrate_tenants.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace insula::app {
namespace {

constexpr pg::statement database_exists{"bootstrap.database_exists",
                                        "select 1 from pg_catalog.pg_database where datname = $1"};

constexpr pg::statement role_exists{"bootstrap.role_exists",
                                    "select 1 from pg_catalog.pg_roles where rolname = $1"};

error wrong(std::string sentence) {
    return {errc::internal, {}, std::move(sentence)};
}

runtime::awaitable<result<>> create_database(setup_connection& server, std::string database,
                                             const progress& tell) {
    auto lease = co_await server.open();
    if (!lease) {
        co_return wrong(explain(lease.error()));
    }
    pg::unit look;
    look.add(database_exists, database);
    auto found = co_await lease->exec(std::move(look));
    if (!found) {
        co_return wrong(explain(found.error()));
    }
    if (found->front().empty()) {
        tell("creating database " + database);
        auto created =
            co_await lease->exec_script("create database " + tenancy::quote_identifier(database) +
                                        " encoding 'UTF8' template template0");
        if (!created) {
            co_return wrong(explain(created.error()));
        }
    }
    co_return result<>();
}

runtime::awaitable<result<>> make_roles(setup_connection& server,
                                        const tenancy::bootstrap_options& options,
                                        bool key_is_new) {
    auto lease = co_await server.open();
    if (!lease) {
        co_return wrong(explain(lease.error()));
    }
    if (key_is_new) {
        pg::unit look;
        look.add(role_exists, options.roles.owner());
        auto found = co_await lease->exec(std::move(look));
        if (!found) {
            co_return wrong(explain(found.error()));
        }
        if (!found->front().empty()) {
            co_return wrong("The roles of " + options.roles.prefix() +
                            " exist already: set INSULA_KEY_ENCRYPTION_KEY to the key they were "
                            "made with. A new one "
                            "would lock every running service out of the database.");
        }
    }
    auto made = co_await tenancy::bootstrap(*lease, options);
    co_return made ? result<>() : result<>(wrong(explain(made.error())));
}

runtime::awaitable<result<>> bootstrap_all(setup_connection& maintenance, setup_connection& target,
                                           const tenancy::bootstrap_options& options,
                                           bool key_is_new, const progress& tell) {
    auto done = co_await create_database(maintenance, options.database, tell);
    co_await maintenance.close();
    if (done) {
        done = co_await make_roles(target, options, key_is_new);
    }
    co_await target.close();
    co_return done;
}

runtime::awaitable<result<migration_summary>> migrate_all(
    pg::lease& owner, const config& values, std::span<const pg::migration> tenant_files, bool check,
    const progress& tell) {
    migration_summary summary;
    const auto control = co_await pg::migrate(
        owner, {.schema = "control", .role_prefix = values.role_prefix, .check = check},
        pg::embedded_control_migrations());
    if (!control) {
        co_return wrong(explain(control.error()));
    }
    summary.control_head = control->head;
    summary.control_pending = control->pending;
    for (const auto number : control->applied) {
        tell(fmt::format("control plane: applied migration {}", number));
    }
    if (check && control->head == 0) {
        co_return summary;  // nothing to ask about tenants yet
    }
    const auto tenants = co_await tenancy::migrate_tenants(
        owner, tenant_files, check, [&](std::size_t done, std::size_t total) {
            tell(fmt::format("tenants: {} of {} migrated", done, total));
        });
    if (!tenants) {
        co_return wrong(explain(tenants.error()));
    }
    summary.tenant_head = tenants->head;
    summary.tenants_behind = tenants->behind;
    summary.tenants_migrated = tenants->migrated;
    for (const auto& failed : tenants->failures) {
        summary.failures.push_back("tenant " + failed.tenant.str() + ": " + explain(failed.why));
    }
    co_return summary;
}

runtime::awaitable<result<migration_summary>> migrate_with(
    setup_connection& server, const config& values, std::span<const pg::migration> tenant_files,
    bool check, const progress& tell) {
    auto lease = co_await server.open();
    if (!lease) {
        co_await server.close();
        co_return wrong(explain(lease.error()));
    }
    auto summary = co_await migrate_all(*lease, values, tenant_files, check, tell);
    *lease = pg::lease();
    co_await server.close();
    co_return summary;
}

/// The server answered and refused this login or this database.
bool refuses_us(const pg::pg_error& failure) {
    if (failure.state.class_code() == "28" || failure.state.str() == "3D000") {
        return true;
    }
    // libpq gives no SQLSTATE for an attempt to connect, only the server's words.
    constexpr std::string_view words[] = {"FATAL:  role ", "FATAL:  database ",
                                          "authentication failed"};
    return failure.lost() && std::ranges::any_of(words, [&](auto some) {
               return failure.message.find(some) != std::string::npos;
           });
}

}  // namespace

result<tenancy::role_names> roles_of(const config& values) {
    auto roles = tenancy::role_names::make(values.role_prefix);
    if (!roles) {
        return wrong(
            "role_prefix must be 1 to 32 lower-case letters, digits and underscores, a letter "
            "first.");
    }
    return std::move(*roles);
}

result<> check_database_settings(const config& values) {
    if (values.database_url.empty()) {
        return wrong(
            "INSULA_DATABASE_URL is not set: give a PostgreSQL URI, such as "
            "postgresql://db.example/insula.");
    }
    const auto key = values.key();
    const auto roles = roles_of(values);
    const auto url = database_url::parse(values.database_url);
    const auto files = tenant_migration_files::load(values);
    if (!key || !roles || !url || !files) {
        return !key ? key.error() : !roles ? roles.error() : !url ? url.error() : files.error();
    }
    return {};
}

std::string explain(const pg::pg_error& failure) {
    std::string text = failure.message.empty() ? "the database did not answer" : failure.message;
    while (text.ends_with('\n') || text.ends_with('.')) {
        text.pop_back();
    }
    text += " (SQLSTATE " + std::string(failure.state.str()) + ").";
    if (refuses_us(failure)) {
        text +=
            " Run insula bootstrap with the same INSULA_DATABASE_URL, INSULA_KEY_ENCRYPTION_KEY "
            "and role prefix: it "
            "makes the database, the roles and their passwords.";
    } else if (failure.state == pg::sqlstate::undefined_table || failure.state.str() == "3F000" ||
               failure.message.find("permission denied for schema control") != std::string::npos) {
        // Bootstrap makes the schema; the first migration lets the logins into it.
        text += " Run insula migrate.";
    } else if (failure.lost()) {
        text += " Is PostgreSQL running and reachable at the address in INSULA_DATABASE_URL?";
    }
    return text;
}

bool may_come_up(const pg::pg_error& failure) {
    return (failure.lost() || failure.state == pg::sqlstate::deadline_passed) &&
           !refuses_us(failure);
}

result<> bootstrap_database(const config& values, const database_url& administrator,
                            std::string_view database, bool key_is_new, const progress& tell) {
    const auto key = values.key();
    if (!key) {
        return key.error();
    }
    const auto roles = roles_of(values);
    if (!roles) {
        return roles.error();
    }
    auto home = setup_loop(values);
    if (!home) {
        return home.error();
    }
    setup_connection maintenance(**home, "maintenance", administrator.admin_conninfo());
    setup_connection target(**home, "administrator", administrator.admin_conninfo(database));
    const tenancy::bootstrap_options options{*roles, std::string(database), values.cells, *key};
    return run_blocking(**home, bootstrap_all(maintenance, target, options, key_is_new, tell));
}

result<migration_summary> migrate_database(const config& values, bool check, const progress& tell) {
    const auto key = values.key();
    if (!key) {
        return key.error();
    }
    const auto roles = roles_of(values);
    if (!roles) {
        return roles.error();
    }
    const auto url = database_url::parse(values.database_url);
    if (!url) {
        return url.error();
    }
    const auto files = tenant_migration_files::load(values);
    if (!files) {
        return files.error();
    }
    auto home = setup_loop(values);
    if (!home) {
        return home.error();
    }
    setup_connection owner(**home, "owner", url->conninfo(roles->owner(), *key));
    return run_blocking(**home, migrate_with(owner, values, files->files(), check, tell));
}

}  // namespace insula::app
