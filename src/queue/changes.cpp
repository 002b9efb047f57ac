#include "insula/queue/changes.hpp"

#include "insula/runtime/event.hpp"
#include "insula/runtime/post.hpp"

#include <mutex>
#include <unordered_map>
#include <utility>

namespace insula::queue {

namespace detail {

struct change_waiter {
    explicit change_waiter(runtime::loop& loop, run_id wanted)
        : home(loop), id(wanted), bell(loop) {}
    runtime::loop& home;
    run_id id;
    runtime::event bell;  // home's thread only
};

struct changes_core {
    mutable std::mutex mutex;
    std::unordered_multimap<run_id, std::shared_ptr<change_waiter>> waiters;  // under mutex
};

}  // namespace detail

run_changes::run_changes() : core_(std::make_shared<detail::changes_core>()) {}
run_changes::~run_changes() = default;

run_changes::watch::watch(std::shared_ptr<detail::changes_core> core,
                          std::shared_ptr<detail::change_waiter> waiter) noexcept
    : core_(std::move(core)), waiter_(std::move(waiter)) {}
run_changes::watch::watch(watch&&) noexcept = default;
run_changes::watch& run_changes::watch::operator=(watch&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(waiter_, other.waiter_);
    return *this;
}

run_changes::watch::~watch() {
    if (!waiter_) {
        return;
    }
    const std::lock_guard lock(core_->mutex);
    auto [at, end] = core_->waiters.equal_range(waiter_->id);
    for (; at != end; ++at) {
        if (at->second == waiter_) {
            core_->waiters.erase(at);
            return;
        }
    }
}

runtime::awaitable<bool> run_changes::watch::next(runtime::deadline until) {
    const auto keep = waiter_;
    co_return co_await keep->bell.wait(until);
}

run_changes::watch run_changes::subscribe(runtime::loop& here, run_id id) {
    auto waiter = std::make_shared<detail::change_waiter>(here, id);
    const std::lock_guard lock(core_->mutex);
    core_->waiters.emplace(id, waiter);
    return {core_, std::move(waiter)};
}

void run_changes::publish(run_id id) {
    const std::lock_guard lock(core_->mutex);
    auto [at, end] = core_->waiters.equal_range(id);
    for (; at != end; ++at) {
        runtime::post(at->second->home, [waiter = at->second] { waiter->bell.set(); });
    }
}

std::size_t run_changes::watched() const {
    const std::lock_guard lock(core_->mutex);
    return core_->waiters.size();
}

}  // namespace insula::queue
