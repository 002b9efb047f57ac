#pragma once
// The pages that mails link to, in insula dev; elsewhere they are the front end's, and not found.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr auto pages_rows = std::to_array<row>({
    {get,
     "/verify-email",
     anonymous<&verify_email_page>(
         {.id = "verifyEmailPage", .tag = "pages", .summary = "The mail's link, in insula dev"}),
     {.rate = "anonymous", .redact_path = true}},
    {get,
     "/reset-password",
     anonymous<&reset_password_page>(
         {.id = "resetPasswordPage", .tag = "pages", .summary = "The mail's link, in insula dev"}),
     {.rate = "anonymous", .redact_path = true}},
    {get,
     "/accept-invite",
     anonymous<&accept_invite_page>(
         {.id = "acceptInvitePage", .tag = "pages", .summary = "The mail's link, in insula dev"}),
     {.rate = "anonymous", .redact_path = true}},
});

}  // namespace insula::api::rows
