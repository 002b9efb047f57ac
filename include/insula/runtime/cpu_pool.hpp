#pragma once

#include "insula/core/error.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/post.hpp"

#include <boost/asio/async_result.hpp>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace insula::runtime {

// Threads for what would hold up an event loop: password hashing, name look-up, signing. The queue
// is bounded, so a flood is refused at once instead of growing. Join before the loops whose
// coroutines wait on it are destroyed.
class cpu_pool {
public:
    cpu_pool(std::size_t threads, std::size_t queue_max);
    ~cpu_pool();  // stop() and join()
    cpu_pool(const cpu_pool&) = delete;
    cpu_pool& operator=(const cpu_pool&) = delete;

    // Runs `function()` on a thread of the pool and resumes on the caller's loop with its value
    // (result<void> for none), or with its exception. errc::overloaded when the queue is full or
    // the pool has stopped. The function and what it refers to must not be touched meanwhile. Not
    // cancellable once queued: it waits for the function, which must be bounded in time.
    template <class F>
    auto run(F function) -> awaitable<result<std::invoke_result_t<F&>>> {
        using value = std::invoke_result_t<F&>;
        auto shot = make_one_shot<value>();
        if (!push(
                std::make_unique<job_of<value, F>>(std::move(function), std::move(shot.promise)))) {
            // In place: for a function that answers a result itself, an error would fit both sides.
            co_return result<value>(boost::system::in_place_error, errc::overloaded);
        }
        if constexpr (std::is_void_v<value>) {
            co_await shot.future.get_uncancelled();
            co_return result<void>();
        } else {
            co_return co_await shot.future.get_uncancelled();
        }
    }

    // Functions waiting for a thread.
    std::size_t depth() const;
    // Refuses new work; what is queued is dropped (its callers get operation_aborted), what runs is
    // finished.
    void stop();
    void join();

private:
    struct job {
        virtual ~job() = default;
        virtual void run() noexcept = 0;
    };
    template <class R, class F>
    struct job_of final : job {
        job_of(F f, one_shot_promise<R> p) : function(std::move(f)), promise(std::move(p)) {}
        void run() noexcept override {
            try {
                if constexpr (std::is_void_v<R>) {
                    function();
                    promise.set();
                } else {
                    promise.set(function());
                }
            } catch (...) {
                promise.fail(std::current_exception());
            }
        }
        F function;
        one_shot_promise<R> promise;
    };

    bool push(std::unique_ptr<job> work);
    void work();

    const std::size_t queue_max_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::unique_ptr<job>> queue_;  // under mutex_
    bool stopping_ = false;                   // under mutex_
    std::vector<std::thread> threads_;
};

}  // namespace insula::runtime
