#pragma once

#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace insula::token {

/// A member's role in the tenant of the token. Ordered: `have >= role::admin` reads as it should.
/// `none` belongs to an operator's token without a tenant.
enum class role : std::uint8_t { none, member, admin, owner };

/// "member", "admin", "owner"; empty for `none`.
std::string_view name(role value) noexcept;
std::optional<role> parse_role(std::string_view text) noexcept;

/// Who signs and for whom: `iss` and `aud` of every token, compared exactly (RFC 9068 section 4).
/// Printable ASCII without quotes and backslashes, 1 to 255 characters; the makers of signer and
/// verifier refuse anything else, because a value that needs escaping has two spellings.
struct authority {
    std::string issuer;
    std::string audience;
};

/// What a verified access token says, besides `iss` and `aud`, which are those of the authority.
/// Plain values: copying never allocates. Times have whole seconds.
struct claims {
    user_id subject;
    session_id session;
    std::int64_t session_version = 0;  // sver, 0 to 2^53 - 1
    std::optional<tenant_id> tenant;   // tid; absent together with role
    token::role role = role::none;
    std::optional<user_id> actor;  // act.sub: the operator behind an assumed identity (RFC 8693)
    uuid id;                       // jti
    std::chrono::sys_seconds issued_at;
    std::chrono::sys_seconds expires_at;

    friend bool operator==(const claims&, const claims&) = default;
};

}  // namespace insula::token
