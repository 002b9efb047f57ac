#include "insula/runtime/loop.hpp"

#include "runtime/reactor.hpp"
#include "runtime/scheduling.hpp"

#include "insula/runtime/detail/loop_object.hpp"
#include "insula/runtime/detail/timer_heap.hpp"

#include <boost/asio/detail/thread_context.hpp>
#include <boost/asio/detail/thread_info_base.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <cassert>
#include <exception>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define INSULA_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INSULA_UNDER_ASAN 1
#endif
#endif

namespace insula::runtime {

namespace {

// Handlers run between two looks at the kernel: enough to make posting cheap, few enough to keep
// I/O going.
constexpr int queue_batch = 512;

// Linux's shortest: who asks for little at a time is let in before who asks for more, so a backend
// of PostgreSQL that we have just woken does not keep the loop waiting for its own 1.4 ms. The
// share of the processor stays the same. Threads and processes made here do not get it.
constexpr std::uint64_t slice_ns = 100'000;
constexpr std::uint64_t reset_on_fork = 1;  // SCHED_FLAG_RESET_ON_FORK

void ask_for_short_slices() noexcept {
    if ((::sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) == SCHED_OTHER) {  // else somebody chose
        (void)detail::schedule_this_thread(
            {.flags = reset_on_fork, .nice = ::getpriority(PRIO_PROCESS, 0), .slice_ns = slice_ns});
    }
}

// Puts this thread on Asio's thread call stack, which is what makes its allocators (posted
// functions, cancellation handlers) recycle memory instead of calling malloc; and the same for
// coroutine frames.
class recycling_thread : asio::detail::thread_context {
public:
    recycling_thread() : entry_(this, cache_) {
#ifndef INSULA_UNDER_ASAN
        detail::frames_here = &frames_;
#endif
    }
    ~recycling_thread() { detail::frames_here = nullptr; }
    recycling_thread(const recycling_thread&) = delete;
    recycling_thread& operator=(const recycling_thread&) = delete;

private:
    detail::frame_memory frames_;
    asio::detail::thread_info_base cache_;
    thread_call_stack::context entry_;
};

// Takes the place of the list of other threads' items when the loop has ended.
class end_mark final : public detail::work_item {
    void run() override {}
    void drop() noexcept override {}
};
constinit end_mark closed;

class running_here {
public:
    explicit running_here(loop& self) : before_(std::exchange(detail::running_loop, &self)) {}
    ~running_here() { detail::running_loop = before_; }
    running_here(const running_here&) = delete;
    running_here& operator=(const running_here&) = delete;

private:
    loop* before_;
};

}  // namespace

namespace detail {

void push_work(loop& target, work_item& item) noexcept {
    target.push(item);
}
asio::execution_context& context_of(loop& owner) noexcept {
    return owner;
}

}  // namespace detail

void loop::work_list::push(detail::work_item& item) noexcept {
    item.next_work = nullptr;
    (last != nullptr ? last->next_work : first) = &item;
    last = &item;
}

detail::work_item* loop::work_list::pop() noexcept {
    auto* item = first;
    if (item != nullptr) {
        first = item->next_work;
        if (first == nullptr) {
            last = nullptr;
        }
    }
    return item;
}

loop::loop(loop_options options, std::unique_ptr<detail::reactor> (*make)(loop&))
    : options_(options), timers_(std::make_unique<detail::timer_heap>()), reactor_(make(*this)) {}

loop::~loop() {
    {
        const running_here here(*this);
        abandon_everything();
    }
    shutdown();
    destroy();
}

void loop::run() {
    assert(detail::running_loop == nullptr && "a loop runs alone on its thread");
    const running_here here(*this);
    const recycling_thread recycling;
    ask_for_short_slices();
    std::exception_ptr thrown;
    try {
        reactor_->start();
        while (!stopping()) {
            turn();
        }
    } catch (...) {
        thrown = std::current_exception();
    }
    stop_requested_.store(true, std::memory_order_relaxed);
    reactor_->drain();
    abandon_everything();
    if (thrown) {
        std::rethrow_exception(thrown);
    }
}

void loop::turn() {
    run_queue();
    auto timeout = std::chrono::nanoseconds::zero();
    if (local_.first == nullptr) {
        const auto next = timers_->next();
        timeout = next == steady_clock::time_point::max()
                      ? detail::reactor::forever
                      : std::max(timeout, std::chrono::nanoseconds(next - steady_clock::now()));
        // After this store a posting thread makes a wake-up; what was posted before it is seen
        // here.
        asleep_.store(true, std::memory_order_seq_cst);
        if (has_remote() || stop_requested_.load(std::memory_order_seq_cst)) {
            timeout = std::chrono::nanoseconds::zero();
        }
    }
    ++counters_.turns;
    reactor_->enter(timeout);
    asleep_.store(false, std::memory_order_relaxed);
    now_ = steady_clock::now();
    reactor_->dispatch();
    timers_->expire(now_);
}

void loop::run_queue() {
    take_remote();
    for (int i = 0; i < queue_batch && !stopping(); ++i) {
        auto* item = local_.pop();
        if (item == nullptr) {
            return;
        }
        item->run();
    }
}

void loop::take_remote() noexcept {
    if (auto* head = remote_.load(std::memory_order_relaxed); head == nullptr || head == &closed) {
        return;
    }
    queue_in_order(remote_.exchange(nullptr, std::memory_order_acquire));
}

void loop::queue_in_order(detail::work_item* newest) noexcept {
    detail::work_item* in_order = nullptr;
    while (newest != nullptr) {
        auto* older = std::exchange(newest->next_work, in_order);
        in_order = std::exchange(newest, older);
    }
    while (in_order != nullptr) {
        auto* next = in_order->next_work;
        local_.push(*in_order);
        in_order = next;
    }
}

void loop::push(detail::work_item& item) noexcept {
    if (runs_here()) {
        local_.push(item);
        return;
    }
    auto* head = remote_.load(std::memory_order_acquire);
    do {
        if (head == &closed) {
            item.drop();  // nobody will ever run it, and somebody may wait for it to go
            return;
        }
        item.next_work = head;
    } while (!remote_.compare_exchange_weak(head, &item, std::memory_order_seq_cst,
                                            std::memory_order_acquire));
    if (asleep_.exchange(false, std::memory_order_seq_cst)) {
        reactor_->wake();
    }
}

void loop::stop() noexcept {
    stop_requested_.store(true, std::memory_order_seq_cst);
    if (asleep_.exchange(false, std::memory_order_seq_cst)) {
        reactor_->wake();
    }
}

void loop::enlist(detail::loop_object& object) noexcept {
    object.next_ = objects_;
    object.slot_ = &objects_;
    if (objects_ != nullptr) {
        objects_->slot_ = &object.next_;
    }
    objects_ = &object;
}

// Destroying one coroutine may queue work and make objects of others: until nothing is left, and
// nothing more can be posted.
void loop::abandon_everything() noexcept {
    for (;;) {
        take_remote();
        if (auto* item = local_.pop()) {
            item->drop();
        } else if (auto* object = objects_) {
            object->delist();
            object->abandon();
        } else if (auto* late = remote_.exchange(&closed, std::memory_order_acq_rel);
                   late != nullptr && late != &closed) {
            queue_in_order(late);
        } else {
            return;
        }
    }
}

}  // namespace insula::runtime
