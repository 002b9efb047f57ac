#pragma once

#include <liburing.h>

namespace insula::runtime::detail {

struct ring_setup {
    int error = 0;       // errno of io_uring_setup, 0: made
    unsigned flags = 0;  // IORING_SETUP_* in effect
};

// Makes a ring with every flag we want that this kernel knows: DEFER_TASKRUN and SINGLE_ISSUER
// need 6.1 and 6.0, COOP_TASKRUN 5.19. disabled: it belongs to the thread that enables it, not to
// this one.
ring_setup set_up_ring(io_uring& ring, unsigned entries, bool disabled);
// Gives it and its memory back to the kernel.
void end_ring(io_uring& ring) noexcept;

// 0 or a negative errno. The memory is a page-aligned io_uring_buf_ring of `count` entries, a power
// of two.
int register_buffers(io_uring& ring, io_uring_buf_ring* memory, unsigned count, int group);

}  // namespace insula::runtime::detail
