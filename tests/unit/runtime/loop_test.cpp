#include "backends.hpp"
#include "runtime/scheduling.hpp"

#include "insula/runtime/event.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/detail/thread_context.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <numeric>
#include <thread>

namespace insula::runtime {
namespace {

using loop_run = test::loop_test;
INSULA_ON_EVERY_BACKEND(loop_run);

static_assert(asio::execution::is_executor<executor>::value);
static_assert(std::is_trivially_copyable_v<executor>);
static_assert(std::is_convertible_v<executor, asio::any_io_executor>);

TEST_P(loop_run, is_the_context_of_its_executor) {
    EXPECT_EQ(&asio::query(home().get_executor(), asio::execution::context), &home());
    EXPECT_EQ(home().get_executor(), home().get_executor());
    const asio::any_io_executor erased = home().get_executor();
    EXPECT_EQ(&asio::query(erased, asio::execution::context), &home());
    EXPECT_EQ(home().kind(), GetParam());
}

TEST_P(loop_run, runs_posted_functions_in_order) {
    std::vector<int> order;
    for (int i = 0; i < 100; ++i) {
        asio::post(home().get_executor(), [&order, i] { order.push_back(i); });
    }
    post(home(), [this] { home().stop(); });
    home().run();
    std::vector<int> expected(100);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(order, expected);
}

detail::scheduling scheduling_here() {
    detail::scheduling found;
    EXPECT_EQ(::syscall(SYS_sched_getattr, 0, &found, sizeof found, 0), 0);
    return found;
}

TEST_P(loop_run, asks_for_short_slices_and_those_it_starts_do_not_get_them) {
    detail::scheduling before;
    detail::scheduling within;
    detail::scheduling started;
    post(home(), [&] {
        within = scheduling_here();
        std::thread([&] { started = scheduling_here(); }).join();
        home().stop();
    });
    std::thread([&] {
        before = scheduling_here();
        home().run();
    }).join();
    EXPECT_EQ(within.nice, before.nice);
    EXPECT_EQ(within.policy, before.policy);
    EXPECT_EQ(started.slice_ns, before.slice_ns);
    if (before.slice_ns == 0) {
        GTEST_SKIP() << "this kernel has no slices of a thread's own";
    }
    if (before.policy == SCHED_OTHER) {
        EXPECT_EQ(within.slice_ns, 100'000);
    }
}

TEST_P(loop_run, dispatch_runs_at_once_and_post_and_defer_later) {
    run([&]() -> awaitable<void> {
        std::string order;
        const auto here = home().get_executor();
        asio::post(here, [&] { order += 'p'; });
        asio::defer(here, [&] { order += 'd'; });
        asio::dispatch(here, [&] { order += 'i'; });
        asio::dispatch(asio::require(here, asio::execution::blocking.never), [&] { order += 'n'; });
        EXPECT_EQ(order, "i");
        co_await test::turns(1);
        EXPECT_EQ(order, "ipdn");
    });
}

TEST_P(loop_run, knows_the_thread_it_runs_on) {
    EXPECT_EQ(loop::current(), nullptr);
    run([&]() -> awaitable<void> {
        EXPECT_EQ(loop::current(), &home());
        EXPECT_TRUE(home().runs_here());
        bool elsewhere = true;
        std::thread([&] { elsewhere = home().runs_here(); }).join();
        EXPECT_FALSE(elsewhere);
        co_return;
    });
    EXPECT_EQ(loop::current(), nullptr);
}

TEST_P(loop_run, runs_any_io_executor_coroutines_and_their_operators) {
    using namespace asio::experimental::awaitable_operators;
    const asio::any_io_executor erased = home().get_executor();
    int sum = 0;
    const auto part = [](int value) -> asio::awaitable<int> {
        co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        co_return value;
    };
    const auto both = [&]() -> asio::awaitable<void> {
        const auto [a, b] = co_await (part(1) && part(2));
        sum = a + b;
        const auto first = co_await (part(4) || part(5));
        sum += first.index() == 0 ? std::get<0>(first) : std::get<1>(first);
    };
    asio::co_spawn(erased, both(), [&](const std::exception_ptr& thrown) {
        EXPECT_FALSE(thrown);
        home().stop();
    });
    home().run();
    EXPECT_TRUE(sum == 3 + 4 || sum == 3 + 5) << sum;
}

TEST_P(loop_run, goes_to_a_thread_pool_and_back) {
    asio::thread_pool pool(1);
    run([&]() -> awaitable<void> {
        const auto before = std::this_thread::get_id();
        std::thread::id there;
        co_await asio::co_spawn(
            pool,
            [&]() -> asio::awaitable<void> {
                there = std::this_thread::get_id();
                co_return;
            },
            use_awaitable);
        EXPECT_EQ(std::this_thread::get_id(), before);
        EXPECT_NE(there, before);
    });
    pool.join();
}

TEST_P(loop_run, gets_posts_of_many_threads_each_in_order) {
    constexpr int threads = 4;
    constexpr int each = 5000;
    std::vector<int> next(threads, 0);
    int total = 0;
    std::vector<std::thread> posters;
    for (int t = 0; t < threads; ++t) {
        posters.emplace_back([&, t] {
            for (int i = 0; i < each; ++i) {
                post(home(), [&, t, i] {
                    EXPECT_EQ(next[static_cast<std::size_t>(t)]++, i);
                    if (++total == threads * each) {
                        home().stop();
                    }
                });
            }
        });
    }
    home().run();
    for (auto& poster : posters) {
        poster.join();
    }
    EXPECT_EQ(total, threads * each);
}

TEST_P(loop_run, is_woken_from_its_sleep_by_another_thread_once_for_many_posts) {
    test::other_loop other(GetParam());
    constexpr int many = 1000;
    run([&]() -> awaitable<void> {
        auto [promise, done] = make_one_shot<void>();
        int seen = 0;
        post(other.get(), [&, kept = std::make_shared<one_shot_promise<void>>(std::move(promise))] {
            // This loop sleeps or runs; whatever it does, most of these find it awake.
            for (int i = 0; i < many; ++i) {
                post(home(), [&, kept] {
                    if (++seen == many) {
                        kept->set();
                    }
                });
            }
        });
        co_await done.get();
        EXPECT_EQ(seen, many);
        EXPECT_LT(home().stats().wake_ups, static_cast<std::uint64_t>(many));
    });
}

TEST_P(loop_run, local_posts_do_not_enter_the_kernel) {
    run([&]() -> awaitable<void> {
        const auto before = home().stats().turns;
        for (int i = 0; i < 100; ++i) {
            co_await asio::post(home().get_executor(), use_awaitable);
        }
        EXPECT_EQ(home().stats().turns, before);
    });
}

TEST_P(loop_run, does_not_starve_timers_with_posts) {
    run([&]() -> awaitable<void> {
        bool over = false;
        background([](bool& flag) -> awaitable<void> {
            co_await sleep_for(std::chrono::milliseconds(5));
            flag = true;
        }(over));
        while (!over) {
            co_await asio::post(home().get_executor(), use_awaitable);
        }
    });
}

TEST_P(loop_run, recycles_coroutine_frames) {
    run([&]() -> awaitable<void> {
        EXPECT_NE(asio::detail::thread_context::top_of_thread_call_stack(), nullptr);
        co_return;
    });
    EXPECT_EQ(asio::detail::thread_context::top_of_thread_call_stack(), nullptr);
}

TEST_P(loop_run, returns_at_once_when_stopped_before_it_runs) {
    bool ran = false;
    post(home(), [&] { ran = true; });
    home().stop();
    home().run();
    EXPECT_FALSE(ran);
}

TEST_P(loop_run, is_stopped_by_another_thread_while_it_sleeps) {
    std::thread stopper;
    post(home(), [&] { stopper = std::thread([&] { home().stop(); }); });
    home().run();
    stopper.join();
}

struct witness {
    explicit witness(int& c) : count(&c) { ++*count; }
    witness(witness&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
    ~witness() {
        if (count != nullptr) {
            --*count;
        }
    }
    int* count;
};

awaitable<void> sleep_with(witness) {
    co_await sleep_until(deadline::never());
}
awaitable<void> wait_with(event& bell, witness) {
    co_await bell.wait(deadline::never());
}
awaitable<void> nest(int depth, int& alive) {
    const witness here(alive);
    if (depth > 0) {
        co_await nest(depth - 1, alive);
    } else {
        co_await sleep_until(deadline::never());
    }
}

TEST_P(loop_run, destroys_suspended_coroutines_when_it_stops) {
    int alive = 0;
    event bell(home());
    for (int i = 0; i < 10; ++i) {
        background(sleep_with(witness(alive)));
        background(wait_with(bell, witness(alive)));
        background(nest(5, alive));
    }
    run([&]() -> awaitable<void> {
        co_await test::turns(2);
        EXPECT_EQ(alive, 10 + 10 + 60);
    });
    EXPECT_EQ(alive, 0);
}

TEST_P(loop_run, destroys_what_never_ran_with_itself) {
    int alive = 0;
    background(sleep_with(witness(alive)));
    post(home(), [kept = witness(alive)] {});
    EXPECT_EQ(alive, 2);
    home_.reset();
    EXPECT_EQ(alive, 0);
}

// Destroying one coroutine resumes nothing but may post: that, too, is destroyed.
struct posts_when_destroyed {
    posts_when_destroyed(loop& l, int& c) : home(&l), alive(&c) {}
    posts_when_destroyed(posts_when_destroyed&& other) noexcept
        : home(std::exchange(other.home, nullptr)), alive(other.alive) {}
    ~posts_when_destroyed() {
        if (home != nullptr) {
            post(*home, [kept = witness(*alive)] { ADD_FAILURE() << "ran after the stop"; });
        }
    }
    loop* home;
    int* alive;
};
awaitable<void> sleep_then_post(posts_when_destroyed) {
    co_await sleep_until(deadline::never());
}

TEST_P(loop_run, destroys_what_is_posted_while_it_stops) {
    int alive = 0;
    background(sleep_then_post(posts_when_destroyed(home(), alive)));
    run([&]() -> awaitable<void> { co_await test::turns(2); });
    EXPECT_EQ(alive, 0);
}

TEST_P(loop_run, lets_an_exception_of_a_posted_function_out_and_cleans_up) {
    int alive = 0;
    background(sleep_with(witness(alive)));
    post(home(), [this] { post(home(), [] { throw std::runtime_error("thrown"); }); });
    EXPECT_THROW(home().run(), std::runtime_error);
    EXPECT_EQ(alive, 0);
}

TEST(loop_options_check, refuses_nonsense_with_a_reason) {
    for (const auto& wrong : {loop_options{.entries = 0}, loop_options{.buffer_count = 3},
                              loop_options{.buffer_count = 0}, loop_options{.buffer_bytes = 0}}) {
        const auto made = make_loop(wrong);
        ASSERT_FALSE(made);
        EXPECT_NE(made.error().internal().find("power of two"), std::string_view::npos);
    }
}

}  // namespace
}  // namespace insula::runtime
