// The tenant scope over real cell connections.

#include "insula/tenancy/scope.hpp"

#include "support/service/installed_database.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace insula::test {
namespace {

using tenancy::tenant_scope;

constexpr pg::statement add_project{"test.add",
                                    "insert into {t}.projects (id, name) values ($1, $2)"};
constexpr pg::statement list_names{"test.list", "select name from {t}.projects order by name"};
constexpr pg::statement divide{"test.divide",
                               "select 1 / ($1::integer - $1::integer) from {t}.projects"};
constexpr pg::statement session_state{
    "test.state",
    "select current_user::text, current_setting('search_path'), current_setting('lock_timeout'),"
    " current_setting('statement_timeout')"};

struct scope : testing::Test {
    installed_database database;
    running_loop loop;
    test_pools pools{loop.get(), database};
    tenancy::cells cells{pools.cell_pointers()};
    installed_database::tenant a = database.make_tenant(0, "aaa");
    installed_database::tenant b = database.make_tenant(0, "bbb");

    ~scope() override { loop.await(pools.close()); }

    static token::claims claims_of(const installed_database::tenant& who) {
        token::claims claims;
        claims.subject = who.owner;
        claims.session = who.session;
        claims.session_version = 1;
        claims.tenant = who.id;
        claims.role = token::role::owner;
        return claims;
    }
    tenant_scope scope_of(const installed_database::tenant& who, token::claims claims) {
        auto entry = std::make_shared<const tenancy::tenant_entry>(
            tenancy::tenant_entry{who.id, who.cell, who.slug});
        return tenant_scope(cells, std::move(entry), claims, "127.0.0.1", "request",
                            runtime::deadline::after(std::chrono::seconds(10)));
    }
    tenant_scope scope_of(const installed_database::tenant& who) {
        return scope_of(who, claims_of(who));
    }

    std::string write(tenant_scope where, const std::string& name) {
        auto work = where.write();
        work.add(add_project, project_id::make(), name);
        const auto done = loop.await(where.run(std::move(work)));
        return done ? "00000" : std::string(done.error().state.str());
    }
    std::vector<std::string> names(tenant_scope where) {
        auto work = where.read();
        work.add(list_names);
        const auto read = loop.await(where.run(std::move(work)));
        std::vector<std::string> found;
        for (const auto row : read.value().front()) {
            found.push_back(row.get<std::string>(0));
        }
        return found;
    }
};

TEST_F(scope, each_scope_reads_and_writes_its_own_tenant_on_one_connection) {
    EXPECT_EQ(write(scope_of(a), "of a"), "00000");
    EXPECT_EQ(write(scope_of(b), "of b"), "00000");
    EXPECT_EQ(names(scope_of(a)), std::vector<std::string>{"of a"});
    EXPECT_EQ(names(scope_of(b)), std::vector<std::string>{"of b"});
    EXPECT_EQ(database.raw().value_admin("select count(*) from pg_stat_activity where usename = '" +
                                         database.roles().cell(0) + "'"),
              "1");
}

TEST_F(scope, G03_nothing_of_a_unit_outlives_it_after_success_and_after_an_error) {
    const auto state = [&] {
        pg::unit look;
        look.add(session_state);
        const auto seen = loop.await(pools.cells[0]->run(
            std::move(look), runtime::deadline::after(std::chrono::seconds(5))));
        return seen.value().front().only().get<std::string>(0) + " " +
               seen.value().front().only().get<std::string>(1);
    };
    const auto before = state();
    EXPECT_EQ(before.find("t_"), std::string::npos);
    EXPECT_EQ(write(scope_of(a), "x"), "00000");
    EXPECT_EQ(state(), before);
    auto where = scope_of(a);
    auto work = where.read();
    work.add(divide, 1);
    const auto failed = loop.await(where.run(std::move(work)));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().state.str(), "22012");
    EXPECT_EQ(state(), before);
}

TEST_F(scope, G03_an_exclusive_connection_of_each_login_comes_back_clean_and_is_used_again) {
    for (auto* pool : {&pools.control, &pools.worker, pools.cells.front().get()}) {
        const auto backend = [&] {
            auto lent =
                loop.await(pool->acquire(runtime::deadline::after(std::chrono::seconds(10))));
            return lent.value().backend_pid();
        };
        const int first = backend();
        // The lease's end only marks: until the pool has reset it, another would be opened.
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (pool->stats().idle == 0) {
            ASSERT_LT(std::chrono::steady_clock::now(), until) << pool->name();
            std::this_thread::yield();
        }
        EXPECT_EQ(backend(), first) << pool->name();
    }
}

