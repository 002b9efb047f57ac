#pragma once
// The route table: the one place where an endpoint is added. A row says method, path, endpoint
// (made by the factory named after its policy), and what must hold before the handler runs.
#include "handlers.hpp"
#include "schemas.hpp"

#include "insula/http/router.hpp"

#include <array>

namespace insula::api {
namespace rows {

using enum http::method;
using http::body_rule;
using row = http::route_row<endpoint>;

inline constexpr errc none[] = {errc::not_found};
inline constexpr errc registering[] = {errc::slug_taken, errc::email_taken};
inline constexpr errc logging_in[] = {errc::invalid_credentials, errc::email_not_verified,
                                      errc::tenant_required,     errc::tenant_not_ready,
                                      errc::tenant_suspended,    errc::tenant_pending_deletion};
inline constexpr errc verifying[] = {errc::invalid_token_value};
inline constexpr errc listing[] = {errc::invalid_cursor};
inline constexpr errc creating[] = {errc::name_taken};
inline constexpr errc changing[] = {errc::not_found, errc::name_taken, errc::precondition_failed};
inline constexpr errc deleting[] = {errc::not_found, errc::precondition_failed};
inline constexpr errc retrying[] = {errc::not_found, errc::not_failed, errc::slug_taken,
                                    errc::email_taken};
inline constexpr errc creating_tenant[] = {errc::forbidden, errc::slug_taken,
                                           errc::tenant_suspended, errc::tenant_pending_deletion,
                                           errc::tenant_not_ready};
inline constexpr errc own_tenant[] = {errc::not_found, errc::conflict};
inline constexpr errc operating[] = {errc::not_found, errc::conflict};
inline constexpr errc retrying_tenant[] = {errc::not_found, errc::not_failed, errc::slug_taken,
                                           errc::email_taken};
inline constexpr errc changing_me[] = {errc::precondition_failed};

inline constexpr parameter wait[] = {
    {"wait", "seconds to wait for a final state", [] {
         return boost::json::object{
             {"type", "integer"}, {"minimum", 0}, {"maximum", 30}, {"default", 0}};
     }}};
inline constexpr parameter page[] = {{"limit", "items per page", &schema::limit},
                                     {"cursor", "next_cursor of the page before", &schema::cursor}};

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

inline constexpr auto table = std::to_array<row>({
    // Registration and sessions
    {post,
     "/api/v1/auth/register",
     anonymous<&register_tenant>({.id = "register",
                                  .tag = "registration",
                                  .summary = "Register a user and a tenant",
                                  .success = 202,
                                  .request = &schema::registration_form,
                                  .response = &schema::registered,
                                  .errors = registering,
                                  .creates = true}),
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
                                     .errors = retrying}),
     {.rate = "anonymous", .redact_path = true}},
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
    // Users and tenants
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
                           .creates = true}),
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
                             .errors = own_tenant,
                             .etag = true})},
    // Platform operators
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
    // Projects
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
                              .creates = true}),
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
    // Operations
    {get, "/livez",
     anonymous<&livez>({.id = "livez", .tag = "operations", .summary = "The process runs"})},
    {get, "/readyz",
     anonymous<&readyz>({.id = "readyz", .tag = "operations", .summary = "Ready for traffic"})},
    {get, "/metrics",
     anonymous<&metrics_text>(
         {.id = "metrics", .tag = "operations", .summary = "Prometheus metrics"})},
    {get,
     "/openapi.json",
     anonymous<&openapi>({.id = "openapi", .tag = "operations", .summary = "This document"}),
     {.rate = "anonymous"}},
    {get,
     "/.well-known/jwks.json",
     anonymous<&jwks>(
         {.id = "jwks", .tag = "operations", .summary = "Public keys of access tokens"}),
     {.rate = "anonymous"}},
    {get,
     "/.well-known/openid-configuration",
     anonymous<&openid_configuration>({.id = "openidConfiguration",
                                       .tag = "operations",
                                       .summary = "Issuer, keys and algorithms"}),
     {.rate = "anonymous"}},
    {get,
     "/verify-email",
     anonymous<&verify_email_page>(
         {.id = "verifyEmailPage", .tag = "pages", .summary = "The mail's link, in insula dev"}),
     {.rate = "anonymous", .redact_path = true}},
});

inline constexpr auto admin_table = std::to_array<row>({
    {get, "/livez",
     anonymous<&livez>({.id = "livez", .tag = "operations", .summary = "The process runs"})},
    {get, "/readyz",
     anonymous<&readyz>({.id = "readyz", .tag = "operations", .summary = "Ready for traffic"})},
    {get, "/metrics",
     anonymous<&metrics_text>(
         {.id = "metrics", .tag = "operations", .summary = "Prometheus metrics"})},
});

}  // namespace rows

inline constexpr http::router<endpoint, rows::table.size()> routes{rows::table};
inline constexpr http::router<endpoint, rows::admin_table.size()> admin_routes{rows::admin_table};

}  // namespace insula::api
