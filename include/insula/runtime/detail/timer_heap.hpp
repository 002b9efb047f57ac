#pragma once

#include "insula/runtime/deadline.hpp"

#include <cstddef>
#include <vector>

namespace insula::runtime::detail {

class timer_heap;

// Something that wants to be called at a time. Must be off the heap when it is destroyed.
class timer_node {
public:
    timer_node() = default;
    timer_node(const timer_node&) = delete;
    timer_node& operator=(const timer_node&) = delete;

    // Already off the heap; may set itself again, and may destroy itself.
    virtual void expire() = 0;

    bool scheduled() const noexcept { return index_ != none; }
    steady_clock::time_point due() const noexcept { return due_; }

protected:
    ~timer_node() = default;

private:
    friend class timer_heap;
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    steady_clock::time_point due_{};
    std::size_t index_ = none;
};

// A binary heap that knows where each node is, so that a timer can be moved or taken out in O(log
// n).
class timer_heap {
public:
    // Inserts, or moves to the new time.
    void set(timer_node& node, steady_clock::time_point due);
    void remove(timer_node& node) noexcept;
    // time_point::max() when empty.
    steady_clock::time_point next() const noexcept;
    std::size_t size() const noexcept { return nodes_.size(); }
    // Calls expire() of everything due at `now`. What is set again meanwhile waits for the next
    // call.
    void expire(steady_clock::time_point now);

private:
    void place(std::size_t index, timer_node* node) noexcept;
    void up(std::size_t index) noexcept;
    void down(std::size_t index) noexcept;

    std::vector<timer_node*> nodes_;
};

}  // namespace insula::runtime::detail
