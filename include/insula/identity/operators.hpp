#pragma once
#include "insula/core/ids.hpp"
#include "insula/core/values.hpp"
#include "insula/identity/password.hpp"
#include "insula/pg/pool.hpp"

namespace insula::identity {

/// A platform operator: an account without a tenant, its address taken as verified. Blocks its
/// thread for the hash, so it is for commands, not for a serving loop. Errors: validation_failed
/// (weak password), email_taken.
runtime::awaitable<result<user_id>> create_operator(pg::pool& control,
                                                    const password_hasher& hasher,
                                                    const email_address& email,
                                                    const password_text& password,
                                                    runtime::deadline until);

}  // namespace insula::identity
