// Nobody waits behind somebody's lock.
#include "pg_fixture.hpp"

namespace insula::pg::test_support {
namespace {

constexpr statement take_gate{"test.take", "update public.gate set n = n + 1 where id = $1"};
constexpr statement ping{"test.ping", "select 1"};
constexpr statement add_project{"test.add", "insert into {t}.projects (id, name) values ($1, $2)"};

class pg_lock : public pg_test {
protected:
    pg_lock() : pool_(home(), options(shared_world()), budget_, metrics_) {}

    static awaitable<void> must_run(pool& p, unit work, unit_options how, bool& ended) {
        const auto answer = co_await p.run(std::move(work), how, soon());
        EXPECT_TRUE(answer) << describe(answer.error());
        ended = true;
    }

    pool pool_;
};

INSULA_PG_ON_EVERY_BACKEND(pg_lock);

TEST_P(pg_lock, G45_a_waiting_unit_delays_its_neighbours_by_the_lock_timeout_at_most) {
    run([this]() -> awaitable<void> {
        auto holder = co_await pool_.acquire(soon());
        EXPECT_TRUE(holder) << describe(holder.error());
        (void)co_await holder->begin();
        unit hold;
        hold.add(take_gate, 1);
        EXPECT_TRUE(co_await holder->exec(std::move(hold)));
        unit warm;
        warm.add(ping);
        EXPECT_TRUE(co_await pool_.run(std::move(warm), soon()));

        bool waiter_ended = false;
        unit wait;
        wait.add(take_gate, 1);
        background(must_run(pool_, std::move(wait), {}, waiter_ended));
        for (int round = 0; round < 20; ++round) {
            unit neighbour;
            neighbour.add(ping);
            const auto started = std::chrono::steady_clock::now();
            const auto answer = co_await pool_.run(std::move(neighbour), soon());
            const auto took = std::chrono::steady_clock::now() - started;
            EXPECT_TRUE(answer) << describe(answer.error());
            // 50 ms of lock timeout once, and room for a busy machine.
            EXPECT_LT(took, 200ms) << "round " << round;
        }
        EXPECT_EQ(pool_.stats().lock_retries, 1U);
        EXPECT_FALSE(waiter_ended) << "still behind the lock, on an exclusive connection";
        EXPECT_TRUE(co_await holder->commit());
        co_await all_ended();
        EXPECT_TRUE(waiter_ended);
        *holder = lease();
        co_await pool_.close(soon());
    });
}

TEST_P(pg_lock, G45_the_wait_on_the_exclusive_connection_is_bounded_by_the_deadline) {
    run([this]() -> awaitable<void> {
        auto holder = co_await pool_.acquire(soon());
        (void)co_await holder->begin();
        unit hold;
        hold.add(take_gate, 2);
        EXPECT_TRUE(co_await holder->exec(std::move(hold)));
        unit wait;
        wait.add(take_gate, 2);
        const auto started = std::chrono::steady_clock::now();
        const auto answer = co_await pool_.run(std::move(wait), deadline::after(400ms));
        EXPECT_EQ(answer.error().state, sqlstate::query_canceled) << describe(answer.error());
        EXPECT_LT(std::chrono::steady_clock::now() - started, 2s);
        unit refused;
        refused.add(take_gate, 2);
        const auto at_once =
            co_await pool_.run(std::move(refused), {.allow_exclusive_retry = false}, soon());
        EXPECT_EQ(at_once.error().state, sqlstate::lock_not_available);
        EXPECT_TRUE(co_await holder->rollback());
        *holder = lease();
        co_await pool_.close(soon());
    });
}

TEST_P(pg_lock, G45_a_unique_key_held_by_an_open_transaction_is_waited_for_exclusively) {
    run([this]() -> awaitable<void> {
        const tenant& who = shared_world()[1];
        auto holder = co_await pool_.acquire(soon());
        (void)co_await holder->begin();
        unit first = as(who);
        first.add(add_project, 7000, "unique name");
        EXPECT_TRUE(co_await holder->exec(std::move(first)));
        bool ended = false;
        unit second = as(who);
        second.add(add_project, 7001, "unique name");
        background(must_run(pool_, std::move(second), {}, ended));
        while (pool_.stats().lock_retries == 0) {
            co_await runtime::sleep_for(1ms);
        }
        EXPECT_FALSE(ended);
        EXPECT_TRUE(co_await holder->rollback());
        co_await all_ended();
        EXPECT_EQ(shared_world().text("delete from " + who.role +
                                      ".projects where id >= 7000 returning id"),
                  "7001");
        *holder = lease();
        co_await pool_.close(soon());
    });
}

// Two pools, because units of one pipeline never wait for each other.
TEST_P(pg_lock, G42_units_in_a_deadlock_are_run_again_and_each_effect_happens_once) {
    shared_world().admin("update public.gate set n = 0 where id in (41, 42)");
    pool other(home(), options(shared_world()), budget_, metrics_);
    run([&]() -> awaitable<void> {
        struct crossing {
            static awaitable<void> go(pool& from, int first, int second) {
                unit u;
                u.add(take_gate, first).add_once("select pg_sleep(0.3)").add(take_gate, second);
                const auto answer = co_await from.run(
                    std::move(u), {.lock_timeout = std::chrono::milliseconds{0}}, soon());
                EXPECT_TRUE(answer) << describe(answer.error());
            }
        };
        background(crossing::go(pool_, 41, 42));
        background(crossing::go(other, 42, 41));
        co_await all_ended();
        EXPECT_EQ(pool_.stats().lock_retries + other.stats().lock_retries, 1U)
            << "no deadlock, so nothing was tested";
        EXPECT_EQ(
            shared_world().text("select string_agg(n::text, ',') from public.gate where id in "
                                "(41, 42)"),
            "2,2");
        co_await pool_.close(soon());
        co_await other.close(soon());
    });
}

TEST_P(pg_lock, G42_a_unit_that_always_loses_is_given_up_after_a_bounded_number_of_attempts) {
    shared_world().admin(
        "create sequence if not exists public.attempts; select setval('public.attempts', 1, false);"
        "grant all on sequence public.attempts to public;"
        "create or replace function public.always_loses() returns void language plpgsql as"
        " $$ begin perform nextval('public.attempts');"
        " raise exception using errcode = '40001'; end $$");
    run([&]() -> awaitable<void> {
        unit u;
        u.add(take_gate, 43).add_once("select public.always_loses()");
        const auto answer = co_await pool_.run(std::move(u), soon());
        EXPECT_EQ(answer.error().state, sqlstate::serialization_failure)
            << describe(answer.error());
        EXPECT_EQ(to_error(answer.error()).code(), errc::overloaded);
        EXPECT_EQ(shared_world().text("select last_value from public.attempts"), "6");
        EXPECT_EQ(shared_world().text("select n from public.gate where id = 43"), "0");
        co_await pool_.close(soon());
    });
}

}  // namespace
}  // namespace insula::pg::test_support
