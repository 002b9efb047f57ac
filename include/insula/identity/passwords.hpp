#pragma once
// A password that was forgotten, reset or changed. Each change is one transaction with what follows
// from it: sessions that end, links that become void, the audit row, the notice by mail.

#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"

#include <boost/describe.hpp>

namespace insula::identity {

/// Enqueues the look-up and the mail; the same work whether the address is known or not.
runtime::awaitable<result<>> forgot_password(context& with, const email_address& email,
                                             caller from);

/// The body of POST /auth/reset-password.
struct reset_form {
    opaque_token token;
    password_text new_password;
};
BOOST_DESCRIBE_STRUCT(reset_form, (), (token, new_password))

/// Exactly one of those who use a token at once succeeds. All sessions of the account end, here
/// before it answers; its address counts as verified, for the token was mailed to it. A password
/// that is refused leaves the token good. Errors: invalid_token_value (unknown, used, void,
/// expired), validation_failed, overloaded.
runtime::awaitable<result<>> reset_password(context& with, const reset_form& form, caller from);

/// The body of POST /auth/change-password.
struct change_form {
    password_attempt current_password;
    password_text new_password;
};
BOOST_DESCRIBE_STRUCT(change_form, (), (current_password, new_password))

/// All other sessions of the account end, here before it answers. Errors: invalid_credentials (the
/// current password is another one; audited as a failed password.change), invalid_token (the
/// session is over), validation_failed, overloaded.
runtime::awaitable<result<>> change_password(context& with, const token::claims& who,
                                             const change_form& form, caller from);

}  // namespace insula::identity
