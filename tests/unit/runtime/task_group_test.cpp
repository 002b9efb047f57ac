#include "insula/runtime/task_group.hpp"

#include "backends.hpp"

#include "insula/observe/metrics.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/signals.hpp"

#include <csignal>

namespace insula::runtime {
namespace {

using namespace std::chrono_literals;

using tasks = test::loop_test;
INSULA_ON_EVERY_BACKEND(tasks);

awaitable<void> count_after(event* gate, int& count) {
    if (gate != nullptr) {
        co_await gate->wait(deadline::never());
    }
    ++count;
}
awaitable<void> sleep_long() {
    co_await sleep_until(deadline::never());
}
awaitable<void> fail(std::string why) {
    co_await test::turns(1);
    throw std::runtime_error(why);
}
awaitable<void> throw_number() {
    co_await test::turns(1);
    throw 42;  // NOLINT(hicpp-exception-baseclass): whatever a task throws must not be lost
}

TEST_P(tasks, are_counted_from_spawn_to_end_and_joined) {
    run([&]() -> awaitable<void> {
        task_group group(home(), "test");
        event gate(home());
        int count = 0;
        EXPECT_TRUE(co_await group.join(deadline::after(0ms))) << "an empty group is joined";
        for (int i = 0; i < 5; ++i) {
            EXPECT_TRUE(group.spawn(count_after(&gate, count), "count"));
        }
        EXPECT_EQ(group.size(), 5U);
        EXPECT_EQ(count, 0) << "a task starts on the next turn";
        EXPECT_FALSE(co_await group.join(deadline::after(2ms)));
        gate.set_all();
        EXPECT_TRUE(co_await group.join(deadline::after(5s)));
        EXPECT_EQ(count, 5);
        EXPECT_EQ(group.size(), 0U);
        EXPECT_EQ(group.failures(), 0U);
    });
}

TEST_P(tasks, that_throw_are_logged_and_counted) {
    observe::metrics metrics;
    auto& failures = metrics.counter("insula_task_failures_total", "x");
    run([&]() -> awaitable<void> {
        task_group group(home(), "test", &failures);
        int count = 0;
        group.spawn(fail("first"), "failing");
        group.spawn(throw_number(), "odd");
        group.spawn(count_after(nullptr, count), "fine");
        EXPECT_TRUE(co_await group.join(deadline::after(5s)));
        EXPECT_EQ(group.failures(), 2U);
        EXPECT_EQ(count, 1);
    });
    EXPECT_EQ(failures.value(), 2);
}

TEST_P(tasks, stop_when_told_without_being_failures) {
    run([&]() -> awaitable<void> {
        task_group group(home(), "test");
        int count = 0;
        for (int i = 0; i < 5; ++i) {
            group.spawn(sleep_long(), "sleeping");
        }
        co_await test::turns(2);
        group.spawn(count_after(nullptr, count), "not yet begun");
        EXPECT_FALSE(group.stopping());
        group.stop();
        EXPECT_TRUE(group.stopping());
        EXPECT_FALSE(group.spawn(sleep_long(), "late"));
        EXPECT_TRUE(co_await group.join(deadline::after(5s)));
        EXPECT_EQ(group.failures(), 0U);
        EXPECT_EQ(count, 0) << "a task stopped before it began never runs";
    });
}

TEST_P(tasks, go_on_when_the_group_is_only_closed) {
    run([&]() -> awaitable<void> {
        task_group group(home(), "test");
        event gate(home());
        int count = 0;
        group.spawn(count_after(&gate, count), "count");
        co_await test::turns(1);
        group.close();
        EXPECT_FALSE(group.spawn(sleep_long(), "late"));
        gate.set();
        EXPECT_TRUE(co_await group.join(deadline::after(5s)));
        EXPECT_EQ(count, 1);
    });
}

awaitable<void> clean_up_slowly(bool& cleaned) {
    try {
        co_await sleep_long();
    } catch (const boost::system::system_error&) {
        cleaned = true;
    }
    // After a cancellation further awaits throw, unless it is forgotten (FACTS.md 4).
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await sleep_for(2ms);
}

TEST_P(tasks, may_clean_up_when_they_are_stopped) {
    run([&]() -> awaitable<void> {
        task_group group(home(), "test");
        bool cleaned = false;
        group.spawn(clean_up_slowly(cleaned), "careful");
        co_await test::turns(2);
        group.stop();
        EXPECT_TRUE(co_await group.join(deadline::after(5s)));
        EXPECT_TRUE(cleaned);
        EXPECT_EQ(group.failures(), 0U);
    });
}

TEST_P(tasks, left_over_are_destroyed_with_the_stopped_loop) {
    task_group group(home(), "test");
    group.spawn(sleep_long(), "left over");
    run([&]() -> awaitable<void> { co_await test::turns(2); });
    EXPECT_EQ(group.size(), 0U);
}

using signals = test::loop_test;
INSULA_ON_EVERY_BACKEND(signals);

awaitable<void> note_signal(signal_watch& watch, std::vector<int>& seen, event& done) {
    seen.push_back(co_await watch.next());
    done.set();
}

TEST_P(signals, become_events_of_the_loop) {
    block_signals({SIGUSR1, SIGUSR2});
    run([&]() -> awaitable<void> {
        signal_watch watch(home(), {SIGUSR1, SIGUSR2});
        ::raise(SIGUSR1);
        EXPECT_EQ(co_await watch.next(), SIGUSR1);
        post(home(), [] { ::raise(SIGUSR2); });
        EXPECT_EQ(co_await watch.next(), SIGUSR2);
        std::vector<int> seen;
        event done(home());
        background(note_signal(watch, seen, done));
        co_await test::turns(2);
        watch.close();
        EXPECT_TRUE(co_await done.wait(deadline::after(5s)));
        EXPECT_EQ(seen, (std::vector{0}));
    });
}

}  // namespace
}  // namespace insula::runtime
