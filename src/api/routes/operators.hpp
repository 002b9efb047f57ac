#pragma once
// Platform operators.
#include "row.hpp"

namespace insula::api::rows {

inline constexpr errc operating[] = {errc::not_found, errc::conflict};
inline constexpr errc retrying_tenant[] = {errc::not_found, errc::not_failed, errc::slug_taken,
                                           errc::email_taken};

inline constexpr parameter tenants_page[] = {
    {"status", "only tenants in this state", &schema::tenant_status},
    {"q", "a part of slug or name, in any case; or an id", &schema::search_text},
    page[0],
    page[1]};

inline constexpr parameter tasks_page[] = {
    {"kind", "only tasks of this kind, such as tenant.provision", &schema::task_kind},
    {"status", "only tasks in this state", &schema::task_status},
    {"tenant_id", "only tasks of this tenant", &schema::uuid},
    page[0],
    page[1]};

inline constexpr auto operators_rows = std::to_array<row>({
    {get, "/api/v1/admin/tenants",
     operator_<&list_all_tenants>({.id = "listTenants",
                                   .tag = "operators",
                                   .summary = "All tenants, newest first",
                                   .response = &schema::tenant_record_page,
                                   .errors = listing,
                                   .query = tenants_page})},
    {get, "/api/v1/admin/tenants/{id}",
     operator_<&read_any_tenant>({.id = "readAnyTenant",
                                  .tag = "operators",
                                  .summary = "One tenant",
                                  .response = &schema::tenant_record,
                                  .errors = none})},
    {post, "/api/v1/admin/tenants/{id}/suspend",
     operator_<&suspend_tenant>({.id = "suspendTenant",
                                 .tag = "operators",
                                 .summary = "Nobody can use the tenant until it is resumed",
                                 .response = &schema::tenant_record,
                                 .errors = operating})},
    {post, "/api/v1/admin/tenants/{id}/resume",
     operator_<&resume_tenant>({.id = "resumeTenant",
                                .tag = "operators",
                                .summary = "End a suspension",
                                .response = &schema::tenant_record,
                                .errors = operating})},
    {post, "/api/v1/admin/tenants/{id}/retry",
     operator_<&retry_tenant>({.id = "retryTenant",
                               .tag = "operators",
                               .summary = "Set a tenant up again that failed",
                               .success = 202,
                               .response = &schema::tenant_record,
                               .errors = retrying_tenant})},
    {delete_,
     "/api/v1/admin/tenants/{id}",
     operator_<&delete_any_tenant>({.id = "deleteAnyTenant",
                                    .tag = "operators",
                                    .summary = "Delete a tenant, after the grace or immediately",
                                    .success = 202,
                                    .request = &schema::operator_confirmation,
                                    .response = &schema::tenant_record,
                                    .errors = operating}),
     {.body = body_rule::json}},
    {get, "/api/v1/admin/tasks",
     operator_<&list_tasks>({.id = "listTasks",
                             .tag = "operators",
                             .summary = "The queue's runs, living and finished, newest first",
                             .response = &schema::task_page,
                             .errors = listing,
                             .query = tasks_page})},
    {get, "/api/v1/admin/tasks/{id}",
     operator_<&read_task>({.id = "readTask",
                            .tag = "operators",
                            .summary = "One run with its steps, attempts and errors",
                            .response = &schema::task,
                            .errors = none})},
    {post, "/api/v1/admin/tasks/{id}/retry",
     operator_<&retry_task>(
         {.id = "retryTask",
          .tag = "operators",
          .summary = "Try again now what is held, waits, failed or was cancelled",
          .success = 202,
          .response = &schema::task_operated,
          .errors = operating})},
    {post, "/api/v1/admin/tasks/{id}/cancel",
     operator_<&cancel_task>({.id = "cancelTask",
                              .tag = "operators",
                              .summary = "Undo a run instead of continuing it",
                              .success = 202,
                              .response = &schema::task_operated,
                              .errors = operating})},
    {post, "/api/v1/admin/tasks/{id}/skip",
     operator_<&skip_step_of_task>({.id = "skipStepOfTask",
                                    .tag = "operators",
                                    .summary = "Go on behind the step that a run is held at",
                                    .success = 202,
                                    .response = &schema::task_operated,
                                    .errors = operating})},
});

}  // namespace insula::api::rows
