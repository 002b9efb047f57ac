#pragma once
// Who belongs to the tenant.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc changing_member[] = {errc::not_found, errc::last_owner,
                                           errc::precondition_failed};

inline constexpr auto members_rows = std::to_array<row>({
    {get, "/api/v1/members",
     member<&list_members>({.id = "listMembers",
                            .tag = "members",
                            .summary = "The tenant's members, joined last first",
                            .response = &schema::member_page,
                            .errors = listing,
                            .query = page})},
    {get, "/api/v1/members/{user_id}",
     member<&read_member>({.id = "readMember",
                           .tag = "members",
                           .summary = "One member",
                           .response = &schema::member,
                           .errors = none,
                           .etag = true})},
    {patch,
     "/api/v1/members/{user_id}",
     admin<&change_member>({.id = "changeMember",
                            .tag = "members",
                            .summary = "Give a member another role",
                            .request = &schema::member_patch,
                            .response = &schema::member,
                            .errors = changing_member,
                            .etag = true,
                            .if_match = true}),
     {.body = body_rule::json}},
    {delete_, "/api/v1/members/{user_id}",
     member<&remove_member>({.id = "removeMember",
                             .tag = "members",
                             .summary = "Remove a member, as an admin; or leave",
                             .success = 204,
                             .errors = changing_member,
                             .if_match = true})},
});

}  // namespace insula::api::rows
