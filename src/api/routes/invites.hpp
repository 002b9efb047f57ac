#pragma once
// Invitations to the tenant.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc inviting[] = {errc::already_member, errc::invite_pending};
inline constexpr errc previewing[] = {errc::not_found, errc::tenant_suspended,
                                      errc::tenant_pending_deletion, errc::tenant_not_ready};
inline constexpr errc accepting[] = {errc::unauthenticated,
                                     errc::invalid_token,
                                     errc::invalid_credentials,
                                     errc::forbidden,
                                     errc::tenant_mismatch,
                                     errc::tenant_suspended,
                                     errc::not_found,
                                     errc::conflict,
                                     errc::already_member,
                                     errc::email_taken,
                                     errc::tenant_pending_deletion,
                                     errc::tenant_not_ready};

inline constexpr auto invites_rows = std::to_array<row>({
    {get, "/api/v1/invites",
     admin<&list_invites>({.id = "listInvites",
                           .tag = "invites",
                           .summary = "The tenant's pending invitations, newest first",
                           .response = &schema::invite_page,
                           .errors = listing,
                           .query = page})},
    {post,
     "/api/v1/invites",
     admin<&create_invite>({.id = "createInvite",
                            .tag = "invites",
                            .summary = "Invite somebody by mail",
                            .success = 201,
                            .request = &schema::invite_form,
                            .response = &schema::invite,
                            .errors = inviting,
                            .creates = true,
                            .location = true}),
     {.body = body_rule::json}},
    {get, "/api/v1/invites/{id}",
     admin<&read_invite>({.id = "readInvite",
                          .tag = "invites",
                          .summary = "One pending invitation",
                          .response = &schema::invite,
                          .errors = none})},
    {delete_, "/api/v1/invites/{id}",
     admin<&withdraw_invite>({.id = "withdrawInvite",
                              .tag = "invites",
                              .summary = "Withdraw an invitation",
                              .success = 204,
                              .errors = none})},
    {post, "/api/v1/invites/{id}/resend",
     admin<&resend_invite>({.id = "resendInvite",
                            .tag = "invites",
                            .summary = "Send the mail again, with another token",
                            .success = 202,
                            .errors = none})},
    {post,
     "/api/v1/invites/preview",
     anonymous<&preview_invite>({.id = "previewInvite",
                                 .tag = "invites",
                                 .summary = "What an invitation's token is for",
                                 .request = &schema::invite_token_form,
                                 .response = &schema::invite_preview,
                                 .errors = previewing}),
     {.body = body_rule::json, .rate = "anonymous"}},
    {post,
     "/api/v1/invites/accept",
     anonymous<&accept_invite>(
         {.id = "acceptInvite",
          .tag = "invites",
          .summary = "Join a tenant: with a new account, or as whoever the access token or the "
                     "password says",
          .request = &schema::acceptance,
          .response = &schema::joined,
          .errors = accepting}),
     {.body = body_rule::json, .rate = "accept"}},
});

}  // namespace insula::api::rows
