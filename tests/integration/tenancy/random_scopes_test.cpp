// The same as integration/pg/random_units, through the real thing: installed database, tenant
// scopes made of claims, one cell's one shared connection (G03).

#include "pg/detail/pool_core.hpp"
#include "support/service/installed_database.hpp"

#include "insula/tenancy/scope.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

namespace insula::pg::detail {

struct pool_test_access {
    static std::shared_ptr<connection> shared_connection(pool& p) {
        return p.core_->shared_.at(0).open;
    }
};

}  // namespace insula::pg::detail

namespace insula::test {
namespace {

using tenancy::tenant_scope;

constexpr pg::statement current{"random.current", "select current_user::text"};
constexpr pg::statement names{"random.names",
                              "select coalesce(string_agg(distinct name, ','), '')"
                              " from {t}.projects"};
constexpr pg::statement add{"random.add", "insert into {t}.projects (id, name) values ($1, $2)"};
constexpr pg::statement remove{"random.remove", "delete from {t}.projects where name = $1"};
constexpr pg::statement divide{"random.divide", "select 1 / $1::integer"};
constexpr pg::statement nap{"random.nap", "select pg_sleep($1::float8)"};
constexpr pg::statement local{"random.local", "select set_config($1, $2, true)"};
constexpr pg::statement table{"random.table", "create table {t}.mine ()"};
constexpr pg::statement temporary{"random.temporary", "create temporary table mine ()"};
constexpr pg::statement control{"random.control", "select count(*) from control.tenant"};

constexpr const char* session_sql =
    "select concat_ws('|', current_user, session_user, current_setting('role'),"
    " (select string_agg(name || '=' || setting, ',' order by name) from pg_settings"
    "  where setting is distinct from reset_val),"
    " (select count(*) from pg_locks where pid = pg_backend_pid() and locktype <> 'virtualxid'"
    "  and not (locktype = 'relation' and mode = 'AccessShareLock')),"
    " pg_my_temp_schema(), (select count(*) from pg_cursors where name <> ''),"
    " (select count(*) from pg_listening_channels()),"
    " (select count(*) from pg_prepared_statements where name !~ '^(s|preamble)[0-9]+$'))";

struct random_scopes : testing::Test {
    installed_database database;
    running_loop loop;
    test_pools pools{loop.get(), database};
    tenancy::cells cells{pools.cell_pointers()};
    std::vector<installed_database::tenant> tenants;

    random_scopes() {
        for (const char* slug : {"aaa", "bbb", "ccc", "ddd"}) {
            tenants.push_back(database.make_tenant(0, slug));
        }
    }
    ~random_scopes() override { loop.await(pools.close()); }

    tenant_scope scope_of(const installed_database::tenant& who, runtime::deadline until,
                          bool right_session) {
        token::claims claims;
        claims.subject = who.owner;
        claims.session = right_session ? who.session : session_id::make();
        claims.session_version = 1;
        claims.tenant = who.id;
        claims.role = token::role::owner;
        return tenant_scope(cells,
                            std::make_shared<const tenancy::tenant_entry>(
                                tenancy::tenant_entry{who.id, who.cell, who.slug}),
                            claims, "127.0.0.1", "request", until);
    }

    runtime::awaitable<std::string> digest() {
        pg::unit u;
        u.add_once(session_sql);
        const auto until = runtime::deadline::after(std::chrono::seconds(10));
        const auto question = std::make_shared<pg::detail::request>(loop.get(), std::move(u),
                                                                    pg::unit_options{}, until);
        question->preamble = false;
        question->why = pg::detail::request::purpose::maintenance;
        if (!pg::detail::pool_test_access::shared_connection(*pools.cells[0])) {
            (void)co_await unit_of(0);
        }
        const auto on = pg::detail::pool_test_access::shared_connection(*pools.cells[0]);
        if (!on) {
            co_return "gone with its connection";
        }
        on->send(question);
        (void)co_await question->done.wait(until);
        co_return question->answers.empty() ? "no answer"
                                            : question->answers.at(0).scalar<std::string>();
    }

    /// One unit of one tenant; what was wrong with it, or nothing.
    runtime::awaitable<std::string> unit_of(std::uint64_t dice) {
        const auto& who = tenants[dice % tenants.size()];
        const auto& other = tenants[(dice + 1) % tenants.size()];
        const auto kind = dice / 8 % 10;
        const auto until = runtime::deadline::after(
            kind == 8 ? std::chrono::microseconds(dice % 3000) : std::chrono::seconds(10));
        auto scope = scope_of(who, until, kind != 9);
        auto work = kind == 0 || kind == 9 ? scope.write() : scope.read();
        work.add(current).add(names);
        std::string wanted = "00000";
        switch (kind) {
            case 0:
                work.add(remove, who.slug).add(add, project_id::make(), who.slug);
                break;
            case 1:
                work.add(divide, 1).add(divide, 0).add(names);
                wanted = "22012";
                break;
            case 2:
                work.add(add, project_id::make(), "a").add(add, project_id::make(), "a");
                wanted = "23505";
                break;
            case 3:
                work.add(local, "search_path", other.schema()).add(local, "work_mem", "5MB");
                break;
            case 4:
                work.add(table);
                wanted = "42501";
                break;
            case 5:
                work.add(temporary);
                wanted = "42501";
                break;
            case 6:
                work.add(control);
                wanted = "42501";
                break;
            case 7:
                work.add(local, "role", "none").add(names);
                wanted = "42501";
                break;
            case 8:
                work.add(nap, 0.002);
                break;
            default:  // a session that never was
                wanted = "IS001";
        }
        const auto answer = co_await scope.run(std::move(work));
        const std::string got(answer ? "00000" : answer.error().state.str());
        if (kind == 8 && (got == "57014" || got == "IN002")) {
            co_return "";
        }
        if (got != wanted) {
            co_return got + " instead of " + wanted + ", kind " + std::to_string(kind);
        }
        if (answer) {
            const auto& seen = answer->at(1).scalar<std::string>();
            if (answer->at(0).scalar<std::string>() != who.schema() ||
                (seen != "" && seen != who.slug)) {
                co_return "rows of somebody else: " + seen;
            }
        }
        co_return "";
    }

    runtime::awaitable<std::string> run(std::uint64_t seed, int units) {
        std::mt19937_64 dice(seed);
        (void)co_await unit_of(0);  // opens the connection
        const auto fresh = co_await digest();
        for (int done = 0; done < units; ++done) {
            const auto wrong = co_await unit_of(dice() >> 8);
            const auto now = co_await digest();
            if (!wrong.empty() || now != fresh) {
                co_return "unit " + std::to_string(done) + ": " + wrong + "; the session is " +
                    now + ", it was " + fresh;
            }
        }
        co_return "";
    }
};

// INSULA_TEST_SEED repeats a run, INSULA_TEST_SCOPES makes it longer.
TEST_F(random_scopes, G03_after_any_unit_of_any_scope_the_cells_session_is_as_it_was) {
    const char* given = std::getenv("INSULA_TEST_SEED");
    const char* longer = std::getenv("INSULA_TEST_SCOPES");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "seed " << seed << " (INSULA_TEST_SEED repeats it)\n";
    EXPECT_EQ(loop.await(run(seed, longer != nullptr ? std::atoi(longer) : 1000)), "");
    EXPECT_LE(pools.cells[0]->stats().connects, 4U)
        << "all of it on one connection, but where the machine was so late that the server looked "
           "silent";
}

}  // namespace
}  // namespace insula::test
