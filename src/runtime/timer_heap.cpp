#include "insula/runtime/detail/timer_heap.hpp"

#include <cassert>

namespace insula::runtime::detail {

void timer_heap::set(timer_node& node, steady_clock::time_point due) {
    node.due_ = due;
    if (!node.scheduled()) {
        nodes_.push_back(&node);
        node.index_ = nodes_.size() - 1;
    }
    up(node.index_);
    down(node.index_);
}

void timer_heap::remove(timer_node& node) noexcept {
    if (!node.scheduled()) {
        return;
    }
    const auto hole = node.index_;
    assert(hole < nodes_.size() && nodes_[hole] == &node);
    node.index_ = timer_node::none;
    auto* last = nodes_.back();
    nodes_.pop_back();
    if (last != &node) {
        place(hole, last);
        up(hole);
        down(last->index_);
    }
}

steady_clock::time_point timer_heap::next() const noexcept {
    return nodes_.empty() ? steady_clock::time_point::max() : nodes_.front()->due_;
}

void timer_heap::expire(steady_clock::time_point now) {
    // A timer that sets itself again to a time already past must not keep the loop here: as many as
    // are due now.
    for (auto rounds = nodes_.size(); rounds > 0 && next() <= now; --rounds) {
        auto& node = *nodes_.front();
        remove(node);
        node.expire();
    }
}

void timer_heap::place(std::size_t index, timer_node* node) noexcept {
    nodes_[index] = node;
    node->index_ = index;
}

void timer_heap::up(std::size_t index) noexcept {
    auto* node = nodes_[index];
    while (index > 0) {
        const auto parent = (index - 1) / 2;
        if (nodes_[parent]->due_ <= node->due_) {
            break;
        }
        place(index, nodes_[parent]);
        index = parent;
    }
    place(index, node);
}

void timer_heap::down(std::size_t index) noexcept {
    auto* node = nodes_[index];
    for (;;) {
        auto child = 2 * index + 1;
        if (child >= nodes_.size()) {
            break;
        }
        if (child + 1 < nodes_.size() && nodes_[child + 1]->due_ < nodes_[child]->due_) {
            ++child;
        }
        if (node->due_ <= nodes_[child]->due_) {
            break;
        }
        place(index, nodes_[child]);
        index = child;
    }
    place(index, node);
}

}  // namespace insula::runtime::detail
