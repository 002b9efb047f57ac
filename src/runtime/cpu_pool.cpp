#include "insula/runtime/cpu_pool.hpp"

#include <algorithm>

namespace insula::runtime {

cpu_pool::cpu_pool(std::size_t threads, std::size_t queue_max) : queue_max_(queue_max) {
    threads_.reserve(std::max<std::size_t>(threads, 1));
    for (std::size_t i = 0; i < std::max<std::size_t>(threads, 1); ++i) {
        threads_.emplace_back([this] { work(); });
    }
}

cpu_pool::~cpu_pool() {
    stop();
    join();
}

std::size_t cpu_pool::depth() const {
    const std::lock_guard lock(mutex_);
    return queue_.size();
}

void cpu_pool::stop() {
    std::deque<std::unique_ptr<job>>
        dropped;  // destroyed outside the lock: that wakes their callers
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        dropped.swap(queue_);
    }
    wake_.notify_all();
}

void cpu_pool::join() {
    for (auto& thread : threads_) {
        if (thread.joinable()) {
            thread.join();
        }
    }
}

bool cpu_pool::push(std::unique_ptr<job> work) {
    {
        const std::lock_guard lock(mutex_);
        if (stopping_ || queue_.size() >= queue_max_) {
            return false;
        }
        queue_.push_back(std::move(work));
    }
    wake_.notify_one();
    return true;
}

void cpu_pool::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) {
            return;
        }
        auto next = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        next->run();
        next.reset();
        lock.lock();
    }
}

}  // namespace insula::runtime
