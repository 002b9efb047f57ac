#pragma once
#include <cstddef>

namespace insula::pg::detail {

/// Base of what can wait in a waiter_queue.
class waiter_hook {
public:
    waiter_hook() = default;
    waiter_hook(const waiter_hook&) = delete;
    waiter_hook& operator=(const waiter_hook&) = delete;
    bool queued() const noexcept { return queued_; }

private:
    template <class W>
    friend class waiter_queue;
    waiter_hook* previous_ = nullptr;
    waiter_hook* next_ = nullptr;
    bool queued_ = false;
};

/// First come, first served; a waiter whose deadline passes leaves from the middle. Intrusive: owns
/// nothing and allocates nothing.
template <class W>
class waiter_queue {
public:
    void push(W& who) noexcept {
        waiter_hook& hook = who;
        hook.previous_ = last_;
        hook.next_ = nullptr;
        (last_ != nullptr ? last_->next_ : first_) = &hook;
        last_ = &hook;
        hook.queued_ = true;
        ++size_;
    }
    /// The one waiting longest, or nothing.
    W* pop() noexcept {
        if (first_ == nullptr) {
            return nullptr;
        }
        W* who = static_cast<W*>(first_);
        remove(*who);
        return who;
    }
    /// No effect on one that is not queued.
    void remove(W& who) noexcept {
        waiter_hook& hook = who;
        if (!hook.queued_) {
            return;
        }
        (hook.previous_ != nullptr ? hook.previous_->next_ : first_) = hook.next_;
        (hook.next_ != nullptr ? hook.next_->previous_ : last_) = hook.previous_;
        hook.queued_ = false;
        --size_;
    }
    bool empty() const noexcept { return first_ == nullptr; }
    std::size_t size() const noexcept { return size_; }

private:
    waiter_hook* first_ = nullptr;
    waiter_hook* last_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace insula::pg::detail
