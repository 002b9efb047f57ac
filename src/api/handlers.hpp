#pragma once
// The handlers of all resources, one file each. The route table (routes.cpp) is the only user.
#include "endpoint.hpp"

#include "insula/identity/users.hpp"

namespace insula::api {

// registrations.cpp
answer register_tenant(anonymous_context&);
answer read_registration(anonymous_context&);
answer retry_registration(anonymous_context&);
/// Where somebody with the capability watches a tenant being made.
std::string registration_url(std::string_view registration_id);
// auth.cpp
answer log_in(anonymous_context&);
answer verify_email(anonymous_context&);
answer resend_verification(anonymous_context&);
// passwords.cpp
answer forgot_password(anonymous_context&);
answer reset_password(anonymous_context&);
answer change_password(user_context&);
// sessions.cpp
answer refresh(anonymous_context&);
answer log_out(anonymous_context&);
answer log_out_everywhere(user_context&);
answer list_sessions(user_context&);
answer end_session(user_context&);
answer switch_tenant(user_context&);
// users.cpp
answer read_me(user_context&);
answer change_me(user_context&);
answer list_my_tenants(user_context&);
// tenants.cpp
answer read_tenant(user_context&);
answer change_tenant(admin_context&);
http::response answer_tenant(const http::request& r, const identity::tenant_view& tenant);
// tenant_life.cpp
answer create_tenant(user_context&);
answer delete_tenant(owner_context&);
answer restore_tenant(owner_context&);
/// 422: `confirm` is not the tenant's slug.
error wrong_confirmation();
// members.cpp
answer list_members(member_context&);
answer read_member(member_context&);
answer change_member(admin_context&);
answer remove_member(member_context&);
// invites.cpp
answer create_invite(admin_context&);
answer list_invites(admin_context&);
answer read_invite(admin_context&);
answer withdraw_invite(admin_context&);
answer resend_invite(admin_context&);
answer preview_invite(anonymous_context&);
answer accept_invite(anonymous_context&);
// projects.cpp
answer list_projects(member_context&);
answer create_project(member_context&);
answer read_project(member_context&);
answer change_project(member_context&);
answer delete_project(member_context&);
// admin_tenants.cpp
answer list_all_tenants(operator_context&);
answer read_any_tenant(operator_context&);
answer suspend_tenant(operator_context&);
answer resume_tenant(operator_context&);
answer retry_tenant(operator_context&);
answer delete_any_tenant(operator_context&);
// admin_tasks.cpp
answer list_tasks(operator_context&);
answer read_task(operator_context&);
answer retry_task(operator_context&);
answer cancel_task(operator_context&);
answer skip_step_of_task(operator_context&);
// assume_identity.cpp
answer assume_identity(operator_context&);
answer end_assumed_identity(user_context&);
// audit.cpp
answer list_audit(admin_context&);
answer list_audit_of_entity(admin_context&);
// operations.cpp
answer livez(anonymous_context&);
answer readyz(anonymous_context&);
answer metrics_text(anonymous_context&);
answer openapi(anonymous_context&);
answer docs(anonymous_context&);
answer jwks(anonymous_context&);
answer openid_configuration(anonymous_context&);
// pages.cpp
answer verify_email_page(anonymous_context&);
answer reset_password_page(anonymous_context&);
answer accept_invite_page(anonymous_context&);

// What they take and answer, for OpenAPI.
namespace schema {
boost::json::object registration_form();
boost::json::object registered();
boost::json::object registration();
boost::json::object login_form();
boost::json::object tokens();
boost::json::object refresh_form();
boost::json::object switch_form();
boost::json::object session_page();
boost::json::object token_form();
boost::json::object verified();
boost::json::object email_form();
boost::json::object forgot_form();
boost::json::object reset_form();
boost::json::object change_form();
boost::json::object user();
boost::json::object user_patch();
boost::json::object my_tenant_page();
boost::json::object role();
boost::json::object member();
boost::json::object member_page();
boost::json::object member_patch();
boost::json::object invite_form();
boost::json::object invite();
boost::json::object invite_page();
boost::json::object invite_token_form();
boost::json::object invite_preview();
boost::json::object acceptance();
boost::json::object joined();
boost::json::object tenant_patch();
boost::json::object tenant();
boost::json::object tenant_form();
boost::json::object created_tenant();
boost::json::object confirmation();
boost::json::object deletion();
boost::json::object tenant_record();
boost::json::object tenant_record_page();
boost::json::object operator_confirmation();
boost::json::object tenant_status();
boost::json::object search_text();
boost::json::object task();
boost::json::object task_page();
boost::json::object task_status();
boost::json::object task_kind();
boost::json::object task_operated();
boost::json::object assume_form();
boost::json::object assumed_tokens();
boost::json::object audit_page();
boost::json::object audit_action();
boost::json::object project_form();
boost::json::object project_patch();
boost::json::object project();
boost::json::object project_page();
}  // namespace schema

}  // namespace insula::api
