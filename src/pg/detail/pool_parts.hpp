#pragma once
#include "pg/detail/pool_core.hpp"

namespace insula::pg::detail {

/// Takes a request out of the queue when its coroutine goes, whichever way it goes.
struct pool_core::leave_unsent {
    pool_core& core;
    request& who;
    ~leave_unsent();
};

/// Somebody who waits for an exclusive connection; lives in the frame of acquire().
struct pool_core::waiter : waiter_hook {
    explicit waiter(pool_core& owner) : core(owner), bell(owner.home_) {}
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;
    ~waiter();

    pool_core& core;
    runtime::event bell;
    shared_connection granted;
    pool_machine::node_id node = 0;
    std::optional<pg_error> failed;
};

/// How long an answer is awaited beyond the deadline.
runtime::deadline with_grace(runtime::deadline until);

}  // namespace insula::pg::detail
