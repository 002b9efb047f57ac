#pragma once
// Platform operators: accounts without a tenant. They are made and disabled from a shell of the
// machine only; each such act is audited with its change.

#include "insula/core/ids.hpp"
#include "insula/core/values.hpp"
#include "insula/identity/password.hpp"
#include "insula/pg/pool.hpp"

#include <optional>
#include <string>
#include <vector>

namespace insula::identity {

/// A platform operator: an account without a tenant, its address taken as verified. Blocks its
/// thread for the hash, so it is for commands, not for a serving loop. Audited as operator.create.
/// Errors: validation_failed (weak password), email_taken.
runtime::awaitable<result<user_id>> create_operator(pg::pool& control,
                                                    const password_hasher& hasher,
                                                    const email_address& email,
                                                    const password_text& password,
                                                    runtime::deadline until);

struct operator_record {
    user_id id;
    std::string email;
    bool active = true;
    timestamp created_at;
    std::optional<timestamp> last_login_at;
    std::int64_t assumed = 0;  ///< identities that are assumed right now
};

/// All of them, by address.
runtime::awaitable<result<std::vector<operator_record>>> list_operators(pg::pool& control,
                                                                        runtime::deadline until);

/// Disabled, nobody can log in with the account, and its sessions are over, those under other
/// people's identities too: here and on every process within a second, for changes at once. The
/// account stays: the audit log names it. Audited as operator.disable and operator.enable. False:
/// it is so already. Error: not_found (no operator has this address).
runtime::awaitable<result<bool>> set_operator_active(pg::pool& control, const email_address& email,
                                                     bool active, runtime::deadline until);

}  // namespace insula::identity
