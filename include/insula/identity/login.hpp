#pragma once
#include "insula/core/values.hpp"
#include "insula/identity/issue_tokens.hpp"

#include <boost/describe.hpp>

#include <optional>
#include <string>

namespace insula::identity {

/// The body of POST /auth/login. A slug that breaks the rules is simply unknown, so it is taken as
/// text.
struct login_form {
    email_address email;
    password_attempt password;
    std::optional<std::string> tenant_slug;
};
BOOST_DESCRIBE_STRUCT(login_form, (), (email, password, tenant_slug))

/// Errors: invalid_credentials, alike for an unknown mail, a wrong password, an inactive account,
/// no membership and an unknown tenant, each after the same work (G15). After a right password:
/// email_not_verified, tenant_required (with the list), tenant_not_ready, tenant_suspended,
/// tenant_pending_deletion. overloaded when too many passwords are being checked.
runtime::awaitable<result<issued_tokens>> log_in(context& with, token_service& tokens,
                                                 const login_form& form, caller from);

}  // namespace insula::identity
