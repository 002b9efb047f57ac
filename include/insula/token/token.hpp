#pragma once

#include "insula/core/error.hpp"
#include "insula/token/claims.hpp"
#include "insula/token/key_set.hpp"

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

/// Access tokens: JWS compact (RFC 7515) as RFC 9068 and RFC 8725 want them. No I/O, no clock of
/// its own.
namespace insula::token {

/// Tokens above this are refused unread. Ours have 500 to 700 bytes; a verifier refuses before any
/// hashing also what is more than 32 payload bytes longer than the longest token its authority
/// could sign.
inline constexpr std::size_t token_bytes_max = 4096;

/// Why a token was refused: for logs and metrics. A client sees errc::invalid_token and nothing
/// else.
enum class refusal : std::uint8_t {
    too_long,
    not_three_segments,
    bad_base64url,
    bad_header,        // not the JSON object it must be: syntax, duplicates, odd types
    forbidden_header,  // crit, jwk, jku, x5c, x5u, b64 and other members that must not steer us
    wrong_type,        // typ is not at+jwt
    unknown_key,
    revoked_key,
    wrong_algorithm,  // alg is not the one of the key
    bad_signature,
    bad_claims,  // as bad_header, and claims with odd types, missing or out of range
    wrong_issuer,
    wrong_audience,
    expired,
    not_yet_valid,  // nbf, or iat further ahead than clocks differ
};
inline constexpr std::size_t refusal_count = 15;

/// "bad_signature" and so on: a metric label.
std::string_view name(refusal value) noexcept;

/// For boost::system::result::value(): a refusal is an outcome, asking for its value is a bug.
[[noreturn]] void throw_exception_from_error(const refusal& why,
                                             const boost::source_location& where);

using verified = boost::system::result<claims, refusal>;

/// Verifies tokens against one snapshot of keys. One per loop: it owns pre-keyed contexts and is
/// not thread-safe. verify() allocates nothing itself; within OpenSSL 3.0 copying a context (HS256)
/// and computing with points (ES256) do.
class verifier {
public:
    /// Throws std::invalid_argument when the authority is not as claims.hpp says.
    verifier(authority who, std::shared_ptr<const key_set> keys);
    ~verifier();
    verifier(verifier&&) noexcept;
    verifier& operator=(verifier&&) noexcept;

    /// Another snapshot from now on; builds its contexts (some microseconds per key).
    void use(std::shared_ptr<const key_set> keys);
    const key_set& keys() const noexcept;

    /// Skew is 0: refused from the second of `exp` on, and before `nbf`. `iat` may lie ahead of
    /// `now` by iat_ahead_max, since the processes of one installation do not share a clock's last
    /// digit.
    verified verify(std::string_view token, timestamp now);

    static constexpr std::chrono::seconds iat_ahead_max{5};

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// Signs with the snapshot's active key. One per loop, like verifier.
class signer {
public:
    /// Throws std::invalid_argument when the authority is not as claims.hpp says.
    signer(authority who, std::shared_ptr<const key_set> keys);
    ~signer();
    signer(signer&&) noexcept;
    signer& operator=(signer&&) noexcept;

    void use(std::shared_ptr<const key_set> keys);

    /// errc::internal when no key is active, or when claims could never be verified: tenant without
    /// a role or the other way round, a negative version, exp not after iat.
    result<std::string> sign(const claims& what);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace insula::token
