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
inline constexpr errc changing_me[] = {errc::precondition_failed};

inline constexpr parameter wait[] = {
    {"wait", "seconds to wait for a final state", [] {
         return boost::json::object{
             {"type", "integer"}, {"minimum", 0}, {"maximum", 30}, {"default", 0}};
     }}};
inline constexpr parameter page[] = {{"limit", "items per page", &schema::limit},
                                     {"cursor", "next_cursor of the page before", &schema::cursor}};

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
