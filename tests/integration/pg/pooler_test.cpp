// Through a real PgBouncer, in each of its modes.
#include "support/pooler.hpp"

#include "pg_fixture.hpp"

#include <atomic>
#include <map>
#include <set>
#include <thread>

namespace insula::pg::test_support {
namespace {

using insula::test::pooler;

constexpr statement ping{"test.ping", "select pg_backend_pid()"};
constexpr statement whoami{"test.whoami", "select marker from {t}.whoami"};

using settings = std::map<std::string, std::string>;

class pg_pooler : public pg_test {
protected:
    std::unique_ptr<pool> through(const pooler& between) {
        auto o = options(w);
        o.conninfo = between.conninfo(w.db().name()) + " user=" + w.login();
        o.exclusive_max = 4;
        return std::make_unique<pool>(home(), o, budget_, metrics_);
    }

    static awaitable<void> is_refused(pool& connections) {
        const auto started = std::chrono::steady_clock::now();
        unit u;
        u.add(ping);
        const auto answer = co_await connections.run(std::move(u), soon());
        EXPECT_EQ(answer.error().state, sqlstate::pooler_between) << describe(answer.error());
        EXPECT_NE(answer.error().message.find("pool_mode = session"), std::string::npos);
        const auto borrowed = co_await connections.acquire(soon());
        EXPECT_EQ(borrowed.error().state, sqlstate::pooler_between);
        EXPECT_LT(std::chrono::steady_clock::now() - started, 3s) << "waiting would not help";
        co_await connections.close(soon());
    }

    /// Units of several tenants, on shared and on exclusive connections at the same time.
    awaitable<void> serves(pool& connections) {
        std::set<int> pids;
        std::vector<lease> held;
        for (int i = 0; i < 3; ++i) {
            held.push_back((co_await connections.acquire(soon())).value());
            unit u;
            u.add(ping);
            const auto pid = (co_await held.back().exec(std::move(u))).value();
            EXPECT_EQ(pid.front().scalar<std::int32_t>(), held.back().backend_pid());
            pids.insert(held.back().backend_pid());
        }
        EXPECT_EQ(pids.size(), 3U) << "each has a backend of its own";
        for (std::size_t i = 0; i < 50; ++i) {
            unit u = as(w[i % w.tenants().size()]);
            u.add(whoami);
            const auto answer = co_await connections.run(std::move(u), soon());
            EXPECT_TRUE(answer) << describe(answer.error());
            if (answer) {
                EXPECT_EQ(answer->at(0).scalar<std::string>(), w[i % w.tenants().size()].marker);
            }
        }
        held.clear();
        co_await connections.close(soon());
    }

    /// A query that hangs is cancelled in the backend that runs it, not in the one that the pooler
    /// has made up.
    awaitable<void> cancels(pool& connections) {
        {
            auto one = (co_await connections.acquire(soon())).value();
            one.expires_at(deadline::after(200ms));
            unit u;
            u.add_once("select pg_sleep(60)");
            const auto slept = co_await one.exec(std::move(u), {.statement_timeout = 60s});
            EXPECT_FALSE(slept);
        }
        const auto sleeping = [this] {
            return w.text("select count(*) from pg_stat_activity where usename = '" + w.login() +
                          "' and state = 'active' and query like '%pg_sleep(60)%'");
        };
        const auto until = std::chrono::steady_clock::now() + 10s;
        while (sleeping() != "0" && std::chrono::steady_clock::now() < until) {
            co_await runtime::sleep_until(deadline::after(10ms));
        }
        EXPECT_EQ(sleeping(), "0");
        co_await connections.close(soon());
    }

    world& w = shared_world();
};

INSULA_PG_ON_EVERY_BACKEND(pg_pooler);

TEST_P(pg_pooler, G06_transaction_and_statement_pooling_are_refused_with_a_sentence) {
    const std::pair<const char*, settings> shapes[] = {
        {"transaction", {}},
        {"statement", {}},
        // Many backends that go round: two clients seldom meet on one.
        {"transaction", {{"server_round_robin", "1"}, {"min_pool_size", "7"}}},
    };
    run([&]() -> awaitable<void> {
        for (const auto& [mode, more] : shapes) {
            SCOPED_TRACE(mode + std::to_string(more.size()));
            pooler between(mode, insula::test::shared_cluster(), more);
            between.let_in(w.db().role_prefix(), 0);
            auto connections = through(between);
            co_await is_refused(*connections);
        }
    });
}

TEST_P(pg_pooler, G06_transaction_pooling_is_refused_also_in_the_traffic_of_others) {
    pooler between("transaction");
    between.let_in(w.db().role_prefix(), 0);
    std::atomic<bool> enough = false;
    std::vector<std::thread> others;
    for (int i = 0; i < 3; ++i) {
        others.emplace_back([&] {
            insula::test::sql_connection busy(between.conninfo(w.db().name()) +
                                              " user=" + w.login());
            while (!enough) {
                busy.query("begin");
                busy.query("select pg_sleep(0.001)");
                busy.query("commit");
            }
        });
    }
    run([&]() -> awaitable<void> {
        for (int i = 0; i < 5; ++i) {
            auto connections = through(between);
            co_await is_refused(*connections);
        }
    });
    enough = true;
    for (auto& other : others) {
        other.join();
    }
}

TEST_P(pg_pooler, G06_session_pooling_serves) {
    pooler between("session");
    between.let_in(w.db().role_prefix(), 0);
    auto connections = through(between);
    run([&]() -> awaitable<void> { co_await serves(*connections); });
}

TEST_P(pg_pooler, G06_a_cancel_behind_a_session_pooler_reaches_the_backend_it_is_meant_for) {
    pooler between("session");
    between.let_in(w.db().role_prefix(), 0);
    auto connections = through(between);
    run([&]() -> awaitable<void> { co_await cancels(*connections); });
}

TEST_P(pg_pooler, a_session_pooler_without_a_connection_to_spare_is_told_by_a_sentence) {
    pooler between("session", insula::test::shared_cluster(), {{"default_pool_size", "1"}});
    between.let_in(w.db().role_prefix(), 0);
    auto o = options(w);
    o.conninfo = between.conninfo(w.db().name()) + " user=" + w.login();
    o.connect_timeout = 500ms;
    pool connections(home(), o, budget_, metrics_);
    run([&]() -> awaitable<void> {
        const auto borrowed = co_await connections.acquire(deadline::after(2s));
        EXPECT_FALSE(borrowed);
        EXPECT_NE(borrowed.error().message.find("its pool needs one connection more"),
                  std::string::npos)
            << describe(borrowed.error());
        co_await connections.close(soon());
    });
}

}  // namespace
}  // namespace insula::pg::test_support
