#pragma once
#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"
#include "insula/identity/token_service.hpp"

#include <boost/describe.hpp>

#include <optional>
#include <string>

namespace insula::identity {

inline constexpr std::chrono::hours refresh_lifetime{7 * 24};
inline constexpr std::chrono::hours session_lifetime{30 * 24};

/// The body of POST /auth/login. A slug that breaks the rules is simply unknown, so it is taken as
/// text.
struct login_form {
    email_address email;
    password_attempt password;
    std::optional<std::string> tenant_slug;
};
BOOST_DESCRIBE_STRUCT(login_form, (), (email, password, tenant_slug))

struct token_tenant {
    tenant_id id;
    std::string slug;
    std::string name;
    token::role role = token::role::none;
};

/// What login, refresh and switch-tenant answer.
struct issued_tokens {
    std::string access_token;
    secret_string refresh_token;
    std::chrono::seconds expires_in{};
    std::chrono::seconds refresh_expires_in{};
    std::optional<token_tenant> tenant;  ///< none: an operator without a tenant
};

/// Errors: invalid_credentials, alike for an unknown mail, a wrong password, an inactive account,
/// no membership and an unknown tenant, each after the same work (G15). After a right password:
/// email_not_verified, tenant_required (with the list), tenant_not_ready, tenant_suspended,
/// tenant_pending_deletion. overloaded when too many passwords are being checked.
runtime::awaitable<result<issued_tokens>> log_in(context& with, token_service& tokens,
                                                 const login_form& form, caller from);

}  // namespace insula::identity
