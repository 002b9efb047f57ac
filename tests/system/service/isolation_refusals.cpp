#include "isolation_refusals.hpp"

#include <algorithm>
#include <set>

namespace insula::test {
namespace {

/// Who may do an operation, by role and kind of token.
enum class right {
    anybody,
    person,  ///< whoever has a token, an operator too
    own,     ///< but nobody under another's identity
    maker,   ///< a person of a tenant, neither an operator nor under another's identity
    member,
    admin,
    owner,    ///< in person
    assumed,  ///< only under another's identity
    operators,
};

const std::map<std::string, right>& rights() {
    using enum right;
    static const std::map<std::string, right> all{
        {"POST /api/v1/auth/logout-all", own},
        {"POST /api/v1/admin/assume-identity/end", right::assumed},
        {"GET /api/v1/auth/sessions", own},
        {"DELETE /api/v1/auth/sessions/{id}", own},
        {"POST /api/v1/auth/switch-tenant", own},
        {"POST /api/v1/auth/change-password", own},
        {"GET /api/v1/users/me", person},
        {"PATCH /api/v1/users/me", person},
        {"GET /api/v1/users/me/tenants", person},
        {"GET /api/v1/tenants/{slug}", person},
        {"PATCH /api/v1/tenants/{slug}", admin},
        {"DELETE /api/v1/tenants/{slug}", owner},
        {"POST /api/v1/tenants", maker},
        {"POST /api/v1/tenants/{slug}/restore", owner},
        {"GET /api/v1/members", member},
        {"GET /api/v1/members/{user_id}", member},
        {"PATCH /api/v1/members/{user_id}", admin},
        {"DELETE /api/v1/members/{user_id}", admin},
        {"GET /api/v1/invites", admin},
        {"POST /api/v1/invites", admin},
        {"GET /api/v1/invites/{id}", admin},
        {"DELETE /api/v1/invites/{id}", admin},
        {"POST /api/v1/invites/{id}/resend", admin},
        {"GET /api/v1/audit/logs", admin},
        {"GET /api/v1/audit/logs/entity/{type}/{id}", admin},
        {"GET /api/v1/projects", member},
        {"POST /api/v1/projects", member},
        {"GET /api/v1/projects/{id}", member},
        {"PATCH /api/v1/projects/{id}", member},
        {"DELETE /api/v1/projects/{id}", member},
    };
    return all;
}

right right_of(const operation_of_document& operation) {
    if (!operation.token) {
        return right::anybody;
    }
    return operation.operators ? right::operators : rights().at(operation.name);
}

/// Of one operation and place ("all": of all at once), for those who may; the reason why it is not
/// what that kind of place is refused with everywhere else.
struct exception {
    std::string operation;
    std::string where;
    std::vector<std::string> outcomes;
    std::string reason;
    std::vector<caller> only{};  ///< empty: everybody who may
};

const std::vector<exception>& exceptions() {
    static const std::vector<exception> all{
        {"POST /api/v1/auth/register",
         "header/Idempotency-Key",
         {"422 idempotency_key_reused"},
         "all callers without a token share one scope"},
        {"POST /api/v1/auth/register", "body/email", {"409 email_taken"}, "stated"},
        {"POST /api/v1/auth/register", "body/tenant_slug", {"409 slug_taken"}, "stated"},
        {"POST /api/v1/auth/register",
         "all",
         {"422 idempotency_key_reused"},
         "the key is looked at first"},
        {"GET /api/v1/registrations/{registration_id}",
         "path/registration_id",
         {"200"},
         "the id is the credential"},
        {"POST /api/v1/registrations/{registration_id}/retry",
         "path/registration_id",
         {"409 not_failed"},
         "the id is the credential, and B is set up"},
        {"POST /api/v1/auth/verify-email",
         "body/token",
         {"400 invalid_token_value"},
         "the code for a token of a mail"},
        {"POST /api/v1/auth/resend-verification", "body/email", {"202"}, "always, by contract"},
        {"POST /api/v1/auth/forgot-password", "body/email", {"202"}, "always, by contract"},
        {"POST /api/v1/auth/logout", "body/refresh_token", {"204"}, "always, by contract"},
        {"POST /api/v1/auth/login",
         "header/X-Tenant-Slug",
         {"401 invalid_credentials"},
         "like a wrong password: nothing else is told before a right one"},
        {"POST /api/v1/auth/login", "body/email", {"401 invalid_credentials"}, "as above"},
        {"POST /api/v1/auth/login", "body/tenant_slug", {"401 invalid_credentials"}, "as above"},
        {"POST /api/v1/auth/login", "all", {"401 invalid_credentials"}, "as above"},
        {"POST /api/v1/auth/refresh",
         "body/refresh_token",
         {"401 invalid_refresh_token"},
         "the code for it"},
        {"POST /api/v1/auth/reset-password",
         "body/token",
         {"400 invalid_token_value"},
         "the code for a token of a mail"},
        {"POST /api/v1/invites/preview", "body/token", {"404 not_found"}, "no invitation has it"},
        {"POST /api/v1/invites/accept", "body/token", {"404 not_found"}, "no invitation has it"},
        {"POST /api/v1/invites/accept",
         "header/X-Tenant-Slug",
         {"404 not_found"},
         "nobody has a tenant with which it could agree; the invitation was withdrawn",
         {caller::nobody}},
        {"POST /api/v1/auth/switch-tenant",
         "body/tenant_slug",
         {"404 not_found"},
         "not one of the person's tenants"},
        {"GET /api/v1/tenants/{slug}",
         "header/If-None-Match",
         {"404 not_found"},
         "an operator is in no tenant: A's slug is a foreign one, too",
         {caller::operator_}},
        {"DELETE /api/v1/tenants/{slug}",
         "body/confirm",
         {"422 validation_failed"},
         "compared with the slug in the path, and looked up nowhere"},
        {"POST /api/v1/tenants", "body/slug", {"409 slug_taken"}, "stated"},
        {"DELETE /api/v1/members/{user_id}",
         "header/If-Match",
         {"412 precondition_failed"},
         "a member may leave",
         {caller::member}},
        {"POST /api/v1/invites",
         "body/email",
         {"201", "409 invite_pending"},
         "whoever has an address may be invited, once"},
        {"GET /api/v1/audit/logs", "query/user_id", {"200"}, "a filter: the list is empty"},
        {"GET /api/v1/audit/logs", "all", {"400 invalid_cursor"}, "the cursor is looked at first"},
        {"GET /api/v1/audit/logs/entity/{type}/{id}", "path/id", {"200"}, "the list is empty"},
        {"GET /api/v1/audit/logs/entity/{type}/{id}",
         "all",
         {"400 invalid_cursor"},
         "the cursor is looked at first"},
    };
    return all;
}

std::string place_of(const probe& one) {
    return one.where == nullptr ? "all" : one.where->where;
}

}  // namespace

std::string outcome(const http_answer& answer) {
    auto text = std::to_string(answer.status);
    return answer.status < 400 ? text : text + " " + text_of(parse(answer), "/code");
}

bool may(const operation_of_document& operation, caller who) {
    using enum caller;
    switch (right_of(operation)) {
        case right::anybody:
            return true;
        case right::person:
            return who != nobody;
        case right::own:
            return who != nobody && who != assumed;
        case right::maker:
            return who == member || who == both || who == admin || who == owner;
        case right::member:
            return who != nobody && who != operator_;
        case right::admin:
            return who == admin || who == owner || who == assumed;
        case right::owner:
            return who == owner;
        case right::assumed:
            return who == assumed;
        case right::operators:
            break;
    }
    return who == operator_;
}

std::vector<std::string> outcomes_of(const probe& one) {
    const auto where = place_of(one);
    for (const auto& other : exceptions()) {
        const bool concerned = other.only.empty()
                                   ? may(one.operation, one.who)
                                   : std::ranges::find(other.only, one.who) != other.only.end();
        if (other.operation == one.operation.name && other.where == where && concerned) {
            return other.outcomes;
        }
    }
    if (where == "header/X-Tenant-Slug") {
        return {"403 tenant_mismatch"};
    }
    if (!may(one.operation, one.who)) {
        return {"403 forbidden"};
    }
    if (where.starts_with("path/") ||
        (where == "all" && one.operation.path.find('{') != std::string::npos)) {
        return {"404 not_found"};
    }
    if (where == "query/cursor") {
        return {"400 invalid_cursor"};
    }
    if (where == "header/If-Match") {
        return {"412 precondition_failed"};
    }
    if (where == "header/If-None-Match") {
        return {"200"};
    }
    return {"say in isolation_refusals.cpp what it is answered, and why"};
}

std::vector<std::string> unruled(const std::vector<operation_of_document>& operations) {
    std::vector<std::string> wrong;
    std::set<std::string> known;
    std::set<std::string> places{};
    for (const auto& one : operations) {
        known.insert(one.name);
        for (const auto& where : one.places) {
            places.insert(one.name + ", " + where);
        }
        if (one.token && !one.operators && !rights().contains(one.name)) {
            wrong.push_back("who may do it: " + one.name);
        }
    }
    for (const auto& [name, who] : rights()) {
        if (!known.contains(name)) {
            wrong.push_back("not in the document: " + name);
        }
    }
    for (const auto& one : exceptions()) {
        const auto name = one.operation + ", " + one.where;
        if (one.where == "all" ? !known.contains(one.operation) : !places.contains(name)) {
            wrong.push_back("not in the document: " + name);
        }
        if (one.reason.empty()) {
            wrong.push_back("no reason given: " + name);
        }
    }
    for (const auto& [name, other] : own_outcomes()) {
        if (!known.contains(name) || other.second.empty()) {
            wrong.push_back("not in the document, or without a reason: " + name);
        }
    }
    return wrong;
}

const std::map<std::string, std::pair<std::string, std::string>>& own_outcomes() {
    static const std::map<std::string, std::pair<std::string, std::string>> all{
        {"POST /api/v1/registrations/{registration_id}/retry",
         {"409 not_failed", "A is set up; a retry of one that failed is in registration_test.cpp"}},
    };
    return all;
}

}  // namespace insula::test
