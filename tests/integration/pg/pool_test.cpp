// Leases, waiters, transactions, the budget, and calls from other loops.
#include "pg_fixture.hpp"

#include "insula/runtime/post.hpp"

#include <thread>

namespace insula::pg::test_support {
namespace {

constexpr statement ping{"test.ping", "select pg_backend_pid()"};
constexpr statement bump{"test.bump", "update public.gate set n = n + 1 where id = $1"};
constexpr statement read_gate{"test.read", "select n from public.gate where id = $1"};
constexpr statement set_gate{"test.set", "update public.gate set n = $2 where id = $1"};

class pg_pool : public pg_test {
public:
    awaitable<void> borrow_in_turn(pool& p, int number, std::vector<int>& order) {
        auto on = co_await p.acquire(soon());
        EXPECT_TRUE(on) << describe(on.error());
        order.push_back(number);
        unit u;
        u.add(ping);
        EXPECT_TRUE(co_await on->exec(std::move(u)));
    }
};

INSULA_PG_ON_EVERY_BACKEND(pg_pool);

TEST_P(pg_pool, waiters_are_served_in_order_and_the_queue_is_bounded) {
    auto o = options(shared_world(), 1);
    o.waiters_max = 10;
    pool p(home(), o, budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto first = co_await p.acquire(soon());
        std::vector<int> order;
        for (int i = 0; i < 10; ++i) {
            background(borrow_in_turn(p, i, order));
        }
        const auto late = co_await p.acquire(soon());
        EXPECT_EQ(late.error().state, sqlstate::pool_exhausted);
        EXPECT_EQ(p.stats().waiters, 10U);
        *first = lease();
        co_await all_ended();
        EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
        EXPECT_EQ(p.stats().connects, 1U);
        EXPECT_EQ(p.stats().waiters, 0U);
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, a_waiter_whose_deadline_passes_leaves_the_queue) {
    pool p(home(), options(shared_world(), 1), budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto first = co_await p.acquire(soon());
        const auto late = co_await p.acquire(deadline::after(20ms));
        EXPECT_EQ(late.error().state, sqlstate::deadline_passed);
        EXPECT_EQ(p.stats().waiters, 0U);
        *first = lease();
        EXPECT_TRUE(co_await p.acquire(soon()));
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, a_transaction_with_its_last_unit_costs_one_round_trip_and_two_in_all) {
    pool p(home(), options(shared_world()), budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto on = co_await p.acquire(soon());
        const auto before = p.stats().round_trips;
        (void)co_await on->begin();
        unit a;
        a.add(set_gate, 10, 1);
        EXPECT_TRUE(co_await on->exec(std::move(a)));
        unit b;
        b.add(bump, 10);
        EXPECT_TRUE(co_await on->exec_and_commit(std::move(b)));
        EXPECT_FALSE(on->in_transaction());
        EXPECT_TRUE(co_await on->commit()) << "nothing left to commit";
        EXPECT_EQ(p.stats().round_trips - before, 2U);
        EXPECT_EQ(shared_world().text("select n from public.gate where id = 10"), "2");
        *on = lease();
        co_await p.close(soon());
    });
}

/// BEGIN and COMMIT travel with the unit, so that one may also LOCK, which asks for a transaction
/// block.
TEST_P(pg_pool, a_transaction_of_one_unit_costs_one_round_trip_and_is_all_or_nothing) {
    static constexpr statement lock{"test.lock", "lock table public.gate"};
    static constexpr statement divide{"test.divide", "select 1 / $1::int"};
    pool p(home(), options(shared_world()), budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto on = co_await p.acquire(soon());
        for (const bool locking : {false, true}) {
            for (const int by : {0, 1}) {
                shared_world().admin("update public.gate set n = 0 where id in (11, 12)");
                const auto before = p.stats().round_trips;
                (void)co_await on->begin();
                unit all;
                all.add(set_gate, 11, 1);
                if (locking) {
                    all.add(lock);
                }
                all.add(set_gate, 12, 1);
                all.add(divide, by);
                const auto done = co_await on->exec_and_commit(std::move(all));
                EXPECT_EQ(bool(done), by == 1);
                if (!done) {
                    EXPECT_FALSE(done.error().maybe_committed);
                    EXPECT_EQ(done.error().statement, locking ? 3 : 2);
                }
                EXPECT_TRUE(by == 0 || p.stats().round_trips - before == 1);
                EXPECT_TRUE(co_await on->rollback());
                EXPECT_FALSE(on->in_transaction());
                EXPECT_EQ(
                    shared_world().text("select sum(n) from public.gate where id in (11, 12)"),
                    by == 1 ? "2" : "0");
            }
        }
        *on = lease();
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, G42_serialization_failures_are_repeated_and_no_effect_is_doubled) {
    shared_world().admin("update public.gate set n = 0 where id = 20");
    pool p(home(), options(shared_world(), 8), budget_, metrics_);
    run([&]() -> awaitable<void> {
        int attempts = 0;
        struct increment {
            int& attempts;
            awaitable<pg_result<int>> operator()(lease& on) {
                ++attempts;
                unit look;
                look.add(read_gate, 20);
                auto seen = co_await on.exec(std::move(look));
                if (!seen) {
                    co_return seen.error();
                }
                const int n = seen->at(0).scalar<std::int32_t>();
                unit write;
                write.add(set_gate, 20, n + 1);
                auto done = co_await on.exec(std::move(write));
                if (!done) {
                    co_return done.error();
                }
                co_return n;
            }
        };
        for (int i = 0; i < 20; ++i) {
            background([](pool& from, increment what) -> awaitable<void> {
                const auto answer = co_await in_transaction(
                    from, {.level = isolation::serializable, .attempts_max = 1000}, soon(), what);
                EXPECT_TRUE(answer) << describe(answer.error());
            }(p, increment{attempts}));
        }
        co_await all_ended();
        EXPECT_EQ(shared_world().text("select n from public.gate where id = 20"), "20");
        EXPECT_GT(attempts, 20) << "nothing collided, so nothing was tested";
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, G42_a_deadlock_is_repeated) {
    shared_world().admin("update public.gate set n = 0 where id in (21, 22)");
    pool p(home(), options(shared_world(), 2), budget_, metrics_);
    run([&]() -> awaitable<void> {
        runtime::event both(home());
        int inside = 0;
        struct crossing {
            int first;
            int second;
            runtime::event& both;
            int& inside;
            awaitable<pg_result<>> operator()(lease& on) {
                unit a;
                a.add(bump, first);
                auto done = co_await on.exec(std::move(a));
                if (!done) {
                    co_return done.error();
                }
                if (++inside == 2) {
                    both.set();
                } else if (inside == 1) {
                    (void)co_await both.wait(soon());
                }
                unit b;
                b.add(bump, second);
                done = co_await on.exec(std::move(b));
                co_return done ? pg_result<>() : pg_result<>(done.error());
            }
        };
        for (const auto& [a, b] : {std::pair(21, 22), std::pair(22, 21)}) {
            background([](pool& from, crossing what) -> awaitable<void> {
                const auto answer = co_await in_transaction(from, {}, soon(), what);
                EXPECT_TRUE(answer) << describe(answer.error());
            }(p, crossing{a, b, both, inside}));
        }
        co_await all_ended();
        EXPECT_GT(inside, 2) << "no deadlock came about";
        EXPECT_EQ(shared_world().text("select sum(n) from public.gate where id in (21, 22)"), "4");
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, an_error_of_the_domain_rolls_back_and_is_returned_as_it_is) {
    shared_world().admin("update public.gate set n = 0 where id = 23");
    pool p(home(), options(shared_world()), budget_, metrics_);
    run([&]() -> awaitable<void> {
        struct refuse {
            awaitable<result<int>> operator()(lease& on) {
                unit u;
                u.add(bump, 23);
                EXPECT_TRUE(co_await on.exec(std::move(u)));
                co_return error(errc::slug_taken);
            }
        };
        const auto answer = co_await in_transaction(p, {}, soon(), refuse{});
        EXPECT_EQ(answer.error().code(), errc::slug_taken);
        EXPECT_EQ(shared_world().text("select n from public.gate where id = 23"), "0");
        // An error that the closure swallows still fails the transaction.
        struct swallow {
            awaitable<result<int>> operator()(lease& on) {
                unit u;
                u.add(bump, 23).add_once("select 1 / 0");
                EXPECT_FALSE(co_await on.exec(std::move(u)));
                co_return 7;
            }
        };
        EXPECT_FALSE(co_await in_transaction(p, {}, soon(), swallow{}));
        EXPECT_EQ(shared_world().text("select n from public.gate where id = 23"), "0");
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, an_exclusive_query_is_cut_off_and_its_connection_not_reused_dirty) {
    pool p(home(), options(shared_world(), 1), budget_, metrics_);
    run([&]() -> awaitable<void> {
        int pid = 0;
        {
            auto on = co_await p.acquire(deadline::after(300ms));
            pid = on->backend_pid();
            unit u;
            u.add_once("select set_config('statement_timeout', '0', true)")
                .add_once("select pg_sleep(60)");
            const auto answer = co_await on->exec(std::move(u));
            EXPECT_EQ(answer.error().state, sqlstate::query_canceled) << describe(answer.error());
            EXPECT_TRUE(answer.error().maybe_committed);
        }
        auto next = co_await p.acquire(soon());
        EXPECT_TRUE(next);
        EXPECT_NE(next->backend_pid(), pid);
        while (shared_world().text("select count(*) from pg_stat_activity where pid = " +
                                   std::to_string(pid)) != "0") {
            co_await runtime::sleep_for(1ms);  // it was cancelled, not left asleep for a minute
        }
        *next = lease();
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, the_budget_holds_over_all_pools_and_idle_connections_are_given_up) {
    connection_budget two(2);
    auto o = options(shared_world(), 2);
    pool a(home(), o, two, metrics_);
    pool b(home(), o, two, metrics_);
    pool c(home(), o, two, metrics_);
    run([&]() -> awaitable<void> {
        for (int round = 0; round < 5; ++round) {
            for (pool* p : {&a, &b, &c}) {
                unit u;
                u.add(ping);
                const auto answer = co_await p->run(std::move(u), soon());
                EXPECT_TRUE(answer) << describe(answer.error());
                EXPECT_LE(two.open(), 2U);
                auto on = co_await p->acquire(soon());
                EXPECT_TRUE(on) << describe(on.error());
                EXPECT_LE(two.open(), 2U);
            }
        }
        for (pool* p : {&a, &b, &c}) {
            co_await p->close(soon());
        }
        EXPECT_EQ(two.open(), 0U);
    });
}

TEST_P(pg_pool, idle_connections_are_closed) {
    auto o = options(shared_world());
    o.idle_timeout = 50ms;
    pool p(home(), o, budget_, metrics_);
    run([&]() -> awaitable<void> {
        unit u;
        u.add(ping);
        EXPECT_TRUE(co_await p.run(std::move(u), soon()));
        {
            EXPECT_TRUE(co_await p.acquire(soon()));
        }
        while (p.stats().open != 0) {
            co_await runtime::sleep_for(5ms);
        }
        unit again;
        again.add(ping);
        EXPECT_TRUE(co_await p.run(std::move(again), soon()));
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, connections_are_recycled_by_units_without_losing_any) {
    auto o = options(shared_world());
    o.recycle_units = 50;
    pool p(home(), o, budget_, metrics_);
    run([&]() -> awaitable<void> {
        for (int i = 0; i < 2000 && p.stats().connects < 3; ++i) {
            for (int k = 0; k < 10; ++k) {
                background([](pool& from) -> awaitable<void> {
                    unit u;
                    u.add(ping);
                    const auto answer = co_await from.run(std::move(u), soon());
                    EXPECT_TRUE(answer) << describe(answer.error());
                }(p));
            }
            co_await all_ended();
            co_await runtime::sleep_for(1ms);
        }
        EXPECT_GE(p.stats().connects, 3U);
        EXPECT_EQ(p.stats().lost, 0U);
        co_await p.close(soon());
    });
}

TEST_P(pg_pool, other_loops_may_call) {
    auto made = runtime::make_loop({.kind = GetParam()});
    ASSERT_TRUE(made);
    const auto other = std::move(*made);
    std::thread thread([&] { other->run(); });
    pool p(home(), options(shared_world()), budget_, metrics_);
    run([&]() -> awaitable<void> {
        struct elsewhere {
            pool& from;
            runtime::loop& here;
            awaitable<int> operator()() {
                int good = 0;
                for (int i = 0; i < 200; ++i) {
                    unit u;
                    u.add(ping);
                    const auto answer = co_await from.run(std::move(u), soon());
                    good += answer && here.runs_here() ? 1 : 0;
                }
                auto on = co_await from.acquire(soon());
                (void)co_await on->begin();
                unit u;
                u.add(ping);
                good += co_await on->exec(std::move(u)) && here.runs_here() ? 1 : 0;
                good += co_await on->commit() && here.runs_here() ? 1 : 0;
                co_return good;
            }
        };
        EXPECT_EQ(co_await runtime::run_on(*other, elsewhere{p, *other}), 202);
        co_await p.close(soon());
    });
    other->stop();
    thread.join();
}

TEST_P(pg_pool, close_refuses_new_work_and_waits_for_what_runs) {
    pool p(home(), options(shared_world()), budget_, metrics_);
    run([&]() -> awaitable<void> {
        bool good = false;
        background([](pool& from, bool& out) -> awaitable<void> {
            unit u;
            u.add_once("select pg_sleep(0.2)");
            const auto answer = co_await from.run(std::move(u), soon());
            EXPECT_TRUE(answer) << describe(answer.error());
            out = answer.has_value();
        }(p, good));
        while (p.stats().round_trips == 0) {
            co_await runtime::sleep_for(1ms);
        }
        co_await p.close(soon());
        EXPECT_TRUE(good);
        unit u;
        u.add(ping);
        EXPECT_EQ((co_await p.run(std::move(u), soon())).error().state, sqlstate::pool_closed);
        EXPECT_EQ((co_await p.acquire(soon())).error().state, sqlstate::pool_closed);
        co_await all_ended();
    });
}

}  // namespace
}  // namespace insula::pg::test_support
