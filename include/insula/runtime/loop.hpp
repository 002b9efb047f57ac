#pragma once

#include "insula/core/error.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"

#include <boost/asio/execution_context.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace insula::runtime {

enum class backend : std::uint8_t { io_uring, epoll };
std::string_view name(backend kind);

struct backend_choice {
    backend kind;
    std::string
        why;  // one sentence for the log, e.g. "io_uring refused: Operation not permitted; ..."
};

// setting: "auto" (io_uring, or epoll where the kernel or a container refuses io_uring), "io_uring"
// (an error that says what to do where it is refused), "epoll". Probes by making and dropping a
// ring. Errors: errc::internal with a sentence in internal().
result<backend_choice> choose_backend(std::string_view setting);

struct loop_options {
    backend kind = backend::io_uring;
    // io_uring: submission queue entries; the completion queue has four times as many.
    unsigned entries = 1024;
    // io_uring: receive buffers lent to the kernel, shared by all streams of the loop; a power of
    // two.
    unsigned buffer_count = 1024;
    unsigned buffer_bytes = 4096;
    // Bytes received for a stream that nobody reads before its receiving is paused. What the kernel
    // delivers in the same turn comes on top: usually up to 32 buffers, at most all of the loop's.
    std::size_t stream_queue_bytes_max = 64 * 1024;
    // Try a non-blocking send before queueing one in the ring (io_uring only). Off, because the
    // ring's sends of one turn share one system call: 5.2 against 7.0 µs of CPU for a request
    // (bench/runtime_bench).
    bool direct_send = false;
};

namespace detail {
class reactor;
class loop_object;
class timer_heap;
class timer_node;
}  // namespace detail

// One loop = one thread = one ring (or one epoll set). It is the execution context itself:
// coroutines spawned on get_executor() run on the thread that calls run(). Everything but post(),
// stop() and the executor's execute() belongs to that thread, or to the time before run().
//
// Coroutine frames are recycled by frame_memory, posted functions and cancellation handlers by
// Asio's per-thread cache (thread_info_base): run() puts its own entry on Asio's thread call stack,
// as io_context does.
//
// Stop and destruction: stop() makes run() cancel what the kernel holds, wait until the kernel has
// let go of it, destroy (not run) whatever is queued or suspended, then return; coroutines end by
// destruction of their frames, on the loop's thread. The loop must outlive every object made on it
// that is not owned by such a frame, and CPU pools and other loops that may still post to it.
class loop : public asio::execution_context {
public:
    using executor_type = executor;

    ~loop();

    // Runs until stop(). Once only.
    void run();
    // From any thread or signal-free context; also before run(), which then returns at once.
    void stop() noexcept;

    executor get_executor() noexcept { return executor(*this); }
    static loop* current() noexcept { return detail::running_loop; }
    bool runs_here() const noexcept { return detail::running_loop == this; }
    bool stopping() const noexcept { return stop_requested_.load(std::memory_order_relaxed); }
    backend kind() const noexcept { return options_.kind; }
    const loop_options& options() const noexcept { return options_; }

    // The clock as of the start of this turn of the loop: cheap, and late by the length of the turn
    // at most.
    steady_clock::time_point now() const noexcept { return now_; }

    // For metrics; read on the loop's thread.
    struct counters {
        std::uint64_t turns = 0;              // waits for the kernel
        std::uint64_t completions = 0;        // completions or readiness events seen
        std::uint64_t wake_ups = 0;           // eventfd wake-ups by other threads
        std::uint64_t buffers_exhausted = 0;  // receives that ended with ENOBUFS
    };
    const counters& stats() const noexcept { return counters_; }

    // What follows is for this module's own types.
    void push(detail::work_item& item) noexcept;
    detail::reactor& io() noexcept { return *reactor_; }
    detail::timer_heap& timers() noexcept { return *timers_; }
    void enlist(detail::loop_object& object) noexcept;
    counters& stats() noexcept { return counters_; }

private:
    friend result<std::unique_ptr<loop>> make_loop(loop_options);
    struct work_list {
        detail::work_item* first = nullptr;
        detail::work_item* last = nullptr;
        void push(detail::work_item& item) noexcept;
        detail::work_item* pop() noexcept;
    };

    loop(loop_options options, std::unique_ptr<detail::reactor> (*make)(loop&));

    void turn();
    void run_queue();
    void take_remote() noexcept;
    void queue_in_order(detail::work_item* newest) noexcept;
    void abandon_everything() noexcept;
    bool has_remote() const noexcept { return remote_.load(std::memory_order_seq_cst) != nullptr; }

    loop_options options_;
    counters counters_;
    steady_clock::time_point now_ = steady_clock::now();
    work_list local_;
    std::unique_ptr<detail::timer_heap> timers_;
    std::unique_ptr<detail::reactor> reactor_;
    detail::loop_object* objects_ = nullptr;
    // Items of other threads, newest first; the loop takes them all at once.
    std::atomic<detail::work_item*> remote_{nullptr};
    // True while the loop is in, or about to enter, the kernel: only then is a wake-up worth a
    // system call, and the first to clear it makes that call.
    std::atomic<bool> asleep_{false};
    std::atomic<bool> stop_requested_{false};
};

// Errors: errc::internal; internal() names the call that failed and what to do.
result<std::unique_ptr<loop>> make_loop(loop_options options);

}  // namespace insula::runtime
