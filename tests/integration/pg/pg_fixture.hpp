// A database with tenants as the service makes them (a NOINHERIT login, a role and a schema for
// each tenant), and a loop of the backend under test.
#pragma once

#include "support/postgres.hpp"

#include "insula/observe/metrics.hpp"
#include "insula/pg/pool.hpp"
#include "insula/pg/transaction.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/timer.hpp"

#include <boost/asio/co_spawn.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace insula::pg {

struct scope_test_access {
    static scope_passkey key() { return scope_passkey(); }
};

namespace test_support {

using namespace std::chrono_literals;
using insula::test::test_database;
using runtime::awaitable;
using runtime::deadline;

struct tenant {
    uuid id;
    std::string role;    ///< t_<32 hex>, also the schema's name
    std::string marker;  ///< in table `whoami`, one row
};

/// Tables of each tenant: whoami(marker text), projects(id int primary key, name text unique), and
/// late(id int, ref int), whose reference to projects is checked at COMMIT. In `public`: gate(id
/// int primary key, n int).
class world {
public:
    explicit world(std::size_t tenants,
                   insula::test::cluster& where = insula::test::shared_cluster());

    test_database& db() { return db_; }
    std::string login() const { return db_.role_prefix() + "_cell"; }
    std::string conninfo() const { return db_.conninfo(login()); }
    const std::vector<tenant>& tenants() const { return tenants_; }
    const tenant& operator[](std::size_t i) const { return tenants_.at(i); }
    std::string text(const std::string& sql) { return db_.value_admin(sql); }
    void admin(const std::string& sql) { db_.query_admin(sql); }

private:
    void add_tenant();

    test_database db_;
    std::vector<tenant> tenants_;
};

/// One for all tests of the program that do not break it: 8 tenants.
world& shared_world();

std::vector<runtime::backend> backends();
std::string backend_name(const testing::TestParamInfo<runtime::backend>& info);

#define INSULA_PG_ON_EVERY_BACKEND(suite)                                                        \
    INSTANTIATE_TEST_SUITE_P(on, suite, testing::ValuesIn(insula::pg::test_support::backends()), \
                             insula::pg::test_support::backend_name)

class pg_test : public testing::TestWithParam<runtime::backend> {
protected:
    pg_test();

    /// Runs `body`, a function that returns awaitable<void>, to its end on the loop. It may
    /// capture: it lives until the loop has ended.
    template <class F>
    void run(F&& body) {
        std::exception_ptr thrown;
        bool done = false;
        boost::asio::co_spawn(home(), body(), [&](const std::exception_ptr& failure) {
            thrown = failure;
            done = true;
            home_->stop();
        });
        boost::asio::co_spawn(home(), give_up(home()), [](const std::exception_ptr&) {});
        home_->run();
        if (thrown) {
            std::rethrow_exception(thrown);
        }
        EXPECT_TRUE(done) << "the test's coroutine did not end";
    }
    /// In the background; its end is counted down in `left`.
    void background(awaitable<void> task);
    /// Until every background task has ended.
    awaitable<void> all_ended();

    runtime::loop& home() { return *home_; }
    pool_options options(world& where, unsigned exclusive = 2);

    observe::metrics metrics_;
    connection_budget budget_{16};
    std::unique_ptr<runtime::loop> home_;

private:
    static awaitable<void> give_up(runtime::loop& home);
    awaitable<void> counted(awaitable<void> task);

    std::size_t running_ = 0;
    std::unique_ptr<runtime::event> ended_;
};

inline deadline soon() {
    return deadline::after(10s);
}

/// A unit in a tenant's scope.
inline unit as(const tenant& who) {
    unit u;
    u.set_scope(scope_test_access::key(), {.role = who.role, .schema = who.id});
    return u;
}

/// The session as an outsider must find it between two units: role, settings, locks, temporary
/// objects, cursors, channels, transaction.
extern const statement session_digest;

std::string describe(const pg_error& error);

}  // namespace test_support
}  // namespace insula::pg
