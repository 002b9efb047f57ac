#pragma once
// Sessions: log in, refresh, log out.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc logging_in[] = {errc::invalid_credentials, errc::email_not_verified,
                                      errc::tenant_required,     errc::tenant_not_ready,
                                      errc::tenant_suspended,    errc::tenant_pending_deletion};

inline constexpr errc refreshing[] = {errc::invalid_refresh_token, errc::refresh_token_reused,
                                      errc::tenant_suspended, errc::tenant_pending_deletion,
                                      errc::tenant_not_ready};
inline constexpr errc own_sessions[] = {errc::forbidden};
inline constexpr errc listing_sessions[] = {errc::forbidden, errc::invalid_cursor};
inline constexpr errc ending_session[] = {errc::forbidden, errc::not_found};
inline constexpr errc switching[] = {errc::forbidden, errc::not_found, errc::tenant_suspended,
                                     errc::tenant_pending_deletion, errc::tenant_not_ready};

inline constexpr auto sessions_rows = std::to_array<row>({
    {post,
     "/api/v1/auth/login",
     anonymous<&log_in>({.id = "login",
                         .tag = "sessions",
                         .summary = "Log in to a tenant",
                         .request = &schema::login_form,
                         .response = &schema::tokens,
                         .errors = logging_in}),
     {.body = body_rule::json, .rate = "login"}},
    {post,
     "/api/v1/auth/refresh",
     anonymous<&refresh>({.id = "refresh",
                          .tag = "sessions",
                          .summary = "New tokens for a refresh token, which is spent by that",
                          .request = &schema::refresh_form,
                          .response = &schema::tokens,
                          .errors = refreshing}),
     {.body = body_rule::json, .rate = "refresh"}},
    {post,
     "/api/v1/auth/logout",
     anonymous<&log_out>({.id = "logOut",
                          .tag = "sessions",
                          .summary = "End the refresh token's session, spent or not",
                          .success = 204,
                          .request = &schema::refresh_form}),
     {.body = body_rule::json, .rate = "anonymous"}},
    {post, "/api/v1/auth/logout-all",
     user<&log_out_everywhere>({.id = "logOutEverywhere",
                                .tag = "sessions",
                                .summary = "End all sessions of the caller, in all tenants",
                                .success = 204,
                                .errors = own_sessions,
                                .any_tenant_state = true})},
    {get, "/api/v1/auth/sessions",
     user<&list_sessions>({.id = "listSessions",
                           .tag = "sessions",
                           .summary = "The caller's sessions in all tenants, newest first",
                           .response = &schema::session_page,
                           .errors = listing_sessions,
                           .query = page,
                           .any_tenant_state = true})},
    {delete_, "/api/v1/auth/sessions/{id}",
     user<&end_session>({.id = "endSession",
                         .tag = "sessions",
                         .summary = "End one of the caller's sessions",
                         .success = 204,
                         .errors = ending_session,
                         .any_tenant_state = true})},
    {post,
     "/api/v1/auth/switch-tenant",
     user<&switch_tenant>({.id = "switchTenant",
                           .tag = "sessions",
                           .summary = "A new session in another tenant of the caller",
                           .request = &schema::switch_form,
                           .response = &schema::tokens,
                           .errors = switching,
                           .any_tenant_state = true}),
     {.body = body_rule::json}},
});

}  // namespace insula::api::rows
