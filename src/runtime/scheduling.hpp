#pragma once

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace insula::runtime::detail {

// sched_setattr(2), which has no wrapper in Debian 12's C library.
struct scheduling {
    std::uint32_t size = sizeof(scheduling);
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t slice_ns = 0;  // Linux 6.12; others ignore it
    std::uint64_t deadline_ns = 0;
    std::uint64_t period_ns = 0;
};
static_assert(sizeof(scheduling) == 48);

/// Of the calling thread. False: the kernel does not let us.
inline bool schedule_this_thread(const scheduling& wanted) noexcept {
    return ::syscall(SYS_sched_setattr, 0, &wanted, 0) == 0;
}

}  // namespace insula::runtime::detail
