#pragma once
// The caller.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc changing_me[] = {errc::precondition_failed};

inline constexpr auto users_rows = std::to_array<row>({
    {get, "/api/v1/users/me",
     user<&read_me>({.id = "readMe",
                     .tag = "users",
                     .summary = "The caller",
                     .response = &schema::user,
                     .etag = true})},
    {patch,
     "/api/v1/users/me",
     user<&change_me>({.id = "changeMe",
                       .tag = "users",
                       .summary = "Change the caller's name",
                       .request = &schema::user_patch,
                       .response = &schema::user,
                       .errors = changing_me,
                       .etag = true,
                       .if_match = true}),
     {.body = body_rule::json}},
    {get, "/api/v1/users/me/tenants",
     user<&list_my_tenants>({.id = "listMyTenants",
                             .tag = "users",
                             .summary = "The tenants the caller belongs to, joined last first",
                             .response = &schema::my_tenant_page,
                             .errors = listing,
                             .query = page})},
});

}  // namespace insula::api::rows
