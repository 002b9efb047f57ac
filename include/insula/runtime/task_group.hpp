#pragma once

#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace insula::observe {
class counter;
}

namespace insula::runtime {

// The owner of background coroutines of one loop: every spawn has a name, an owner that can stop
// and join it, and an exception that is logged and counted instead of lost. The loop's thread only.
// Join before destruction, or destroy after the loop has run to its end (asserted: a task must not
// outlive its owner unseen).
class task_group {
public:
    // failures: counted up for each task that ended with an exception, if given; must outlive the
    // tasks.
    task_group(loop& home, std::string name, observe::counter* failures = nullptr);
    ~task_group();
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    // Starts the coroutine on the next turn of the loop. After close() or stop() it is destroyed
    // unstarted and false is answered. `what` names it in the log (static storage). An exception
    // other than operation_aborted after stop() is logged as error and counted in failures().
    bool spawn(awaitable<void> task, const char* what);

    // No new tasks; the running ones go on. They may look at stopping().
    void close() noexcept;
    // close(), and every task's waits end with operation_aborted (terminal cancellation). A task
    // that must clean up by waiting resets its cancellation state first (FACTS 4).
    void stop() noexcept;
    bool stopping() const noexcept;

    // True when no task is left, false at the deadline or when the waiting coroutine is cancelled.
    awaitable<bool> join(deadline until);

    std::size_t size() const noexcept;
    std::uint64_t failures() const noexcept;
    const std::string& name() const noexcept;
    loop& home() const noexcept;

private:
    struct state;
    struct task;
    std::shared_ptr<state> state_;
};

}  // namespace insula::runtime
