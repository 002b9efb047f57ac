#include "components.hpp"

#include "handlers.hpp"
#include "schemas.hpp"

#include <boost/json/serialize.hpp>

#include <map>
#include <stdexcept>

namespace insula::api {
namespace {

using boost::json::object;
using boost::json::value;

struct component {
    std::string_view name;
    object (*schema)();
    std::string_view part = {};  ///< a JSON pointer into it: this alone is named
};

constexpr std::string_view items = "/properties/items/items";

// A schema is known by what it says, wherever it stands: one that says the same as another has the
// other's name.
constexpr component components[] = {
    {"Problem", &schema::problem},
    {"ErrorCode", &schema::problem, "/properties/code"},
    {"FieldError", &schema::problem, "/properties/errors/items"},
    {"TenantChoice", &schema::problem, "/properties/tenants/items"},
    {"RegistrationForm", &schema::registration_form},
    {"Registered", &schema::registered},
    {"NewTenant", &schema::registered, "/properties/tenant"},
    {"Registration", &schema::registration},
    {"RegistrationStep", &schema::registration, "/properties/steps/items"},
    {"Failure", &schema::registration, "/properties/error/anyOf/0"},
    {"TenantName", &schema::registration, "/properties/tenant"},
    {"LoginForm", &schema::login_form},
    {"Tokens", &schema::tokens},
    {"TokensTenant", &schema::tokens, "/properties/tenant/anyOf/0"},
    {"Role", &schema::tokens, "/properties/tenant/anyOf/0/properties/role"},
    {"RefreshForm", &schema::refresh_form},
    {"SwitchForm", &schema::switch_form},
    {"Session", &schema::session_page, items},
    {"SessionPage", &schema::session_page},
    {"TokenForm", &schema::token_form},
    {"Verified", &schema::verified},
    {"EmailForm", &schema::email_form},
    {"ResetForm", &schema::reset_form},
    {"PasswordForm", &schema::change_form},
    {"User", &schema::user},
    {"UserPatch", &schema::user_patch},
    {"MyTenant", &schema::my_tenant_page, items},
    {"MyTenantPage", &schema::my_tenant_page},
    {"Member", &schema::member},
    {"MemberPatch", &schema::member_patch},
    {"MemberPage", &schema::member_page},
    {"InviteForm", &schema::invite_form},
    {"Invite", &schema::invite},
    {"InvitePage", &schema::invite_page},
    {"InviteTokenForm", &schema::invite_token_form},
    {"InvitePreview", &schema::invite_preview},
    {"Acceptance", &schema::acceptance},
    {"Joined", &schema::joined},
    {"Tenant", &schema::tenant},
    {"TenantForm", &schema::tenant_form},
    {"TenantPatch", &schema::tenant_patch},
    {"CreatedTenant", &schema::created_tenant},
    {"Confirmation", &schema::confirmation},
    {"Deletion", &schema::deletion},
    {"TenantStatus", &schema::tenant_status},
    {"TenantRecord", &schema::tenant_record},
    {"TenantRecordPage", &schema::tenant_record_page},
    {"OperatorConfirmation", &schema::operator_confirmation},
    {"TaskStatus", &schema::task_status},
    {"TaskSummary", &schema::task_page, items},
    {"TaskPage", &schema::task_page},
    {"Task", &schema::task},
    {"TaskStep", &schema::task, "/properties/steps/items"},
    {"TaskError", &schema::task, "/properties/errors/items"},
    {"TaskOperated", &schema::task_operated},
    {"AssumeForm", &schema::assume_form},
    {"AssumedTokens", &schema::assumed_tokens},
    {"AuditEntry", &schema::audit_page, items},
    {"AuditPage", &schema::audit_page},
    {"ProjectForm", &schema::project_form},
    {"ProjectPatch", &schema::project_patch},
    {"Project", &schema::project},
    {"ProjectPage", &schema::project_page},
    {"Health", &schema::health},
    {"Readiness", &schema::readiness},
    {"Jwks", &schema::jwks},
    {"OpenIdConfiguration", &schema::openid_configuration},
};

object whole(const component& one) {
    const value all = one.schema();
    if (one.part.empty()) {
        return all.as_object();
    }
    boost::system::error_code failed;
    const auto* part = all.find_pointer(one.part, failed);
    if (part == nullptr || !part->is_object()) {
        throw std::logic_error("components.cpp: nothing at the pointer of " +
                               std::string(one.name));
    }
    return part->as_object();
}

using names = std::map<std::string, std::string_view>;

const names& names_by_text() {
    static const names all = [] {
        names made;
        for (const auto& one : components) {
            made.emplace(boost::json::serialize(whole(one)), one.name);
        }
        return made;
    }();
    return all;
}

value replaced(const value& in) {
    if (const auto* list = in.if_array()) {
        boost::json::array out;
        for (const auto& one : *list) {
            out.push_back(replaced(one));
        }
        return out;
    }
    return in.is_object() ? value(with_references(in.as_object())) : in;
}

object inside(const object& schema) {
    object out;
    for (const auto& member : schema) {
        out[member.key()] = replaced(member.value());
    }
    return out;
}

}  // namespace

object reference_to(std::string_view kind, std::string_view name) {
    return {{"$ref", "#/components/" + std::string(kind) + "/" + std::string(name)}};
}

object with_references(const object& schema) {
    const auto known = names_by_text().find(boost::json::serialize(schema));
    return known == names_by_text().end() ? inside(schema) : reference_to("schemas", known->second);
}

object component_schemas() {
    object all;
    for (const auto& one : components) {
        auto schema = whole(one);
        if (names_by_text().at(boost::json::serialize(schema)) == one.name) {
            all[one.name] = inside(schema);
        }
    }
    return all;
}

}  // namespace insula::api
