#include "backends.hpp"

#include "insula/runtime/cpu_pool.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/timer.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <sys/resource.h>

#include <atomic>
#include <latch>

namespace insula::runtime {
namespace {

using namespace std::chrono_literals;

using cross_thread = test::loop_test;
INSULA_ON_EVERY_BACKEND(cross_thread);

TEST_P(cross_thread, a_one_shot_carries_a_value_from_any_thread) {
    run([&]() -> awaitable<void> {
        auto [promise, future] = make_one_shot<std::unique_ptr<int>>();
        std::thread giver(
            [given = std::move(promise)]() mutable { given.set(std::make_unique<int>(42)); });
        EXPECT_EQ(*co_await future.get(), 42);
        EXPECT_TRUE(home().runs_here());
        giver.join();
    });
}

TEST_P(cross_thread, a_one_shot_that_was_set_before_is_ready) {
    run([&]() -> awaitable<void> {
        auto [promise, future] = make_one_shot<int>();
        promise.set(7);
        EXPECT_TRUE(future.ready());
        EXPECT_TRUE(co_await future.wait(deadline::after(0ns)));
        EXPECT_EQ(co_await future.get(), 7);
    });
}

TEST_P(cross_thread, waiting_for_a_one_shot_has_a_deadline) {
    run([&]() -> awaitable<void> {
        auto [promise, future] = make_one_shot<int>();
        EXPECT_FALSE(co_await future.wait(deadline::after(1ms)));
        promise.set(1);
        EXPECT_EQ(co_await future.get(), 1);
    });
}

TEST_P(cross_thread, a_one_shot_carries_an_exception) {
    run([&]() -> awaitable<void> {
        auto [promise, future] = make_one_shot<void>();
        promise.fail(std::make_exception_ptr(std::out_of_range("far")));
        EXPECT_THROW(co_await future.get(), std::out_of_range);
    });
}

TEST_P(cross_thread, a_dropped_promise_ends_the_wait) {
    run([&]() -> awaitable<void> {
        auto shot = make_one_shot<int>();
        post(home(),
             [dropped = std::make_shared<one_shot_promise<int>>(std::move(shot.promise))] {});
        EXPECT_THROW(co_await shot.future.get(), boost::system::system_error);
    });
}

awaitable<int> square(loop& expected, int value) {
    EXPECT_TRUE(expected.runs_here());
    co_await sleep_for(100us);
    if (value < 0) {
        throw std::domain_error("negative");
    }
    co_return value* value;
}

TEST_P(cross_thread, run_on_runs_there_and_resumes_here) {
    test::other_loop other(GetParam());
    run([&]() -> awaitable<void> {
        for (int i = 0; i < 50; ++i) {
            EXPECT_EQ(co_await run_on(other.get(), [&] { return square(other.get(), i); }), i * i);
            EXPECT_TRUE(home().runs_here());
        }
        EXPECT_THROW(co_await run_on(other.get(), [&] { return square(other.get(), -1); }),
                     std::domain_error);
        // On its own loop it is a plain call.
        EXPECT_EQ(co_await run_on(home(), [&] { return square(home(), 3); }), 9);
    });
}

awaitable<void> ping(loop& there, int rounds, int& done, event& end, int all) {
    for (int i = 0; i < rounds; ++i) {
        EXPECT_EQ(co_await run_on(there, [&there, i] { return square(there, i); }), i * i);
    }
    if (++done == all) {
        end.set();
    }
}

TEST_P(cross_thread, many_coroutines_call_across_at_the_same_time) {
    test::other_loop other(GetParam());
    run([&]() -> awaitable<void> {
        constexpr int callers = 50;
        int done = 0;
        event end(home());
        for (int i = 0; i < callers; ++i) {
            background(ping(other.get(), 20, done, end, callers));
        }
        EXPECT_TRUE(co_await end.wait(deadline::after(test::patience)));
    });
}

awaitable<void> forever() {
    co_await sleep_until(deadline::never());
}

TEST_P(cross_thread, run_on_ends_when_the_other_loop_stops) {
    test::other_loop other(GetParam());
    run([&]() -> awaitable<void> {
        post(other.get(), [&] { other.get().stop(); });
        EXPECT_THROW(co_await run_on(other.get(), forever), boost::system::system_error);
    });
}

TEST_P(cross_thread, run_on_a_loop_that_has_ended_fails_at_once) {
    test::other_loop other(GetParam());
    other.stop();
    run([&]() -> awaitable<void> {
        EXPECT_THROW(co_await run_on(other.get(), forever), boost::system::system_error);
    });
}

TEST_P(cross_thread, what_is_posted_to_a_loop_that_has_ended_is_destroyed_at_once) {
    home().stop();
    home().run();
    auto held = std::make_shared<int>(1);
    post(home(), [held] { ADD_FAILURE() << "ran after the end"; });
    EXPECT_EQ(held.use_count(), 1);
}

awaitable<void> wait_for(one_shot_future<int> future) {
    co_await future.get();
}

TEST_P(cross_thread, a_promise_may_be_kept_after_its_waiter_is_gone) {
    auto shot = make_one_shot<int>();
    background(wait_for(std::move(shot.future)));
    run([&]() -> awaitable<void> { co_await test::turns(2); });
    home_.reset();
    shot.promise.set(1);  // to nobody: neither loop nor waiter exist
}

using pool_calls = test::loop_test;
INSULA_ON_EVERY_BACKEND(pool_calls);

TEST_P(pool_calls, run_a_function_on_another_thread_and_resume_here) {
    cpu_pool pool(2, 10);
    run([&]() -> awaitable<void> {
        const auto here = std::this_thread::get_id();
        const auto there = co_await pool.run([] { return std::this_thread::get_id(); });
        EXPECT_EQ(std::this_thread::get_id(), here);
        EXPECT_TRUE(there && *there != here);
        bool ran = false;
        EXPECT_TRUE(co_await pool.run([&] { ran = true; }));
        EXPECT_TRUE(ran);
        const auto moved = co_await pool.run([] { return std::make_unique<int>(5); });
        EXPECT_EQ(**moved, 5);
        EXPECT_THROW(
            static_cast<void>(co_await pool.run([]() -> int { throw std::domain_error("x"); })),
            std::domain_error);
    });
}

awaitable<void> call(cpu_pool& pool, std::latch& gate, int& refused, int& finished, event& one) {
    const auto outcome = co_await pool.run([&] { gate.wait(); });
    if (outcome) {
        ++finished;
    } else {
        EXPECT_EQ(outcome.error().code(), errc::overloaded);
        ++refused;
    }
    one.set();
}

TEST_P(pool_calls, are_refused_when_the_queue_is_full) {
    cpu_pool pool(1, 3);
    run([&]() -> awaitable<void> {
        std::latch gate(1);
        std::latch busy(1);
        event one(home());
        int refused = 0;
        int finished = 0;
        // The only thread is busy from here on, so the queue has exactly its three places.
        std::latch* const gates[] = {&busy, &gate};
        auto blocker = [&]() -> awaitable<void> {
            static_cast<void>(co_await pool.run([&] {
                gates[0]->count_down();
                gates[1]->wait();
            }));
            ++finished;
            one.set();
        };
        background(blocker());
        co_await test::turns(1);
        busy.wait();
        for (int i = 0; i < 5; ++i) {
            background(call(pool, gate, refused, finished, one));
        }
        while (refused < 2) {
            EXPECT_TRUE(co_await one.wait(deadline::after(test::patience)));
        }
        EXPECT_EQ(refused, 2);
        EXPECT_EQ(pool.depth(), 3U);
        EXPECT_TRUE(pool.refuses()) << "and says so before";
        EXPECT_EQ(pool.refused(), 3U) << "which is counted like the others";
        gate.count_down();
        while (finished < 4) {
            EXPECT_TRUE(co_await one.wait(deadline::after(test::patience)));
        }
        EXPECT_EQ(refused, 2);
        EXPECT_FALSE(pool.refuses()) << "there is room again";
        EXPECT_EQ(pool.refused(), 3U);
    });
}

TEST_P(pool_calls, G65_are_refused_when_they_would_wait_too_long) {
    constexpr auto wait_max = std::chrono::milliseconds(20);
    std::atomic<int> waited = 0;
    cpu_pool pool({.threads = 1,
                   .queue_max = 100,
                   .wait_max = wait_max,
                   .waited = [&](std::chrono::nanoseconds) { ++waited; }});
    run([&]() -> awaitable<void> {
        std::latch gate(1);
        event one(home());
        int refused = 0;
        int finished = 0;
        background(call(pool, gate, refused, finished, one));
        while (waited < 1) {
            co_await test::turns(1);
        }
        background(call(pool, gate, refused, finished, one));
        co_await test::turns(1);
        EXPECT_EQ(pool.depth(), 1U);
        // What is tested is that time passes.
        co_await sleep_until(deadline::after(wait_max * 2));
        const auto late = co_await pool.run([] { return 1; });
        EXPECT_EQ(late.error().code(), errc::overloaded) << "nothing has moved for so long";
        EXPECT_EQ(pool.refused(), 1U);
        gate.count_down();
        while (refused + finished < 2) {
            EXPECT_TRUE(co_await one.wait(deadline::after(test::patience)));
        }
        EXPECT_EQ(finished, 1);
        EXPECT_EQ(refused, 1) << "its turn came too late";
        EXPECT_EQ(waited, 1);
        EXPECT_TRUE(co_await pool.run([] {})) << "and then it goes on";
    });
}

TEST_P(pool_calls, are_refused_at_once_when_those_before_them_usually_take_too_long) {
    constexpr auto usual = std::chrono::milliseconds(40);
    cpu_pool pool({.threads = 1, .queue_max = 100, .wait_max = usual * 3});
    run([&]() -> awaitable<void> {
        for (int i = 0; i < 12; ++i) {
            EXPECT_TRUE(co_await pool.run([&] { std::this_thread::sleep_for(usual); }));
        }
        std::latch gate(1);
        event one(home());
        int refused = 0;
        int finished = 0;
        for (int i = 0; i < 20; ++i) {
            background(call(pool, gate, refused, finished, one));
        }
        while (refused == 0) {
            EXPECT_TRUE(co_await one.wait(deadline::after(test::patience)));
        }
        EXPECT_LT(pool.depth(), 10U) << "not one had been looked at";
        gate.count_down();
        while (refused + finished < 20) {
            EXPECT_TRUE(co_await one.wait(deadline::after(test::patience)));
        }
    });
}

TEST_P(pool_calls, run_behind_the_event_loops_when_asked_to) {
    const auto nice_value = [] { return ::getpriority(PRIO_PROCESS, 0); };
    cpu_pool usual(1, 10);
    cpu_pool low({.low_priority = true});
    run([&]() -> awaitable<void> {
        EXPECT_EQ(*co_await usual.run(nice_value), nice_value());
        EXPECT_EQ(*co_await low.run(nice_value), std::min(19, nice_value() + 10));
    });
}

TEST_P(pool_calls, end_when_the_pool_stops) {
    cpu_pool pool(1, 10);
    run([&]() -> awaitable<void> {
        std::latch gate(1);
        std::latch busy(1);
        background([](cpu_pool& p, std::latch& b, std::latch& g) -> awaitable<void> {
            static_cast<void>(co_await p.run([&] {
                b.count_down();
                g.wait();
            }));
        }(pool, busy, gate));
        co_await test::turns(1);
        busy.wait();
        post(home(), [&] { pool.stop(); });
        EXPECT_THROW(static_cast<void>(co_await pool.run([] { return 1; })),
                     boost::system::system_error);
        gate.count_down();
        pool.join();
        const auto late = co_await pool.run([] { return 1; });
        EXPECT_EQ(late.error().code(), errc::overloaded);
        co_await test::turns(1);
    });
}

}  // namespace
}  // namespace insula::runtime
