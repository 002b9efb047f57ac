#pragma once
// Passwords that were forgotten, reset or changed.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc resetting[] = {errc::invalid_token_value};
inline constexpr errc changing_password[] = {errc::invalid_credentials, errc::forbidden};

inline constexpr auto passwords_rows = std::to_array<row>({
    {post,
     "/api/v1/auth/forgot-password",
     anonymous<&forgot_password>({.id = "forgotPassword",
                                  .tag = "passwords",
                                  .summary = "Send a mail to choose a new password with",
                                  .success = 202,
                                  .request = &schema::forgot_form}),
     {.body = body_rule::json, .rate = "forgot"}},
    {post,
     "/api/v1/auth/reset-password",
     anonymous<&reset_password>({.id = "resetPassword",
                                 .tag = "passwords",
                                 .summary = "Choose a new password with the token of that mail",
                                 .success = 204,
                                 .request = &schema::reset_form,
                                 .errors = resetting}),
     {.body = body_rule::json, .rate = "verify"}},
    {post,
     "/api/v1/auth/change-password",
     user<&change_password>({.id = "changePassword",
                             .tag = "passwords",
                             .summary = "Change the caller's password",
                             .success = 204,
                             .request = &schema::change_form,
                             .errors = changing_password,
                             .any_tenant_state = true}),
     {.body = body_rule::json}},
});

}  // namespace insula::api::rows
