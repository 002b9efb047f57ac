#pragma once
// The handlers of all resources, one file each. The route table (routes.cpp) is the only user.
#include "endpoint.hpp"

namespace insula::api {

// registrations.cpp
answer register_tenant(anonymous_context&);
answer read_registration(anonymous_context&);
// auth.cpp
answer log_in(anonymous_context&);
answer verify_email(anonymous_context&);
answer resend_verification(anonymous_context&);
// users.cpp
answer read_me(user_context&);
answer change_me(user_context&);
// tenants.cpp
answer read_tenant(user_context&);
// projects.cpp
answer list_projects(member_context&);
answer create_project(member_context&);
answer read_project(member_context&);
answer change_project(member_context&);
answer delete_project(member_context&);
// operations.cpp
answer livez(anonymous_context&);
answer readyz(anonymous_context&);
answer metrics_text(anonymous_context&);
answer openapi(anonymous_context&);
answer jwks(anonymous_context&);
answer openid_configuration(anonymous_context&);
answer verify_email_page(anonymous_context&);

// What they take and answer, for OpenAPI.
namespace schema {
boost::json::object registration_form();
boost::json::object registered();
boost::json::object registration();
boost::json::object login_form();
boost::json::object tokens();
boost::json::object token_form();
boost::json::object verified();
boost::json::object email_form();
boost::json::object user();
boost::json::object user_patch();
boost::json::object tenant();
boost::json::object project_form();
boost::json::object project_patch();
boost::json::object project();
boost::json::object project_page();
}  // namespace schema

}  // namespace insula::api
