#pragma once
#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"
#include "insula/identity/capabilities.hpp"
#include "insula/identity/password.hpp"
#include "insula/pg/pool.hpp"
#include "insula/queue/engine.hpp"
#include "insula/runtime/cpu_pool.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/tenancy/directory.hpp"
#include "insula/tenancy/revocations.hpp"
#include "insula/tenancy/tenant.hpp"
#include "insula/token/claims.hpp"

#include <atomic>
#include <chrono>
#include <string>

namespace insula::identity {

/// What identity works with; made once by app, outlives every request. Usable from any loop.
struct context {
    pg::pool& control;  ///< login app
    runtime::cpu_pool& hashing;
    const password_hasher& hasher;
    queue::engine& tasks;
    tenancy::directory& tenants;
    /// Whatever revokes calls catch_up() after its commit, before it answers.
    tenancy::revocations& revoked;
    const secret_keys& keys;
    const clock_source& clock;
    int cells = 1;
    bool require_verified_email = true;
    const std::atomic<bool>* stopping =
        nullptr;  ///< true: the service ends, so long waits answer what there is
    std::chrono::seconds deletion_grace = std::chrono::hours(7 * 24);
};

/// The request behind a call, for audit rows and sessions.
struct caller {
    std::string ip;
    std::string request_id;
    std::string user_agent;
    runtime::deadline until;
};

/// Adds control.assert_session() as the unit's next statement: what the control plane's own writes
/// begin with.
void add_assert_session(pg::unit& unit, const token::claims& who);

}  // namespace insula::identity
