#pragma once
// Sessions: log in, refresh, log out.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc logging_in[] = {errc::invalid_credentials, errc::email_not_verified,
                                      errc::tenant_required,     errc::tenant_not_ready,
                                      errc::tenant_suspended,    errc::tenant_pending_deletion};

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
});

}  // namespace insula::api::rows
