// Connections and servers that go away.
#include "pg_fixture.hpp"

#include <csignal>

namespace insula::pg::test_support {
namespace {

constexpr statement ping{"test.ping", "select pg_backend_pid()"};
constexpr statement sleep_long{"test.sleep", "select pg_sleep(30)"};
constexpr statement bump{"test.bump", "update public.gate set n = n + 1 where id = $1"};

class pg_lost : public pg_test {
protected:
    static awaitable<int> pid_of(pool& p) {
        unit u;
        u.add(ping);
        const auto answer = co_await p.run(std::move(u), soon());
        EXPECT_TRUE(answer) << describe(answer.error());
        co_return answer ? answer->at(0).scalar<std::int32_t>() : 0;
    }
    static awaitable<void> sleeper(pool& p, pg_error& out) {
        unit u;
        u.add(sleep_long);
        const auto answer = co_await p.run(std::move(u), soon());
        EXPECT_FALSE(answer);
        if (!answer) {
            out = answer.error();
        }
    }
    static awaitable<void> bumper(pool& p, int id, pg_result<results>& out) {
        unit u;
        u.add(bump, id);
        out = co_await p.run(std::move(u), soon());
    }
    /// Until the backend runs pg_sleep.
    static awaitable<void> until_asleep(world& w, int pid) {
        while (w.text("select count(*) from pg_stat_activity where pid = " + std::to_string(pid) +
                      " and wait_event = 'PgSleep'") != "1") {
            co_await runtime::sleep_for(1ms);
        }
    }
};

INSULA_PG_ON_EVERY_BACKEND(pg_lost);

TEST_P(pg_lost, G52_units_in_flight_fail_as_lost_and_the_next_gets_a_new_connection) {
    auto& w = shared_world();
    pool p(home(), options(w), budget_, metrics_);
    run([&]() -> awaitable<void> {
        const int pid = co_await pid_of(p);
        pg_error first;
        pg_error second;
        background(sleeper(p, first));
        background(sleeper(p, second));
        co_await until_asleep(w, pid);
        EXPECT_EQ(w.text("select pg_terminate_backend(" + std::to_string(pid) + ")"), "t");
        co_await all_ended();
        EXPECT_TRUE(first.lost()) << describe(first);
        EXPECT_TRUE(second.lost()) << describe(second);
        // The server said good-bye in the middle of the first unit: neither has committed.
        EXPECT_EQ(first.state, sqlstate::admin_shutdown);
        EXPECT_FALSE(first.maybe_committed);
        EXPECT_FALSE(second.maybe_committed);
        EXPECT_NE(co_await pid_of(p), pid);
        EXPECT_EQ(p.stats().lost, 1U);
        co_await p.close(soon());
    });
}

TEST_P(pg_lost, G41_killed_without_a_word_the_outcome_is_unknown_and_says_so) {
    const auto own = insula::test::cluster::start();
    world w(1, *own);
    pool_options o = options(w);
    pool p(home(), o, budget_, metrics_);
    run([&]() -> awaitable<void> {
        const int pid = co_await pid_of(p);
        pg_error asleep;
        pg_result<results> behind{results{}};
        background(sleeper(p, asleep));
        background(bumper(p, 1, behind));
        co_await until_asleep(w, pid);
        ::kill(pid, SIGKILL);
        co_await all_ended();
        EXPECT_TRUE(asleep.lost()) << describe(asleep);
        EXPECT_TRUE(asleep.maybe_committed);
        EXPECT_FALSE(behind);
        EXPECT_TRUE(behind.error().maybe_committed) << describe(behind.error());
        // PostgreSQL restarts all backends after such a death: wait for it with the pool's own
        // backoff.
        EXPECT_NE(co_await pid_of(p), 0);
        co_await p.close(soon());
    });
}

TEST_P(pg_lost, G52_in_a_transaction_only_commit_may_have_committed) {
    auto& w = shared_world();
    pool p(home(), options(w), budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto on = co_await p.acquire(soon());
        (void)co_await on->begin();
        unit u;
        u.add(bump, 3);
        EXPECT_TRUE(co_await on->exec(std::move(u)));
        w.text("select pg_terminate_backend(" + std::to_string(on->backend_pid()) + ")");
        unit v;
        v.add(bump, 3);
        const auto lost = co_await on->exec(std::move(v));
        EXPECT_FALSE(lost);
        EXPECT_TRUE(lost.error().lost()) << describe(lost.error());
        EXPECT_FALSE(lost.error().maybe_committed) << "its COMMIT was never sent";
        EXPECT_FALSE(co_await on->commit());
        *on = lease();
        EXPECT_EQ(w.text("select n from public.gate where id = 3"), "0");
        co_await p.close(soon());
    });
}

TEST_P(pg_lost, G52_a_server_that_is_away_costs_a_bounded_wait_and_is_found_again) {
    const auto own = insula::test::cluster::start();
    auto w = std::make_unique<world>(1, *own);
    pool p(home(), options(*w), budget_, metrics_);
    run([&]() -> awaitable<void> {
        EXPECT_NE(co_await pid_of(p), 0);
        own->stop_server();
        for (int i = 0; i < 20; ++i) {
            background([](pool& from) -> awaitable<void> {
                unit u;
                u.add(ping);
                const auto started = std::chrono::steady_clock::now();
                const auto answer = co_await from.run(std::move(u), deadline::after(300ms));
                EXPECT_FALSE(answer);
                EXPECT_TRUE(answer.error().lost()) << describe(answer.error());
                EXPECT_LT(std::chrono::steady_clock::now() - started, 1s);
            }(p));
        }
        co_await all_ended();
        const auto failures = p.stats().connect_failures;
        EXPECT_GT(failures, 0U);
        EXPECT_LT(failures, 30U) << "a herd: one attempt at a time, with pauses";
        own->start_server();
        const auto started = std::chrono::steady_clock::now();
        EXPECT_NE(co_await pid_of(p), 0);
        EXPECT_LT(std::chrono::steady_clock::now() - started, 1s);
        co_await p.close(soon());
    });
    w.reset();
}

TEST_P(pg_lost, G52_what_was_opened_while_the_database_was_read_only_is_replaced_after_it) {
    world w(1);
    pool p(home(), options(w), budget_, metrics_);
    w.admin("alter role " + w.login() + " set default_transaction_read_only = on");
    run([&]() -> awaitable<void> {
        pg_result<results> refused{results{}};
        co_await bumper(p, 1, refused);
        EXPECT_EQ(refused.error().state, sqlstate{"25006"}) << describe(refused.error());
        EXPECT_EQ(to_error(refused.error()).code(), errc::overloaded) << "a client may come again";
        w.admin("alter role " + w.login() + " reset default_transaction_read_only");
        const auto again = deadline::after(1s);
        while (!refused && !again.expired()) {
            co_await bumper(p, 1, refused);
            co_await runtime::sleep_for(10ms);
        }
        EXPECT_TRUE(refused) << describe(refused.error());
        EXPECT_LE(p.stats().connects, 5U) << "not a new one for each";
        co_await p.close(soon());
    });
}

TEST_P(pg_lost, G52_a_server_that_hangs_is_given_up_at_the_deadline) {
    const auto own = insula::test::cluster::start();
    auto w = std::make_unique<world>(1, *own);
    pool p(home(), options(*w), budget_, metrics_);
    run([&]() -> awaitable<void> {
        const int pid = co_await pid_of(p);
        ::kill(pid, SIGSTOP);
        unit u;
        u.add(ping);
        const auto started = std::chrono::steady_clock::now();
        const auto answer = co_await p.run(std::move(u), deadline::after(200ms));
        EXPECT_FALSE(answer);
        EXPECT_TRUE(answer.error().maybe_committed) << describe(answer.error());
        EXPECT_LT(std::chrono::steady_clock::now() - started, 1s);
        // The next one is not queued behind the dead for ever: the connection is replaced.
        EXPECT_NE(co_await pid_of(p), pid);
        ::kill(pid, SIGCONT);
        co_await p.close(soon());
    });
    w.reset();
}

}  // namespace
}  // namespace insula::pg::test_support
