#pragma once
// Waiting for a run to move on. A hint, never the truth: read the status after each wake-up.

#include "insula/core/ids.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"

#include <cstddef>
#include <memory>

namespace insula::runtime {
class loop;
}

namespace insula::queue {

namespace detail {
struct changes_core;
struct change_waiter;
}  // namespace detail

/// Told by the engine of this process after each committed step of each run. Of what other
/// processes do nothing is heard: who waits looks now and then (engine::wait_final does, four times
/// a second). Usable from any loop.
class run_changes {
public:
    run_changes();
    ~run_changes();
    run_changes(const run_changes&) = delete;
    run_changes& operator=(const run_changes&) = delete;

    /// Interest of one coroutine in one run; ends with the object. Make it *before* reading the
    /// status, or a change in between is missed. Used on one loop, by one coroutine.
    class watch {
    public:
        watch(watch&&) noexcept;
        watch& operator=(watch&&) noexcept;
        ~watch();
        /// True when something changed since the last call (or since the watch was made), false at
        /// the deadline.
        runtime::awaitable<bool> next(runtime::deadline until);

    private:
        friend class run_changes;
        watch(std::shared_ptr<detail::changes_core> core,
              std::shared_ptr<detail::change_waiter> waiter) noexcept;
        std::shared_ptr<detail::changes_core> core_;
        std::shared_ptr<detail::change_waiter> waiter_;
    };

    [[nodiscard]] watch subscribe(runtime::loop& here, run_id id);
    void publish(run_id id);
    [[nodiscard]] std::size_t watched() const;

private:
    std::shared_ptr<detail::changes_core> core_;
};

}  // namespace insula::queue