TEST_F(scope, a_write_of_an_ended_session_raises_before_it_touches_anything) {
    sql_connection app(database.conninfo(database.roles().app()));
    app.query("update control.session set ended_at = now() where id = '" + a.session.str() + "'");
    EXPECT_EQ(write(scope_of(a), "late"), "IS001");
    EXPECT_TRUE(names(scope_of(a)).empty());
}

TEST_F(scope, a_write_with_an_older_session_version_raises) {
    sql_connection app(database.conninfo(database.roles().app()));
    app.query("update control.session set version = 2 where id = '" + a.session.str() + "'");
    EXPECT_EQ(write(scope_of(a), "late"), "IS001");
    auto claims = claims_of(a);
    claims.session_version = 2;
    EXPECT_EQ(write(scope_of(a, claims), "fine"), "00000");
}

TEST_F(scope, a_write_of_a_removed_member_raises) {
    sql_connection app(database.conninfo(database.roles().app()));
    app.query("update control.membership set status = 'removed' where user_id = '" + a.owner.str() +
              "'");
    EXPECT_EQ(write(scope_of(a), "late"), "IS001");
}

TEST_F(scope, a_write_with_the_session_of_another_tenant_raises) {
    auto claims = claims_of(a);
    claims.session = b.session;
    claims.subject = b.owner;
    EXPECT_EQ(write(scope_of(a, claims), "foreign"), "IS001");
    EXPECT_TRUE(names(scope_of(a)).empty());
}

TEST_F(scope, a_write_to_a_tenant_that_is_not_ready_raises_what_it_is) {
    sql_connection app(database.conninfo(database.roles().app()));
    app.query("update control.tenant set status = 'suspended' where id = '" + a.id.str() + "'");
    EXPECT_EQ(write(scope_of(a), "x"), "IS002");
    app.query(
        "update control.tenant set status = 'pending_deletion', purge_at = now(),"
        " deletion_run = gen_random_uuid() where id = '" +
        a.id.str() + "'");
    EXPECT_EQ(write(scope_of(a), "x"), "IS003");
    EXPECT_EQ(tenancy::to_error({.state = tenancy::write_to_suspended}).code(),
              errc::tenant_suspended);
    EXPECT_EQ(tenancy::to_error({.state = tenancy::session_over}).code(), errc::invalid_token);
}

TEST_F(scope, a_scope_cannot_be_made_with_another_tenants_entry) {
    const auto entry =
        std::make_shared<const tenancy::tenant_entry>(tenancy::tenant_entry{b.id, b.cell, b.slug});
    EXPECT_THROW(tenant_scope(cells, entry, claims_of(a), "", "", runtime::deadline::never()),
                 std::logic_error);
    auto without = claims_of(a);
    without.tenant.reset();
    EXPECT_THROW(tenant_scope(cells, entry, without, "", "", runtime::deadline::never()),
                 std::logic_error);
}

TEST_F(scope, one_round_trip_for_a_write_with_its_assertion) {
    EXPECT_EQ(write(scope_of(a), "warm"), "00000");
    const auto before = pools.cells[0]->stats().round_trips;
    EXPECT_EQ(write(scope_of(a), "measured"), "00000");
    EXPECT_EQ(pools.cells[0]->stats().round_trips - before, 1U);
}

TEST_F(scope, the_directory_remembers_finds_and_forgets) {
    tenancy::directory directory(pools.control);
    const auto until = runtime::deadline::after(std::chrono::seconds(5));
    EXPECT_EQ(directory.known(a.id), nullptr);
    const auto found = loop.await(directory.find(a.id, until)).value();
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->slug, "aaa");
    EXPECT_EQ(directory.known(a.id), found);
    EXPECT_EQ(loop.await(directory.find(tenant_id::make(), until)).value(), nullptr);
    EXPECT_EQ(loop.await(directory.load(until)).value(), 2U);
    directory.forget(a.id);
    EXPECT_EQ(directory.known(a.id), nullptr);
}

}  // namespace
}  // namespace insula::test
