#pragma once

#include "insula/runtime/deadline.hpp"
#include "insula/runtime/detail/wait_op.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

namespace insula::runtime {

// Waits on the loop's clock. Timers live in the loop's heap; the kernel is only told the nearest
// one, with the wait itself. A wait ends at its deadline or up to one turn of the loop later.
class timer {
public:
    explicit timer(loop& home) : home_(home) {}

    // True when the deadline passed; false when cancel(), the coroutine's cancellation or the
    // timer's destruction came first. Any number of waits may overlap.
    awaitable<bool> wait(deadline until);

    // Every pending wait answers false.
    void cancel() noexcept { waiters_.finish_all(false); }

private:
    loop& home_;
    detail::wait_op::list waiters_;
};

// On the loop this coroutine runs on. Throws operation_aborted when the coroutine is cancelled.
awaitable<void> sleep_until(deadline until);
inline awaitable<void> sleep_for(std::chrono::nanoseconds span) {
    return sleep_until(deadline::after(span));
}

}  // namespace insula::runtime
