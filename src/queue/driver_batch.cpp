#include "queue/driver.hpp"

#include "insula/queue/fault.hpp"

#include <utility>

namespace insula::queue::detail {

/// One outside step without undo, and nothing to do at the end: no intent is needed, because a
/// crash before the end leaves the run as it was claimed, and the call is repeated with its key.
bool driver::ends_in_batch() const {
    const step_info& only = info(0);
    return size() == 1 && only.outside && !only.has_undo && !definition_->has_finish();
}

runtime::awaitable<driver::move> driver::end_in_batch(const step_view& view) {
    completion ended;
    ended.id = run_.id;
    ended.token = run_.token;
    ended.step = view.name;
    ended.attempts = view.attempt;
    ended.result = view.result;
    ended = co_await engine_.complete(std::move(ended));
    if (ended.error) {
        co_return settle(*ended.error);
    }
    if (!ended.done) {
        // Not ours: or ours and ended by a batch whose answer was lost. The row knows.
        commit_lost_ = commit_lost_ || ended.repeated;
        co_return move::stale;
    }
    INSULA_FAULT_POINT("queue.after_commit");
    engine_.count_.steps.add();
    engine_.count_.finished.add();
    co_return move::gone;
}

}  // namespace insula::queue::detail
