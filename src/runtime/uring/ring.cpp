#include "runtime/uring/ring.hpp"

#include "runtime/uring/setup.hpp"

#include "insula/observe/log.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace insula::runtime::detail {

namespace {

[[noreturn]] void fail(int reason, const char* what) {
    throw std::system_error(reason, std::generic_category(), what);
}

}  // namespace

ring::ring(loop& home) : home_(home) {
    event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_ < 0) {
        fail(errno, "eventfd");
    }
    const auto made = set_up_ring(ring_, home.options().entries, true);
    if (made.error != 0) {
        ::close(event_);
        fail(made.error, "io_uring_setup");
    }
    deferred_ = (made.flags & IORING_SETUP_DEFER_TASKRUN) != 0;
    try {
        lend_buffers();
    } catch (...) {
        end_ring(ring_);
        ::close(event_);
        throw;
    }
    seen_.reserve(home.options().entries);
}

ring::~ring() {
    end_ring(ring_);
    if (lent_ != nullptr) {
        ::munmap(lent_, lent_bytes_);
    }
    ::close(event_);
}

void ring::lend_buffers() {
    const auto& options = home_.options();
    buffers_ = std::make_unique_for_overwrite<char[]>(std::size_t{options.buffer_count} *
                                                      options.buffer_bytes);
    lent_bytes_ = options.buffer_count * sizeof(io_uring_buf);
    void* memory =
        ::mmap(nullptr, lent_bytes_, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (memory == MAP_FAILED) {
        fail(errno, "mmap of the buffer ring");
    }
    lent_ = static_cast<io_uring_buf_ring*>(memory);
    if (const int outcome = register_buffers(ring_, lent_, options.buffer_count, buffer_group);
        outcome < 0) {
        ::munmap(lent_, lent_bytes_);
        fail(-outcome, "io_uring_register_buf_ring");
    }
    const int mask = io_uring_buf_ring_mask(options.buffer_count);
    for (unsigned i = 0; i < options.buffer_count; ++i) {
        io_uring_buf_ring_add(lent_, buffers_.get() + std::size_t{i} * options.buffer_bytes,
                              options.buffer_bytes, static_cast<unsigned short>(i), mask,
                              static_cast<int>(i));
    }
    io_uring_buf_ring_advance(lent_, static_cast<int>(options.buffer_count));
}

const char* ring::buffer(unsigned flags) const noexcept {
    assert((flags & IORING_CQE_F_BUFFER) != 0);
    return buffers_.get() +
           std::size_t{flags >> IORING_CQE_BUFFER_SHIFT} * home_.options().buffer_bytes;
}

void ring::give_back(unsigned flags) noexcept {
    const auto& options = home_.options();
    const auto id = static_cast<unsigned short>(flags >> IORING_CQE_BUFFER_SHIFT);
    io_uring_buf_ring_add(lent_, buffers_.get() + std::size_t{id} * options.buffer_bytes,
                          options.buffer_bytes, id, io_uring_buf_ring_mask(options.buffer_count),
                          0);
    io_uring_buf_ring_advance(lent_, 1);
}

void ring::start() {
    // Debian's liburing 2.3 declares io_uring_enable_rings() but does not export it.
    if (::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) <
        0) {
        fail(errno, "io_uring_register (enable)");
    }
    started_ = true;
    // Saves a reference count on every enter; refused under some RLIMITs, and not needed.
    static_cast<void>(io_uring_register_ring_fd(&ring_));
    watch_wake_ups();
}

// Edge by edge: every write to the eventfd posts a completion, so it never has to be read.
void ring::watch_wake_ups() {
    submit(waker_,
           [this](io_uring_sqe* entry) { io_uring_prep_poll_multishot(entry, event_, POLLIN); });
}

void ring::waker::complete(int, unsigned flags) {
    ++self.home_.stats().wake_ups;
    if ((flags & IORING_CQE_F_MORE) == 0 && !self.draining_) {
        self.watch_wake_ups();
    }
}

void ring::wake() noexcept {
    const std::uint64_t one = 1;
    // EAGAIN (2^64 unseen wake-ups) cannot happen; anything else would be a lost descriptor.
    [[maybe_unused]] const auto written = ::write(event_, &one, sizeof one);
    assert(written == sizeof one);
}

io_uring_sqe* ring::next_entry() noexcept {
    assert(started_ && home_.runs_here() && "a request outside the loop's thread");
    auto* entry = io_uring_get_sqe(&ring_);
    while (entry == nullptr) {
        // Full: hand over what is there. Where the kernel holds back because completions
        // overflowed, take those out of its way first; they are dispatched in their turn.
        if (const int outcome = io_uring_submit(&ring_); outcome == -EBUSY || outcome == -EAGAIN) {
            collect();
            io_uring_get_events(&ring_);
        }
        entry = io_uring_get_sqe(&ring_);
    }
    return entry;
}

void ring::cancel(ring_op& op) noexcept {
    auto* entry = next_entry();
    io_uring_prep_cancel(entry, &op, 0);
    // Its own completion says nothing that the cancelled request does not.
    io_uring_sqe_set_data(entry, nullptr);
}

void ring::enter(std::chrono::nanoseconds timeout) {
    if (seen_at_ < seen_.size()) {
        timeout = std::chrono::nanoseconds::zero();
    }
    int outcome = 0;
    if (timeout == forever) {
        outcome = io_uring_submit_and_wait(&ring_, 1);
    } else if (timeout <= std::chrono::nanoseconds::zero()) {
        outcome = deferred_ ? io_uring_submit_and_get_events(&ring_) : io_uring_submit(&ring_);
    } else {
        constexpr std::int64_t second = 1'000'000'000;
        __kernel_timespec span{.tv_sec = timeout.count() / second,
                               .tv_nsec = timeout.count() % second};
        io_uring_cqe* first = nullptr;
        outcome = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &span, nullptr);
    }
    if (outcome < 0 && outcome != -ETIME && outcome != -EINTR && outcome != -EBUSY &&
        outcome != -EAGAIN) {
        fail(-outcome, "io_uring_enter");
    }
    collect();
}

void ring::collect() noexcept {
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&ring_, head, entry) {
        ++count;
        if (auto* op = static_cast<ring_op*>(io_uring_cqe_get_data(entry)); op != nullptr) {
            seen_.push_back({op, entry->res, entry->flags});
        }
    }
    io_uring_cq_advance(&ring_, count);
}

void ring::dispatch() {
    while (seen_at_ < seen_.size()) {
        const auto one = seen_[seen_at_++];
        if ((one.flags & IORING_CQE_F_MORE) == 0) {
            --in_flight_;
        }
        ++home_.stats().completions;
        one.op->complete(one.outcome, one.flags);
    }
    seen_.clear();
    seen_at_ = 0;
}

void ring::drain() {
    draining_ = true;
    dispatch();
    while (started_ && in_flight_ > 0) {
        auto* entry = next_entry();
        io_uring_prep_cancel(entry, nullptr, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        io_uring_sqe_set_data(entry, nullptr);
        // In slices: a request that was being started just then needs to be cancelled again.
        enter(std::chrono::milliseconds(10));
        dispatch();
    }
}

}  // namespace insula::runtime::detail
