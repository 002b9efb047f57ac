#pragma once

#include "insula/runtime/deadline.hpp"
#include "insula/runtime/detail/wait_op.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

namespace insula::runtime {

// An auto-reset event of one loop: the bell between coroutines of the same thread. Other threads
// ring it by post(loop, [&] { event.set(); }).
class event {
public:
    explicit event(loop& home) : home_(home) {}

    // True when set (consuming it), false when the deadline passed, the coroutine was cancelled or
    // the event was destroyed. Any number of waiters, woken first come first served.
    awaitable<bool> wait(deadline until);

    // Wakes the oldest waiter, or stays set until the next wait().
    void set() noexcept {
        if (!waiters_.finish_one(true)) {
            set_ = true;
        }
    }
    // Wakes all who wait now; does not stay set.
    void set_all() noexcept { waiters_.finish_all(true); }
    void clear() noexcept { set_ = false; }
    bool is_set() const noexcept { return set_; }

private:
    struct initiation;

    loop& home_;
    detail::wait_op::list waiters_;
    bool set_ = false;
};

}  // namespace insula::runtime
