#pragma once

#include "insula/core/values.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace insula::identity {

/// Argon2id cost. The default is OWASP's minimum (19 MiB, two passes, one lane): 15 to 25 ms of a
/// core.
struct password_options {
    unsigned passes = 2;
    std::size_t memory_bytes = 19 * 1024 * 1024;
};

inline constexpr std::size_t password_characters_min = 10;
inline constexpr std::size_t password_characters_max = 128;
inline constexpr std::size_t password_bytes_max = 1024;

/// What register, reset and change demand (API.md 2): length, zxcvbn score >= 3 (mail, name and
/// tenant count as known words), not containing the mail's local part. Costs up to some
/// milliseconds: on the CPU pool. Codes: too_short, too_long, invalid_utf8, contains_email,
/// too_weak. Empty when it is good enough.
std::optional<value_problem> check_new_password(std::string_view password, std::string_view email,
                                                std::string_view full_name = {},
                                                std::string_view tenant_name = {});

/// The only rule at login. Cheap; what fails it is never hashed.
bool password_length_allowed(std::string_view password) noexcept;

/// Argon2id by libsodium. Every call but needs_rehash() costs milliseconds and `memory_bytes` of
/// memory: run it on runtime::cpu_pool. Immutable after construction, safe from several threads.
class password_hasher {
public:
    /// Initialises libsodium once for the process and makes the dummy hash. Throws
    /// std::runtime_error when libsodium does not start, std::invalid_argument when options are
    /// below its minimum.
    explicit password_hasher(password_options options = {});

    /// "$argon2id$v=19$m=19456,t=2,p=1$salt$hash" with a salt of its own. Throws std::bad_alloc
    /// without memory.
    std::string hash(std::string_view password) const;

    /// False also for a malformed hash and for a password beyond password_bytes_max.
    bool verify(std::string_view hash, std::string_view password) const;

    /// The same work as verify(), always false: for unknown users, so that time does not tell
    /// (G15).
    bool verify_dummy(std::string_view password) const;

    /// True when the hash was made with other costs than the options (or is malformed): hash again
    /// after the next successful login.
    bool needs_rehash(std::string_view hash) const;

private:
    password_options options_;
    std::string dummy_;
};

}  // namespace insula::identity
