#pragma once

#include "insula/core/error.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/post.hpp"

#include <boost/asio/async_result.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace insula::runtime {

struct cpu_pool_options {
    std::size_t threads = 1;
    std::size_t queue_max = 64;
    // Nobody waits longer for a thread: who would is refused when it asks, as far as that can be
    // foreseen, or else when its time is up and a thread would take it. 0: as long as it takes.
    std::chrono::milliseconds wait_max{0};
    // The event loops, and whoever else has work that is short, go first on the processor.
    bool low_priority = false;
    // Called on a thread of the pool with the time that a function waited before it ran.
    std::function<void(std::chrono::nanoseconds)> waited{};
};

// Threads for what would hold up an event loop: password hashing, name look-up, signing. The queue
// is bounded in length, and in time when asked for, so a flood is refused at once instead of
// growing. Join before the loops whose coroutines wait on it are destroyed.
class cpu_pool {
public:
    explicit cpu_pool(cpu_pool_options options);
    cpu_pool(std::size_t threads, std::size_t queue_max);
    ~cpu_pool();  // stop() and join()
    cpu_pool(const cpu_pool&) = delete;
    cpu_pool& operator=(const cpu_pool&) = delete;

    // Runs `function()` on a thread of the pool and resumes on the caller's loop with its value
    // (result<void> for none), or with its exception. errc::overloaded when the queue is full, the
    // wait too long or the pool has stopped. The function and what it refers to must not be touched
    // meanwhile. Not cancellable once queued: it waits for the function, which must be bounded in
    // time.
    template <class F>
    auto run(F function) -> awaitable<result<std::invoke_result_t<F&>>> {
        using value = std::invoke_result_t<F&>;
        auto shot = make_one_shot<outcome_of<value>>();
        if (!push(
                std::make_unique<job_of<value, F>>(std::move(function), std::move(shot.promise)))) {
            // In place: for a function that answers a result itself, an error would fit both sides.
            co_return result<value>(boost::system::in_place_error, errc::overloaded);
        }
        auto done = co_await shot.future.get_uncancelled();
        if (!done) {
            co_return result<value>(boost::system::in_place_error, errc::overloaded);
        }
        if constexpr (std::is_void_v<value>) {
            co_return result<void>();
        } else {
            co_return result<value>(boost::system::in_place_value, std::move(*done));
        }
    }

    // True: run() would refuse now, and that is counted as a refusal. For who has much to prepare
    // before it.
    bool refuses();
    // Functions waiting for a thread.
    std::size_t depth() const;
    // Functions that were not run, since the start: the queue was full, or the wait too long.
    std::uint64_t refused() const;
    std::size_t threads() const noexcept { return threads_.size(); }
    // Refuses new work; what is queued is dropped (its callers get operation_aborted), what runs is
    // finished.
    void stop();
    void join();

private:
    using clock = std::chrono::steady_clock;
    // Empty: not run, its turn came too late.
    template <class R>
    using outcome_of = std::optional<std::conditional_t<std::is_void_v<R>, std::monostate, R>>;

    struct job {
        virtual ~job() = default;
        virtual void run() noexcept = 0;
        virtual void refuse() noexcept = 0;
        clock::time_point since{};
    };
    template <class R, class F>
    struct job_of final : job {
        job_of(F f, one_shot_promise<outcome_of<R>> p)
            : function(std::move(f)), promise(std::move(p)) {}
        void run() noexcept override {
            try {
                if constexpr (std::is_void_v<R>) {
                    function();
                    promise.set(outcome_of<R>(std::in_place));
                } else {
                    promise.set(outcome_of<R>(std::in_place, function()));
                }
            } catch (...) {
                promise.fail(std::current_exception());
            }
        }
        void refuse() noexcept override { promise.set(outcome_of<R>()); }
        F function;
        one_shot_promise<outcome_of<R>> promise;
    };

    bool push(std::unique_ptr<job> work);
    bool would_refuse() const;
    bool would_wait_too_long() const;
    void work();

    const cpu_pool_options options_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::unique_ptr<job>> queue_;  // under mutex_
    std::chrono::nanoseconds usual_{0};       // what a function takes, averaged; under mutex_
    std::uint64_t refused_ = 0;               // under mutex_
    bool stopping_ = false;                   // under mutex_
    std::vector<std::thread> threads_;
};

}  // namespace insula::runtime
