#include "insula/runtime/cpu_pool.hpp"

#include "runtime/scheduling.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace insula::runtime {
namespace {

// A tenth of the weight of an ordinary thread, and (Linux 6.12, others ignore it) long slices: a
// loop that wakes up with a short one takes the processor at once. Never nothing, as SCHED_IDLE
// would be: on a machine that is busy otherwise, people still log in.
constexpr int nicer_by = 10;
constexpr int nicest = 19;
constexpr std::uint64_t low_priority_slice_ns = 20'000'000;

void lower_priority() noexcept {
    detail::scheduling wanted;
    wanted.policy = SCHED_BATCH;
    wanted.nice = std::min(nicest, ::getpriority(PRIO_PROCESS, 0) + nicer_by);
    wanted.slice_ns = low_priority_slice_ns;
    if (!detail::schedule_this_thread(wanted)) {
        // Of this thread alone: on Linux a nice value is a thread's.
        (void)::setpriority(PRIO_PROCESS, 0, wanted.nice);
    }
}

}  // namespace

cpu_pool::cpu_pool(cpu_pool_options options) : options_(std::move(options)) {
    const auto count = std::max<std::size_t>(options_.threads, 1);
    threads_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        threads_.emplace_back([this] { work(); });
    }
}

cpu_pool::cpu_pool(std::size_t threads, std::size_t queue_max)
    : cpu_pool(cpu_pool_options{.threads = threads, .queue_max = queue_max}) {}

cpu_pool::~cpu_pool() {
    stop();
    join();
}

std::size_t cpu_pool::depth() const {
    const std::lock_guard lock(mutex_);
    return queue_.size();
}

std::uint64_t cpu_pool::refused() const {
    const std::lock_guard lock(mutex_);
    return refused_;
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

/// From how many are before it and what they usually take: half of the time may be foreseen, so
/// that few who were let in are refused in the end. The oldest has waited already: when nothing
/// moves, what was usual does not count.
bool cpu_pool::would_wait_too_long() const {
    if (options_.wait_max.count() == 0 || queue_.empty()) {
        return false;
    }
    const auto expected =
        usual_ * static_cast<std::int64_t>(queue_.size()) / static_cast<std::int64_t>(threads());
    return expected > options_.wait_max || clock::now() - queue_.front()->since > options_.wait_max;
}

bool cpu_pool::would_refuse() const {
    return stopping_ || queue_.size() >= options_.queue_max || would_wait_too_long();
}

bool cpu_pool::refuses() {
    const std::lock_guard lock(mutex_);
    const bool full = would_refuse();
    refused_ += full ? 1 : 0;
    return full;
}

bool cpu_pool::push(std::unique_ptr<job> work) {
    {
        const std::lock_guard lock(mutex_);
        if (would_refuse()) {
            ++refused_;
            return false;
        }
        work->since = clock::now();
        queue_.push_back(std::move(work));
    }
    wake_.notify_one();
    return true;
}

void cpu_pool::work() {
    if (options_.low_priority) {
        lower_priority();
    }
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (queue_.empty()) {
            return;
        }
        auto next = std::move(queue_.front());
        queue_.pop_front();
        const auto began = clock::now();
        const auto waited = began - next->since;
        const bool late = options_.wait_max.count() != 0 && waited > options_.wait_max;
        refused_ += late ? 1 : 0;
        lock.unlock();
        if (late) {
            next->refuse();
        } else {
            if (options_.waited) {
                options_.waited(waited);
            }
            next->run();
        }
        next.reset();
        lock.lock();
        if (!late) {
            // A moving average over the last dozen or so.
            usual_ += (std::chrono::nanoseconds(clock::now() - began) - usual_) / 8;
        }
    }
}

}  // namespace insula::runtime
