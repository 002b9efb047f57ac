#include "runtime/uring/setup.hpp"

#include "runtime/uring/ring.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <optional>

namespace insula::runtime::detail {

namespace {

// The kernel may map a ring where another thread's has just been. It orders the two; but liburing
// calls it without the C library, so only this lets ThreadSanitizer know.
std::atomic<unsigned>& ended_rings() {
    static std::atomic<unsigned> count{0};
    return count;
}

}  // namespace

void end_ring(io_uring& ring) noexcept {
    ended_rings().fetch_add(1, std::memory_order_release);
    io_uring_queue_exit(&ring);
}

ring_setup set_up_ring(io_uring& ring, unsigned entries, bool disabled) {
    // Tried in this order, each without the flag before it: DEFER_TASKRUN demands SINGLE_ISSUER.
    constexpr unsigned optional_flags[] = {IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER,
                                           IORING_SETUP_COOP_TASKRUN, IORING_SETUP_SUBMIT_ALL};
    unsigned flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    for (const auto flag : optional_flags) {
        flags |= flag;
    }
    if (disabled) {
        flags |= IORING_SETUP_R_DISABLED;
    }
    std::size_t next = 0;
    for (;;) {
        io_uring_params params{};
        params.flags = flags;
        params.cq_entries = 4 * entries;
        const int outcome = io_uring_queue_init_params(entries, &ring, &params);
        if (outcome == 0) {
            (void)ended_rings().load(std::memory_order_acquire);
            return {0, flags};
        }
        if (outcome != -EINVAL || next == std::size(optional_flags)) {
            return {-outcome, flags};
        }
        flags &= ~optional_flags[next++];
    }
}

int register_buffers(io_uring& ring, io_uring_buf_ring* memory, unsigned count, int group) {
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
    registration.ring_entries = count;
    registration.bgid = static_cast<std::uint16_t>(group);
    const int outcome = io_uring_register_buf_ring(&ring, &registration, 0);
    if (outcome == 0) {
        io_uring_buf_ring_init(memory);
    }
    return outcome;
}

namespace {

// One byte through a multishot receive with a provided buffer, cancelled by "any": all that
// ring.cpp needs.
std::optional<ring_refusal> try_receive(io_uring& ring, int reader, int writer) {
    constexpr std::size_t page = 4096;
    void* memory =
        ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (memory == MAP_FAILED) {
        return ring_refusal{errno, "mmap"};
    }
    auto* lent = static_cast<io_uring_buf_ring*>(memory);
    std::optional<ring_refusal> refusal;
    if (const int outcome = register_buffers(ring, lent, 1, 0); outcome < 0) {
        refusal = ring_refusal{-outcome, "provided buffer rings (Linux 5.19)"};
    } else {
        io_uring_buf_ring_add(lent, static_cast<char*>(memory) + page, page, 0,
                              io_uring_buf_ring_mask(1), 0);
        io_uring_buf_ring_advance(lent, 1);
        auto* entry = io_uring_get_sqe(&ring);
        io_uring_prep_recv_multishot(entry, reader, nullptr, 0, 0);
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = 0;
        io_uring_cqe* done = nullptr;
        __kernel_timespec patience{.tv_sec = 1, .tv_nsec = 0};
        if (::write(writer, "x", 1) != 1 ||
            io_uring_submit_and_wait_timeout(&ring, &done, 1, &patience, nullptr) < 0 ||
            done == nullptr || done->res != 1 || (done->flags & IORING_CQE_F_MORE) == 0) {
            refusal = ring_refusal{0, "multishot receive (Linux 6.0)"};
        }
    }
    end_ring(ring);
    ::munmap(memory, 2 * page);
    return refusal;
}

}  // namespace

std::optional<ring_refusal> ring::probe() {
    io_uring probed{};
    if (const auto made = set_up_ring(probed, 8, false); made.error != 0) {
        return ring_refusal{made.error, "io_uring_setup"};
    }
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        const int reason = errno;
        end_ring(probed);
        return ring_refusal{reason, "socketpair"};
    }
    auto refusal = try_receive(probed, ends[0], ends[1]);
    ::close(ends[0]);
    ::close(ends[1]);
    return refusal;
}

}  // namespace insula::runtime::detail
