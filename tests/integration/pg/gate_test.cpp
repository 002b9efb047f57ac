// The network between us and PostgreSQL, at its worst.
#include "support/gate.hpp"

#include "pg_fixture.hpp"

#include "insula/runtime/cpu_pool.hpp"
#include "insula/runtime/task_group.hpp"

#include <random>

namespace insula::pg::test_support {
namespace {

using insula::test::gate;

constexpr statement ping{"test.ping", "select pg_backend_pid()"};
constexpr statement bump{"test.bump", "update public.gate set n = n + 1 where id = $1"};
constexpr statement whoami{"test.whoami", "select marker from {t}.whoami"};

class pg_gate : public pg_test {
protected:
    pg_gate() {
        auto o = options(w);
        o.conninfo = between.conninfo(w.db().name(), w.login());
        o.connect_timeout = 500ms;
        pool_ = std::make_unique<pool>(home(), o, budget_, metrics_);
    }
    awaitable<pg_result<results>> send(const statement& what, int id) {
        unit u;
        u.add(what, id);
        co_return co_await pool_->run(std::move(u), soon());
    }
    /// What must hold after every disturbance.
    awaitable<void> check_that_it_restores() {
        between.set(gate::mode::pass);
        const auto started = std::chrono::steady_clock::now();
        unit u = as(w[0]);
        u.add(whoami);
        const auto answer = co_await pool_->run(std::move(u), soon());
        EXPECT_TRUE(answer) << describe(answer.error());
        if (answer) {
            EXPECT_EQ(answer->at(0).scalar<std::string>(), w[0].marker);
        }
        EXPECT_LT(std::chrono::steady_clock::now() - started, 2s);
        EXPECT_LE(budget_.open(), 4U);
    }
    std::string gate_value(int id) {
        return w.text("select n from public.gate where id = " + std::to_string(id));
    }

