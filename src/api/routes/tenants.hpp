#pragma once
// Tenants, as their members see and change them.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc creating_tenant[] = {errc::forbidden, errc::slug_taken,
                                           errc::tenant_suspended, errc::tenant_pending_deletion,
                                           errc::tenant_not_ready};
inline constexpr errc changing_tenant[] = {errc::not_found, errc::precondition_failed};
inline constexpr errc restoring_tenant[] = {errc::not_found, errc::conflict,
                                            errc::tenant_suspended};
inline constexpr errc own_tenant[] = {errc::not_found, errc::conflict};

inline constexpr auto tenants_rows = std::to_array<row>({
    {get, "/api/v1/tenants/{slug}",
     user<&read_tenant>({.id = "readTenant",
                         .tag = "tenants",
                         .summary = "A tenant the caller is a member of",
                         .response = &schema::tenant,
                         .errors = none,
                         .etag = true})},
    {post,
     "/api/v1/tenants",
     user<&create_tenant>({.id = "createTenant",
                           .tag = "tenants",
                           .summary = "Make a further tenant, with the caller as its owner",
                           .success = 202,
                           .request = &schema::tenant_form,
                           .response = &schema::created_tenant,
                           .errors = creating_tenant,
                           .creates = true,
                           .location = true}),
     {.body = body_rule::json}},
    {patch,
     "/api/v1/tenants/{slug}",
     admin<&change_tenant>({.id = "changeTenant",
                            .tag = "tenants",
                            .summary = "Change the own tenant's name",
                            .request = &schema::tenant_patch,
                            .response = &schema::tenant,
                            .errors = changing_tenant,
                            .etag = true,
                            .if_match = true}),
     {.body = body_rule::json}},
    {delete_,
     "/api/v1/tenants/{slug}",
     owner<&delete_tenant>({.id = "deleteTenant",
                            .tag = "tenants",
                            .summary = "Delete the own tenant, when the grace is over",
                            .success = 202,
                            .request = &schema::confirmation,
                            .response = &schema::deletion,
                            .errors = own_tenant}),
     {.body = body_rule::json}},
    {post, "/api/v1/tenants/{slug}/restore",
     owner<&restore_tenant>({.id = "restoreTenant",
                             .tag = "tenants",
                             .summary = "Take the deletion of the own tenant back",
                             .response = &schema::tenant,
                             .errors = restoring_tenant,
                             .etag = true,
                             .any_tenant_state = true})},
});

}  // namespace insula::api::rows
