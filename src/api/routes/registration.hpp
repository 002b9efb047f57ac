#pragma once
// Registration and its mails.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc registering[] = {errc::slug_taken, errc::email_taken};
inline constexpr errc verifying[] = {errc::invalid_token_value};
inline constexpr errc retrying[] = {errc::not_found, errc::not_failed, errc::slug_taken,
                                    errc::email_taken};

inline constexpr parameter wait[] = {
    {"wait", "seconds to wait for a final state", [] {
         return boost::json::object{
             {"type", "integer"}, {"minimum", 0}, {"maximum", 30}, {"default", 0}};
     }}};

inline constexpr auto registration_rows = std::to_array<row>({
    {post,
     "/api/v1/auth/register",
     anonymous<&register_tenant>({.id = "register",
                                  .tag = "registration",
                                  .summary = "Register a user and a tenant",
                                  .success = 202,
                                  .request = &schema::registration_form,
                                  .response = &schema::registered,
                                  .errors = registering,
                                  .creates = true,
                                  .location = true}),
     {.body = body_rule::json, .rate = "register"}},
    {get,
     "/api/v1/registrations/{registration_id}",
     anonymous<&read_registration>({.id = "readRegistration",
                                    .tag = "registration",
                                    .summary = "What became of a registration",
                                    .response = &schema::registration,
                                    .errors = none,
                                    .query = wait}),
     {.rate = "anonymous", .redact_path = true, .timeout = std::chrono::milliseconds{40'000}}},
    {post,
     "/api/v1/registrations/{registration_id}/retry",
     anonymous<&retry_registration>({.id = "retryRegistration",
                                     .tag = "registration",
                                     .summary = "Set a tenant up again that failed",
                                     .success = 202,
                                     .response = &schema::registration,
                                     .errors = retrying,
                                     .location = true}),
     {.rate = "anonymous", .redact_path = true}},
    {post,
     "/api/v1/auth/verify-email",
     anonymous<&verify_email>({.id = "verifyEmail",
                               .tag = "registration",
                               .summary = "Verify a mail address",
                               .request = &schema::token_form,
                               .response = &schema::verified,
                               .errors = verifying}),
     {.body = body_rule::json, .rate = "verify"}},
    {post,
     "/api/v1/auth/resend-verification",
     anonymous<&resend_verification>({.id = "resendVerification",
                                      .tag = "registration",
                                      .summary = "Send the verification mail again",
                                      .success = 202,
                                      .request = &schema::email_form}),
     {.body = body_rule::json, .rate = "resend"}},
});

}  // namespace insula::api::rows
