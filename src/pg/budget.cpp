#include "pg/detail/budget.hpp"

#include "insula/pg/pool.hpp"

#include <algorithm>

namespace insula::pg {
namespace detail {

void budget_core::join(budget_member& member) {
    const std::lock_guard lock(mutex_);
    members_.push_back(&member);
}

void budget_core::leave(budget_member& member) {
    const std::lock_guard lock(mutex_);
    std::erase(members_, &member);
    std::erase(queue_, &member);
    tell_next();
}

void budget_core::withdraw(budget_member& member) {
    const std::lock_guard lock(mutex_);
    if (std::erase(queue_, &member) != 0) {
        tell_next();
    }
}

void budget_core::tell_next() noexcept {
    update();
    if (!queue_.empty() && open_ < limit_) {
        queue_.front()->budget_freed();
    }
}

bool budget_core::try_take(budget_member& member) {
    const std::lock_guard lock(mutex_);
    const auto mine = std::find(queue_.begin(), queue_.end(), &member);
    // Those ahead in the queue have been told about what is free.
    const auto ahead = static_cast<unsigned>(mine - queue_.begin());
    if (open_ + ahead < limit_) {
        ++open_;
        if (mine != queue_.end()) {
            queue_.erase(mine);
            tell_next();
        }
        return true;
    }
    if (mine == queue_.end()) {
        queue_.push_back(&member);
        update();
    }
    // This one too: it may keep idle connections of the other kind.
    for (budget_member* each : members_) {
        each->budget_wanted();
    }
    return false;
}

void budget_core::give_back() {
    const std::lock_guard lock(mutex_);
    --open_;
    tell_next();
}

budget_ticket::budget_ticket(budget_core& budget, std::shared_ptr<pool_counters> counters) noexcept
    : budget_(&budget), counters_(std::move(counters)) {
    pool_counters::add(counters_->open);
}

void budget_ticket::reset() noexcept {
    if (budget_ != nullptr) {
        counters_->open.fetch_sub(1, std::memory_order_relaxed);
        std::exchange(budget_, nullptr)->give_back();
    }
}

unsigned budget_core::open() const {
    const std::lock_guard lock(mutex_);
    return open_;
}

}  // namespace detail

connection_budget::connection_budget(unsigned connections_max)
    : core_(std::make_unique<detail::budget_core>(connections_max)) {}

connection_budget::~connection_budget() = default;

unsigned connection_budget::limit() const noexcept {
    return core_->limit();
}

unsigned connection_budget::open() const noexcept {
    return core_->open();
}

}  // namespace insula::pg
