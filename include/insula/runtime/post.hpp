#pragma once

#include "insula/runtime/deadline.hpp"
#include "insula/runtime/detail/wait_op.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace insula::runtime {

// Runs the function on the loop, later, in the order of posting; from any thread. Never blocks. A
// system call is made only when the loop sleeps. When the loop stops the function is destroyed
// without being called: on the loop's thread, or, posted after the loop's end, at once by the
// caller.
template <class F>
void post(loop& target, F&& function) {
    executor(target, true).execute(std::forward<F>(function));
}

namespace detail {

template <class T>
struct one_shot_state {
    using value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

    struct nothing {};
    std::mutex mutex;
    std::variant<nothing, value, std::exception_ptr> outcome;  // under mutex
    loop* waiting_loop = nullptr;                              // under mutex
    wait_op::list waiters;                                     // waiting_loop's thread only

    bool ready() {
        std::lock_guard lock(mutex);
        return outcome.index() != 0;
    }
    // First outcome wins.
    template <class Outcome>
    static void finish(const std::shared_ptr<one_shot_state>& self, Outcome&& outcome) {
        loop* wake = nullptr;
        {
            std::lock_guard lock(self->mutex);
            if (self->outcome.index() != 0) {
                return;
            }
            self->outcome = std::forward<Outcome>(outcome);
            wake = std::exchange(self->waiting_loop, nullptr);
            if (wake != nullptr) {
                // Under the mutex: the waiter's own side cannot be gone before this is queued.
                post(*wake, [self] { self->waiters.finish_all(true); });
            }
        }
    }
};

}  // namespace detail

// The giving end of a one_shot; any thread. Destroyed without a value, the future throws
// operation_aborted.
template <class T>
class one_shot_promise {
    using state = detail::one_shot_state<T>;

public:
    explicit one_shot_promise(std::shared_ptr<state> shared) : state_(std::move(shared)) {}
    one_shot_promise(one_shot_promise&&) noexcept = default;
    one_shot_promise& operator=(one_shot_promise&& other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~one_shot_promise() {
        if (state_) {
            fail(std::make_exception_ptr(
                boost::system::system_error(asio::error::operation_aborted, "promise dropped")));
        }
    }

    template <class... Value>
    void set(Value&&... value) {
        state::finish(state_, typename state::value{std::forward<Value>(value)...});
        state_.reset();
    }
    void fail(std::exception_ptr reason) {
        state::finish(state_, std::move(reason));
        state_.reset();
    }

private:
    std::shared_ptr<state> state_;
};

// The waiting end; one wait at a time, the value can be taken once.
template <class T>
class one_shot_future {
    using state = detail::one_shot_state<T>;

public:
    explicit one_shot_future(std::shared_ptr<state> shared) : state_(std::move(shared)) {}
    one_shot_future(one_shot_future&&) noexcept = default;
    one_shot_future& operator=(one_shot_future&&) noexcept = default;

    bool ready() const { return state_->ready(); }

    // Resumes on the awaiting coroutine's own loop. Throws what the other side threw, and
    // operation_aborted when the coroutine was cancelled or the promise was dropped.
    awaitable<T> get() {
        if (!co_await settled({.until = deadline::never()})) {
            throw boost::system::system_error(asio::error::operation_aborted);
        }
        co_return take();
    }
    // The same, but cancellation is not heard: for work that must be seen to its end.
    awaitable<T> get_uncancelled() {
        co_await settled({.until = deadline::never(), .cancellable = false});
        co_return take();
    }
    // False when the deadline passed or the coroutine was cancelled; get() may follow.
    awaitable<bool> wait(deadline until) { co_return co_await settled({.until = until}); }

private:
    struct no_longer_waiting {
        state* of;
        ~no_longer_waiting() {
            std::lock_guard lock(of->mutex);
            of->waiting_loop = nullptr;
        }
    };

    awaitable<bool> settled(detail::wait_op::request what) {
        auto keep = state_;  // the future may be destroyed with its frame while this is pending
        {
            std::lock_guard lock(keep->mutex);
            if (keep->outcome.index() != 0) {
                co_return true;
            }
            keep->waiting_loop = loop::current();
        }
        // Also when the loop stops and destroys this frame: nobody may post to a loop that is gone.
        no_longer_waiting guard{keep.get()};
        co_await asio::async_initiate<const asio::use_awaitable_t<executor>&, void(bool)>(
            detail::start_wait{}, use_awaitable, loop::current(), &keep->waiters, what);
        co_return keep->ready();
    }
    T take() {
        std::lock_guard lock(state_->mutex);
        if (auto* thrown = std::get_if<std::exception_ptr>(&state_->outcome)) {
            std::rethrow_exception(*thrown);
        }
        if constexpr (!std::is_void_v<T>) {
            return std::get<1>(std::move(state_->outcome));
        }
    }

    std::shared_ptr<state> state_;
};

// A completion that may be fulfilled on any thread and resumes the awaiting coroutine on its own
// loop: `auto [promise, future] = make_one_shot<int>();`
template <class T>
struct one_shot {
    one_shot_promise<T> promise;
    one_shot_future<T> future;
};
template <class T>
one_shot<T> make_one_shot() {
    auto state = std::make_shared<detail::one_shot_state<T>>();
    return {one_shot_promise<T>(state), one_shot_future<T>(state)};
}

namespace detail {

template <class R, class F>
awaitable<void> run_and_keep(F function, one_shot_promise<R> promise) {
    std::exception_ptr thrown;
    try {
        if constexpr (std::is_void_v<R>) {
            co_await function();
            promise.set();
        } else {
            promise.set(co_await function());
        }
    } catch (...) {
        thrown = std::current_exception();
    }
    if (thrown) {
        promise.fail(std::move(thrown));
    }
}

}  // namespace detail

// Runs `function()` (a callable that returns an awaitable<R>) on another loop and resumes here with
// its value or its exception. The function object and everything it refers to are used on the other
// loop and live until it is done. Cancellation is not carried over (in Boost 1.81 that races, FACTS
// 4): this waits for the other side's end, which must have a deadline of its own. Throws
// operation_aborted when the other loop has stopped.
template <class F>
auto run_on(loop& target, F function) -> awaitable<typename std::invoke_result_t<F&>::value_type> {
    using value = typename std::invoke_result_t<F&>::value_type;
    if (target.runs_here()) {
        co_return co_await function();
    }
    auto shot = make_one_shot<value>();
    asio::co_spawn(target.get_executor(),
                   detail::run_and_keep<value, F>(std::move(function), std::move(shot.promise)),
                   [](std::exception_ptr) {});
    co_return co_await shot.future.get_uncancelled();
}

}  // namespace insula::runtime
