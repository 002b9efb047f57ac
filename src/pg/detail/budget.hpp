#pragma once
#include "pg/detail/counters.hpp"

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace insula::pg::detail {

/// A pool as the budget sees it. Called on any thread with the budget's mutex held: post, and
/// return.
class budget_member {
public:
    /// A connection may be opened now: try_take() will succeed if nobody is quicker.
    virtual void budget_freed() noexcept = 0;
    /// Another pool is waiting: close what is idle.
    virtual void budget_wanted() noexcept = 0;

protected:
    ~budget_member() = default;
};

/// Counts the connections of all pools. Thread-safe.
class budget_core {
public:
    explicit budget_core(unsigned limit) noexcept : limit_(limit) {}

    void join(budget_member& member);
    void leave(budget_member& member);

    /// One connection for this member. When there is none left, or others have been waiting longer,
    /// it is put in the queue (once) and told by budget_freed().
    bool try_take(budget_member& member);
    void give_back();
    /// The member needs none any more: the next in the queue is told.
    void withdraw(budget_member& member);
    /// Somebody waits: a connection that becomes idle should be closed.
    bool wanted() const noexcept { return wanted_.load(std::memory_order_relaxed); }

    /// A peer did not answer in time. Whatever was idle then may be cut off as well: as when a
    /// firewall forgets its connections, or a server is replaced by another.
    void fell_silent() noexcept {
        silent_at_.store(std::chrono::steady_clock::now(), std::memory_order_relaxed);
    }
    /// Nothing was heard on it since somebody fell silent.
    bool doubtful(std::chrono::steady_clock::time_point last_heard) const noexcept {
        return last_heard < silent_at_.load(std::memory_order_relaxed);
    }

    unsigned limit() const noexcept { return limit_; }
    unsigned open() const;

private:
    void tell_next() noexcept;
    void update() noexcept { wanted_.store(!queue_.empty(), std::memory_order_relaxed); }

    const unsigned limit_;
    mutable std::mutex mutex_;
    unsigned open_ = 0;  // under mutex_, as all below
    std::deque<budget_member*> queue_;
    std::vector<budget_member*> members_;
    std::atomic<bool> wanted_{false};
    std::atomic<std::chrono::steady_clock::time_point> silent_at_{
        std::chrono::steady_clock::time_point::min()};
};

/// One connection's share of the budget; gone when the socket is closed.
class budget_ticket {
public:
    budget_ticket() noexcept = default;
    /// Of a successful try_take(). `counters` show it as open.
    budget_ticket(budget_core& budget, std::shared_ptr<pool_counters> counters) noexcept;
    budget_ticket(budget_ticket&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), counters_(std::move(other.counters_)) {}
    budget_ticket& operator=(budget_ticket&& other) noexcept {
        std::swap(budget_, other.budget_);
        std::swap(counters_, other.counters_);
        return *this;
    }
    ~budget_ticket() { reset(); }
    void reset() noexcept;

private:
    budget_core* budget_ = nullptr;
    std::shared_ptr<pool_counters> counters_;
};

}  // namespace insula::pg::detail