    world& w = shared_world();
    gate between{insula::test::shared_cluster()};
    std::unique_ptr<pool> pool_;
};

INSULA_PG_ON_EVERY_BACKEND(pg_gate);

TEST_P(pg_gate, G52_one_byte_at_a_time) {
    between.set(gate::mode::one_byte);
    run([this]() -> awaitable<void> {
        for (int i = 0; i < 10; ++i) {
            unit u = as(w[1]);
            u.add(whoami).add_once("select repeat('x', 2000)");
            const auto answer = co_await pool_->run(std::move(u), soon());
            EXPECT_TRUE(answer) << describe(answer.error());
            if (answer) {
                EXPECT_EQ(answer->at(0).scalar<std::string>(), w[1].marker);
                EXPECT_EQ(answer->at(1).scalar<std::string_view>().size(), 2000U);
            }
        }
        co_await check_that_it_restores();
        co_await pool_->close(soon());
    });
}

TEST_P(pg_gate, G52_a_server_that_accepts_and_says_nothing) {
    between.set(gate::mode::hold);
    run([this]() -> awaitable<void> {
        unit u;
        u.add(ping);
        const auto started = std::chrono::steady_clock::now();
        const auto answer = co_await pool_->run(std::move(u), deadline::after(700ms));
        EXPECT_FALSE(answer);
        EXPECT_TRUE(answer.error().lost()) << describe(answer.error());
        EXPECT_FALSE(answer.error().maybe_committed);
        EXPECT_LT(std::chrono::steady_clock::now() - started, 2s);
        co_await check_that_it_restores();
        co_await pool_->close(soon());
    });
}

TEST_P(pg_gate, G52_connections_that_are_closed_at_once) {
    between.set(gate::mode::refuse);
    run([this]() -> awaitable<void> {
        unit u;
        u.add(ping);
        const auto answer = co_await pool_->run(std::move(u), deadline::after(300ms));
        EXPECT_FALSE(answer);
        EXPECT_TRUE(answer.error().lost()) << describe(answer.error());
        co_await check_that_it_restores();
        co_await pool_->close(soon());
    });
}

// Poolers of every mode, real ones, are in pooler_test.cpp; this one has a backend for each client.
TEST_P(pg_gate, G06_behind_a_session_pooler_the_backend_is_the_one_that_answers) {
    between.set(gate::mode::pooler);
    run([this]() -> awaitable<void> {
        unit u;
        u.add(ping);
        const auto answer = co_await pool_->run(std::move(u), soon());
        EXPECT_TRUE(answer) << describe(answer.error());
        auto borrowed = co_await pool_->acquire(soon());
        EXPECT_TRUE(borrowed) << describe(borrowed.error());
        unit asked;
        asked.add(ping);
        const auto pid = co_await borrowed->exec(std::move(asked));
        EXPECT_EQ(pid->front().scalar<std::int32_t>(), borrowed->backend_pid());
        *borrowed = lease();
        co_await pool_->close(soon());
    });
}

TEST_P(pg_gate, G41_a_connection_cut_at_the_sync_says_that_the_outcome_is_unknown_both_times) {
    run([this]() -> awaitable<void> {
        int id = 30;
        for (const auto how : {gate::mode::cut_before_sync, gate::mode::cut_after_sync}) {
            ++id;
            w.admin("update public.gate set n = 0 where id = " + std::to_string(id));
            between.set(how);
            between.set_needle("update public.gate set n = n + 1");
            unit u;
            u.add_once("update public.gate set n = n + 1 where id = $1", id);
            const auto answer = co_await pool_->run(std::move(u), soon());
            EXPECT_FALSE(answer);
            EXPECT_TRUE(answer.error().maybe_committed) << describe(answer.error());
            EXPECT_TRUE(between.sprung());
            co_await check_that_it_restores();
        }
        EXPECT_EQ(gate_value(31), "0");
        EXPECT_EQ(gate_value(32), "1");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_gate, G41_a_connection_cut_at_commit_is_not_repeated_by_in_transaction) {
    w.admin("update public.gate set n = 0 where id = 33");
    run([this]() -> awaitable<void> {
        struct once {
            int& calls;
            awaitable<pg_result<>> operator()(lease& on) {
                ++calls;
                unit u;
                u.add(bump, 33);
                const auto done = co_await on.exec(std::move(u));
                co_return done ? pg_result<>() : pg_result<>(done.error());
            }
        };
        between.set(gate::mode::cut_after_sync);
        between.set_needle(std::string("commit\0", 7));  // not "read committed"
        int calls = 0;
        const auto answer = co_await in_transaction(*pool_, {}, soon(), once{calls});
        EXPECT_FALSE(answer);
        EXPECT_TRUE(answer.error().maybe_committed) << describe(answer.error());
        EXPECT_EQ(calls, 1);
        EXPECT_EQ(gate_value(33), "1");
        co_await check_that_it_restores();
        co_await pool_->close(soon());
    });
}

TEST_P(pg_gate, host_names_are_looked_up_on_the_cpu_pool) {
    runtime::cpu_pool resolver(1, 8);
    auto o = options(w);
    o.conninfo = "host=localhost port=1 dbname=x user=y";
    pool local(home(), o, budget_, metrics_, &resolver);
    o.conninfo = "host=no-such-host.invalid dbname=x user=y";
    pool nowhere(home(), o, budget_, metrics_, &resolver);
    pool blind(home(), o, budget_, metrics_);
    run([&]() -> awaitable<void> {
        struct expected {
            pool& from;
            const char* reason;
        };
        for (const auto& [from, reason] :
             {expected{local, "refused"}, expected{nowhere, "no address for host"},
              expected{blind, "nothing to look it up with"}}) {
            const auto answer = co_await from.acquire(deadline::after(1s));
            EXPECT_EQ(answer.error().state, sqlstate::unable_to_connect);
            EXPECT_NE(answer.error().message.find(reason), std::string::npos)
                << answer.error().message;
            co_await from.close(soon());
        }
        co_await pool_->close(soon());
    });
}

TEST_P(pg_gate, G03_callers_that_are_cancelled_at_any_point_leave_the_pool_whole) {
    std::mt19937 dice(std::random_device{}());
    run([&]() -> awaitable<void> {
        for (int round = 0; round < 40; ++round) {
            runtime::task_group callers(home(), "callers");
            for (int i = 0; i < 12; ++i) {
                struct caller {
                    static awaitable<void> unit_of(pool& from, const tenant& who) {
                        for (;;) {
                            unit u = as(who);
                            u.add(whoami);
                            (void)co_await from.run(std::move(u), soon());
                        }
                    }
                    static awaitable<void> lease_of(pool& from) {
                        for (;;) {
                            auto on = co_await from.acquire(soon());
                            (void)co_await on->begin();
                            unit u;
                            u.add(bump, 34).add_once("select pg_sleep(0.001)");
                            (void)co_await on->exec(std::move(u));
                        }
                    }
                };
                callers.spawn(i % 2 == 0 ? caller::unit_of(*pool_, w[0]) : caller::lease_of(*pool_),
                              "caller");
            }
            co_await runtime::sleep_for(std::chrono::microseconds(dice() % 8000));
            callers.stop();
            EXPECT_TRUE(co_await callers.join(soon()));
            co_await check_that_it_restores();
            auto on = co_await pool_->acquire(soon());
            EXPECT_TRUE(on) << describe(on.error());
        }
        EXPECT_EQ(gate_value(34), "0") << "nobody committed";
        co_await pool_->close(soon());
        EXPECT_EQ(budget_.open(), 0U);
    });
}

}  // namespace
}  // namespace insula::pg::test_support
