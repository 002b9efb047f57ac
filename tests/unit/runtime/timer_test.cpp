#include "insula/runtime/timer.hpp"

#include "backends.hpp"

#include "insula/runtime/detail/timer_heap.hpp"
#include "insula/runtime/event.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/system/system_error.hpp>

#include <random>

namespace insula::runtime {
namespace {

using namespace std::chrono_literals;

struct node final : detail::timer_node {
    explicit node(std::vector<int>& f, int i) : fired(f), id(i) {}
    void expire() override { fired.push_back(id); }
    std::vector<int>& fired;
    int id;
};

TEST(timer_heap, agrees_with_a_sorted_list_over_random_changes) {
    std::mt19937 random(7);
    std::vector<int> fired;
    detail::timer_heap heap;
    std::vector<std::unique_ptr<node>> nodes;
    std::vector<int> due(200, -1);  // -1: not set
    const steady_clock::time_point start{};
    for (int i = 0; i < 200; ++i) {
        nodes.push_back(std::make_unique<node>(fired, i));
    }
    int now = 0;
    for (int round = 0; round < 20000; ++round) {
        const auto pick = random() % nodes.size();
        switch (random() % 4) {
            case 0:
            case 1:
                due[pick] = now + static_cast<int>(random() % 100);
                heap.set(*nodes[pick], start + std::chrono::microseconds(due[pick]));
                break;
            case 2:
                due[pick] = -1;
                heap.remove(*nodes[pick]);
                break;
            default:
                now += static_cast<int>(random() % 10);
                fired.clear();
                heap.expire(start + std::chrono::microseconds(now));
                for (std::size_t i = 1; i < fired.size(); ++i) {
                    EXPECT_LE(due[static_cast<std::size_t>(fired[i - 1])],
                              due[static_cast<std::size_t>(fired[i])]);
                }
                for (const int id : fired) {
                    EXPECT_LE(due[static_cast<std::size_t>(id)], now);
                    due[static_cast<std::size_t>(id)] = -1;
                }
                for (std::size_t i = 0; i < due.size(); ++i) {
                    EXPECT_TRUE(due[i] == -1 || due[i] > now);
                    EXPECT_EQ(nodes[i]->scheduled(), due[i] != -1);
                }
        }
        const auto earliest = std::ranges::min(due, {}, [](int d) { return d < 0 ? 1 << 30 : d; });
        EXPECT_EQ(heap.next(), earliest < 0 ? steady_clock::time_point::max()
                                            : start + std::chrono::microseconds(earliest));
    }
    for (auto& one : nodes) {
        heap.remove(*one);
    }
    EXPECT_EQ(heap.size(), 0U);
}

struct again final : detail::timer_node {
    explicit again(detail::timer_heap& h) : heap(h) {}
    void expire() override {
        ++times;
        heap.set(*this, steady_clock::time_point{});
    }
    detail::timer_heap& heap;
    int times = 0;
};

TEST(timer_heap, a_timer_that_sets_itself_to_the_past_fires_once_each_time) {
    detail::timer_heap heap;
    again self(heap);
    heap.set(self, steady_clock::time_point{});
    heap.expire(steady_clock::time_point{} + 1s);
    EXPECT_EQ(self.times, 1);
    heap.remove(self);
}

TEST(deadline, saturates_and_compares) {
    EXPECT_TRUE(deadline::after(std::chrono::nanoseconds::max()).is_never());
    EXPECT_FALSE(deadline::never().expired());
    EXPECT_EQ(deadline::never().remaining(), std::chrono::nanoseconds::max());
    EXPECT_TRUE(deadline::after(0ns).expired());
    EXPECT_TRUE(deadline::after(-5s).expired());
    EXPECT_EQ(deadline::after(-5s).remaining(), 0ns);
    const auto soon = deadline::after(1s);
    EXPECT_EQ(soon.sooner(deadline::never()), soon);
    EXPECT_GT(soon.remaining(), 0ns);
    EXPECT_LT(soon, deadline::never());
}

using timer_wait = test::loop_test;
INSULA_ON_EVERY_BACKEND(timer_wait);

awaitable<void> note_when(deadline until, int id, std::vector<int>& order) {
    co_await sleep_until(until);
    EXPECT_TRUE(until.expired()) << "woken early";
    order.push_back(id);
}

TEST_P(timer_wait, fires_in_the_order_of_deadlines_and_never_early) {
    std::vector<int> order;
    run([&]() -> awaitable<void> {
        const auto start = steady_clock::now();
        for (const int ms : {9, 3, 7, 1, 5}) {
            background(note_when(deadline{start + std::chrono::milliseconds(ms)}, ms, order));
        }
        co_await sleep_until(deadline{start + 12ms});
    });
    EXPECT_EQ(order, (std::vector{1, 3, 5, 7, 9}));
}

TEST_P(timer_wait, answers_true_when_fired_and_false_when_cancelled) {
    run([&]() -> awaitable<void> {
        timer alarm(home());
        EXPECT_TRUE(co_await alarm.wait(deadline::after(1ms)));
        EXPECT_TRUE(co_await alarm.wait(deadline::after(-1s)));
        post(home(), [&] { alarm.cancel(); });
        EXPECT_FALSE(co_await alarm.wait(deadline::never()));
    });
}

TEST_P(timer_wait, ends_when_the_timer_is_destroyed) {
    run([&]() -> awaitable<void> {
        auto alarm = std::make_unique<timer>(home());
        post(home(), [&] { alarm.reset(); });
        EXPECT_FALSE(co_await alarm->wait(deadline::never()));
    });
}

TEST_P(timer_wait, a_cancelled_coroutine_stops_sleeping) {
    run([&]() -> awaitable<void> {
        asio::cancellation_signal stop;
        error_code code;
        event ended(home());
        asio::co_spawn(
            home(), sleep_until(deadline::never()),
            asio::bind_cancellation_slot(stop.slot(), [&](const std::exception_ptr& thrown) {
                try {
                    std::rethrow_exception(thrown);
                } catch (const boost::system::system_error& failure) {
                    code = failure.code();
                }
                ended.set();
            }));
        co_await test::turns(1);
        stop.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await ended.wait(deadline::after(test::patience)));
        EXPECT_EQ(code, asio::error::operation_aborted);
    });
}

TEST_P(timer_wait, ten_thousand_sleepers_all_wake) {
    int awake = 0;
    run([&]() -> awaitable<void> {
        std::mt19937 random(3);
        event all(home());
        const auto sleeper = [&](deadline until) -> awaitable<void> {
            co_await sleep_until(until);
            if (++awake == 10000) {
                all.set();
            }
        };
        for (int i = 0; i < 10000; ++i) {
            background(sleeper(deadline::after(std::chrono::microseconds(random() % 50000))));
        }
        EXPECT_TRUE(co_await all.wait(deadline::after(test::patience)));
    });
}

using event_wait = test::loop_test;
INSULA_ON_EVERY_BACKEND(event_wait);

awaitable<void> note_event(event& bell, deadline until, int id, std::vector<int>& order) {
    order.push_back(co_await bell.wait(until) ? id : -id);
}

TEST_P(event_wait, wakes_one_waiter_for_each_set_first_come_first_served) {
    run([&]() -> awaitable<void> {
        event bell(home());
        std::vector<int> order;
        for (int id = 1; id <= 3; ++id) {
            background(note_event(bell, deadline::never(), id, order));
        }
        co_await test::turns(1);
        bell.set();
        co_await test::turns(1);
        EXPECT_EQ(order, (std::vector{1}));
        bell.set();
        bell.set();
        co_await test::turns(1);
        EXPECT_EQ(order, (std::vector{1, 2, 3}));
        EXPECT_FALSE(bell.is_set());
    });
}

TEST_P(event_wait, stays_set_for_the_next_waiter_only) {
    run([&]() -> awaitable<void> {
        event bell(home());
        bell.set();
        bell.set();
        EXPECT_TRUE(co_await bell.wait(deadline::never()));
        EXPECT_FALSE(co_await bell.wait(deadline::after(1ms)));
        bell.set();
        bell.clear();
        EXPECT_FALSE(co_await bell.wait(deadline::after(1ms)));
    });
}

TEST_P(event_wait, set_all_wakes_all_and_does_not_stay) {
    run([&]() -> awaitable<void> {
        event bell(home());
        std::vector<int> order;
        for (int id = 1; id <= 3; ++id) {
            background(note_event(bell, deadline::never(), id, order));
        }
        co_await test::turns(1);
        bell.set_all();
        co_await test::turns(1);
        EXPECT_EQ(order, (std::vector{1, 2, 3}));
        bell.set_all();
        EXPECT_FALSE(co_await bell.wait(deadline::after(1ms)));
    });
}

TEST_P(event_wait, a_waiter_that_gave_up_does_not_swallow_a_set) {
    run([&]() -> awaitable<void> {
        event bell(home());
        std::vector<int> order;
        background(note_event(bell, deadline::after(2ms), 1, order));
        background(note_event(bell, deadline::never(), 2, order));
        co_await sleep_for(5ms);
        bell.set();
        co_await test::turns(1);
        EXPECT_EQ(order, (std::vector{-1, 2}));
    });
}

TEST_P(event_wait, destruction_answers_false) {
    run([&]() -> awaitable<void> {
        auto bell = std::make_unique<event>(home());
        post(home(), [&] { bell.reset(); });
        EXPECT_FALSE(co_await bell->wait(deadline::never()));
    });
}

}  // namespace
}  // namespace insula::runtime
