#pragma once
// The tokens of a session. Whoever has made, rotated or read a session asks here for what the
// client gets: log-in, refresh, switch-tenant, assumed identities.

#include "insula/core/secret.hpp"
#include "insula/identity/context.hpp"
#include "insula/identity/token_service.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace insula::identity {

inline constexpr std::chrono::hours refresh_lifetime{7 * 24};
inline constexpr std::chrono::hours session_lifetime{30 * 24};

struct token_tenant {
    tenant_id id;
    std::string slug;
    std::string name;
    token::role role = token::role::none;
};

/// What log-in, refresh, switch-tenant and assumed identities answer.
struct issued_tokens {
    std::string access_token;
    std::optional<secret_string> refresh_token;  ///< none: an assumed identity
    std::chrono::seconds expires_in{};
    std::chrono::seconds refresh_expires_in{};
    std::optional<token_tenant> tenant;  ///< none: an operator without a tenant
};

/// A session as its row says, read or written in the transaction that was answered last.
struct session_facts {
    user_id user;
    session_id session;
    std::int32_t version = 1;
    std::optional<token_tenant> tenant;
    std::optional<user_id> actor;  ///< the operator behind an assumed identity
    std::chrono::seconds left{};   ///< until the session ends: no access token outlives it
};

/// What goes along with an access token, and for how long.
struct refresh_part {
    secret_string token;
    std::chrono::seconds left{};
};

/// Makes and signs an access token, of token_service::access_lifetime at most. Error: internal.
result<issued_tokens> issue_tokens(const context& with, token_service& tokens,
                                   const session_facts& about, std::optional<refresh_part> refresh);

}  // namespace insula::identity
