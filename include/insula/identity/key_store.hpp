#pragma once
#include "insula/core/error.hpp"
#include "insula/core/time.hpp"
#include "insula/identity/capabilities.hpp"
#include "insula/pg/pool.hpp"
#include "insula/token/key_set.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

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

/// A row of control.signing_key without its private half.
struct signing_key_record {
    std::string kid;
    std::string algorithm;  ///< as stored: another version may know more of them
    token::key_state state = token::key_state::active;
    timestamp created_at;
    timestamp changed_at;
};
/// The active one first, then the newest.
runtime::awaitable<result<std::vector<signing_key_record>>> list_signing_keys(
    pg::pool& control, runtime::deadline until);

struct rotated_key {
    std::string kid;
    std::string before;  ///< retiring now; empty: there was no active key
};
/// A new active key; the one before it goes on verifying what it has signed. Every process follows
/// within a second (control.feed).
runtime::awaitable<result<rotated_key>> rotate_signing_key(pg::pool& control,
                                                           const secret_keys& keys,
                                                           token::algorithm algorithm,
                                                           runtime::deadline until);

struct revoked_key {
    token::key_state was = token::key_state::active;  ///< revoked: it was already
    std::string successor;                            ///< set when it was the active one
};
/// Refused everywhere within a second, with everything it has signed. The active key gets a
/// successor in the same transaction, of `successor` or its own algorithm. Error:
/// not_found.
runtime::awaitable<result<revoked_key>> revoke_signing_key(
    pg::pool& control, const secret_keys& keys, std::string kid,
    std::optional<token::algorithm> successor, runtime::deadline until);

}  // namespace insula::identity
