#pragma once
// Projects, the example resource.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc creating[] = {errc::name_taken};
inline constexpr errc changing[] = {errc::not_found, errc::name_taken, errc::precondition_failed};
inline constexpr errc deleting[] = {errc::not_found, errc::precondition_failed};

inline constexpr auto projects_rows = std::to_array<row>({
    {get, "/api/v1/projects",
     member<&list_projects>({.id = "listProjects",
                             .tag = "projects",
                             .summary = "The tenant's projects, newest first",
                             .response = &schema::project_page,
                             .errors = listing,
                             .query = page})},
    {post,
     "/api/v1/projects",
     member<&create_project>({.id = "createProject",
                              .tag = "projects",
                              .summary = "Create a project",
                              .success = 201,
                              .request = &schema::project_form,
                              .response = &schema::project,
                              .errors = creating,
                              .etag = true,
                              .creates = true,
                              .location = true}),
     {.body = body_rule::json}},
    {get, "/api/v1/projects/{id}",
     member<&read_project>({.id = "readProject",
                            .tag = "projects",
                            .summary = "One project",
                            .response = &schema::project,
                            .errors = none,
                            .etag = true})},
    {patch,
     "/api/v1/projects/{id}",
     member<&change_project>({.id = "changeProject",
                              .tag = "projects",
                              .summary = "Change name or description",
                              .request = &schema::project_patch,
                              .response = &schema::project,
                              .errors = changing,
                              .etag = true,
                              .if_match = true}),
     {.body = body_rule::json}},
    {delete_, "/api/v1/projects/{id}",
     member<&delete_project>({.id = "deleteProject",
                              .tag = "projects",
                              .summary = "Delete a project",
                              .success = 204,
                              .errors = deleting,
                              .if_match = true})},
});

}  // namespace insula::api::rows
