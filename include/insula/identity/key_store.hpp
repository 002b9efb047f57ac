#pragma once
#include "insula/core/error.hpp"
#include "insula/identity/capabilities.hpp"
#include "insula/pg/pool.hpp"
#include "insula/token/key_set.hpp"

#include <memory>

namespace insula::identity {

/// The signing keys of control.signing_key, opened with the key-encryption key. When there is no
/// active key one is made (ES256); of processes that start together, one wins and all use its key.
/// Errors: internal when a stored key does not open (another INSULA_KEY_ENCRYPTION_KEY), overloaded
/// when the database is away.
runtime::awaitable<result<std::shared_ptr<const token::key_set>>> load_signing_keys(
    pg::pool& control, const secret_keys& keys, token::algorithm for_new, runtime::deadline until);

/// The same without making one: for looking. The set may have no signing key.
runtime::awaitable<result<std::shared_ptr<const token::key_set>>> read_signing_keys(
    pg::pool& control, const secret_keys& keys, runtime::deadline until);

}  // namespace insula::identity
