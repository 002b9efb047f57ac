#include "isolation_fittings.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace insula::test {
namespace {

place names(std::string where, thing what) {
    return {.where = std::move(where), .names = what};
}
place narrows(std::string where, thing what) {
    return {.where = std::move(where), .names = what, .always = false};
}
place plain(std::string where, std::string sample, std::string why) {
    return {.where = std::move(where), .sample = std::move(sample), .about = std::move(why)};
}
place plain_if_tried(std::string where, std::string sample, std::string why) {
    auto one = plain(std::move(where), std::move(sample), std::move(why));
    one.always = false;
    return one;
}
place holds(std::string where, thing what, std::string why) {
    return {.where = std::move(where),
            .names = what,
            .about = std::move(why),
            .demanded = rule::capability};
}
place shows(std::string where, thing what, std::string why) {
    auto one = holds(std::move(where), what, std::move(why));
    one.demanded = rule::held;
    return one;
}
place except(std::string where, thing what, std::string why) {
    return {.where = std::move(where),
            .names = what,
            .about = std::move(why),
            .demanded = rule::stated,
            .free = true};
}
place noted(place one, std::vector<std::string> tables, std::string why) {
    one.leaves = std::move(tables);
    one.about = std::move(why);
    return one;
}
place made_by_acts(std::string where, thing what) {
    return {.where = std::move(where),
            .names = what,
            .about = "a valid call makes something",
            .demanded = rule::by_acts,
            .always = false};
}

place header_slug() {
    return narrows("header/X-Tenant-Slug", thing::slug);
}
place if_match() {
    return narrows("header/If-Match", thing::entity_tag);
}
place if_none_match() {
    return narrows("header/If-None-Match", thing::entity_tag);
}
place limit() {
    return plain_if_tried("query/limit", "1", "a number");
}
place cursor() {
    return narrows("query/cursor", thing::cursor);
}
place password(std::string where) {
    return plain(std::move(where), std::string(good_password), "a secret of the caller's own");
}
place role() {
    return plain("body/role", "member", "one of three words");
}
place text(std::string where) {
    return plain(std::move(where), "taken over {fresh}", "a text of the caller's own");
}

place invited(std::string where) {
    auto one = noted(names(std::move(where), thing::email),
                     {"+control.invite", "+control.audit_log", "queue."},
                     "A's invitation, A's log of it, and a mail to whom it is for");
    one.free = true;
    return one;
}

/// The queue's rows come and go with the mail that is asked for.
const std::vector<std::string> mail_and_tasks{"control.mail_token", "queue."};

std::vector<fitting> anonymous_fittings() {
    return {
        {"POST /api/v1/auth/register",
         {{.where = "header/Idempotency-Key",
           .names = thing::idempotency_key,
           .about = "nobody is logged in, so all callers share one scope: 422 for another body",
           .demanded = rule::stated,
           .always = false},
          except("body/email", thing::email, "email_taken"),
          password("body/password"),
          text("body/full_name"),
          text("body/tenant_name"),
          except("body/tenant_slug", thing::slug, "slug_taken")}},
        {"GET /api/v1/registrations/{registration_id}",
         {shows("path/registration_id", thing::registration, "the registrant's own 128 bits"),
          plain_if_tried("query/wait", "0", "a number")}},
        {"POST /api/v1/registrations/{registration_id}/retry",
         {shows("path/registration_id", thing::registration, "the registrant's own 128 bits")}},
        {"POST /api/v1/auth/verify-email",
         {holds("body/token", thing::verification_token, "of a mail to its owner")}},
        {"POST /api/v1/auth/resend-verification",
         {noted(names("body/email", thing::email), mail_and_tasks, "a mail to its owner")}},
        {"POST /api/v1/auth/login",
         {noted(header_slug(), {"+control.audit_log"}, "a failed log-in is noted"),
          noted(names("body/email", thing::email), {"+control.audit_log"},
                "a failed log-in is noted where the person is a member"),
          password("body/password"),  // the right one, of A's owner
          noted(narrows("body/tenant_slug", thing::slug), {"+control.audit_log"},
                "a failed log-in is noted")}},
        {"POST /api/v1/auth/refresh",
         {holds("body/refresh_token", thing::refresh_token, "of a session of its owner")}},
        {"POST /api/v1/auth/logout",
         {holds("body/refresh_token", thing::refresh_token, "of a session of its owner")}},
        {"POST /api/v1/auth/forgot-password",
         {noted(names("body/email", thing::email), mail_and_tasks, "a mail to its owner")}},
        {"POST /api/v1/auth/reset-password",
         {holds("body/token", thing::reset_token, "of a mail to its owner"),
          password("body/new_password")}},
        {"POST /api/v1/invites/preview",
         {holds("body/token", thing::invite_token, "of a mail to who is invited")}},
        {"POST /api/v1/invites/accept",
         {header_slug(), holds("body/token", thing::invite_token, "of a mail to who is invited"),
          password("body/password"), text("body/full_name")}},
        {"GET /livez", {}},
        {"GET /readyz", {}},
        {"GET /metrics", {}},
        {"GET /openapi.json", {}},
        {"GET /docs", {}},
        {"GET /.well-known/jwks.json", {}},
        {"GET /.well-known/openid-configuration", {}},
    };
}

std::vector<fitting> fittings_of_persons() {
    return {
        {"POST /api/v1/auth/logout-all", {header_slug()}},
        {"GET /api/v1/auth/sessions", {limit(), cursor(), header_slug()}},
        {"DELETE /api/v1/auth/sessions/{id}", {names("path/id", thing::session), header_slug()}},
        {"POST /api/v1/auth/switch-tenant",
         {header_slug(), names("body/tenant_slug", thing::slug)}},
        {"POST /api/v1/auth/change-password",
         {header_slug(), password("body/current_password"), password("body/new_password")}},
        {"GET /api/v1/users/me", {if_none_match(), header_slug()}},
        {"PATCH /api/v1/users/me", {if_match(), header_slug(), text("body/full_name")}},
        {"GET /api/v1/users/me/tenants", {limit(), cursor(), header_slug()}},
        {"GET /api/v1/tenants/{slug}",
         {names("path/slug", thing::slug), if_none_match(), header_slug()}},
        {"PATCH /api/v1/tenants/{slug}",
         {names("path/slug", thing::slug), if_match(), header_slug(), text("body/name")}},
        {"DELETE /api/v1/tenants/{slug}",
         {names("path/slug", thing::slug), header_slug(), names("body/confirm", thing::slug)}},
        {"POST /api/v1/tenants",
         {made_by_acts("header/Idempotency-Key", thing::idempotency_key), header_slug(),
          text("body/name"), except("body/slug", thing::slug, "slug_taken")}},
        {"POST /api/v1/tenants/{slug}/restore", {names("path/slug", thing::slug), header_slug()}},
    };
}

std::vector<fitting> fittings_of_members() {
    return {
        {"GET /api/v1/members", {limit(), cursor(), header_slug()}},
        {"GET /api/v1/members/{user_id}",
         {names("path/user_id", thing::user), if_none_match(), header_slug()}},
        {"PATCH /api/v1/members/{user_id}",
         {names("path/user_id", thing::user), if_match(), header_slug(), role()}},
        {"DELETE /api/v1/members/{user_id}",
         {names("path/user_id", thing::user), if_match(), header_slug()}},
        {"GET /api/v1/invites", {limit(), cursor(), header_slug()}},
        {"POST /api/v1/invites",
         {made_by_acts("header/Idempotency-Key", thing::idempotency_key), header_slug(),
          invited("body/email"), role()}},
        {"GET /api/v1/invites/{id}", {names("path/id", thing::invite), header_slug()}},
        {"DELETE /api/v1/invites/{id}", {names("path/id", thing::invite), header_slug()}},
        {"POST /api/v1/invites/{id}/resend", {names("path/id", thing::invite), header_slug()}},
        {"GET /api/v1/audit/logs",
         {plain_if_tried("query/action", "project.create", "a word"),
          narrows("query/user_id", thing::user), limit(), cursor(), header_slug()}},
        {"GET /api/v1/audit/logs/entity/{type}/{id}",
         {plain("path/type", "project", "a word"), names("path/id", thing::project), limit(),
          cursor(), header_slug()}},
        {"GET /api/v1/projects", {limit(), cursor(), header_slug()}},
        {"POST /api/v1/projects",
         {made_by_acts("header/Idempotency-Key", thing::idempotency_key), header_slug(),
          text("body/name"), text("body/description")}},
        {"GET /api/v1/projects/{id}",
         {names("path/id", thing::project), if_none_match(), header_slug()}},
        {"PATCH /api/v1/projects/{id}",
         {names("path/id", thing::project), if_match(), header_slug(), text("body/name"),
          text("body/description")}},
        {"DELETE /api/v1/projects/{id}",
         {names("path/id", thing::project), if_match(), header_slug()}},
    };
}

/// For operators: no token of a tenant may do any of it, whatever it names.
std::vector<fitting> fittings_of_operators() {
    const auto tenant = names("path/id", thing::tenant);
    const auto task = names("path/id", thing::task);
    return {
        {"GET /api/v1/admin/tenants",
         {plain_if_tried("query/status", "ready", "a word"), narrows("query/q", thing::slug),
          limit(), cursor(), header_slug()}},
        {"GET /api/v1/admin/tenants/{id}", {tenant, header_slug()}},
        {"DELETE /api/v1/admin/tenants/{id}",
         {tenant, header_slug(), names("body/confirm", thing::slug),
          plain("body/immediately", "true", "a yes or no")}},
        {"POST /api/v1/admin/tenants/{id}/suspend", {tenant, header_slug()}},
        {"POST /api/v1/admin/tenants/{id}/resume", {tenant, header_slug()}},
        {"POST /api/v1/admin/tenants/{id}/retry", {tenant, header_slug()}},
        {"GET /api/v1/admin/tasks",
         {plain_if_tried("query/kind", "tenant.provision", "a word"),
          plain_if_tried("query/status", "done", "a word"),
          narrows("query/tenant_id", thing::tenant), limit(), cursor(), header_slug()}},
        {"GET /api/v1/admin/tasks/{id}", {task, header_slug()}},
        {"POST /api/v1/admin/tasks/{id}/retry", {task, header_slug()}},
        {"POST /api/v1/admin/tasks/{id}/cancel", {task, header_slug()}},
        {"POST /api/v1/admin/tasks/{id}/skip", {task, header_slug()}},
        {"POST /api/v1/admin/assume-identity",
         {header_slug(), names("body/user_id", thing::user), names("body/tenant_id", thing::tenant),
          text("body/reason")}},
        {"POST /api/v1/admin/assume-identity/end", {header_slug()}},
    };
}

/// The members of a schema, also below others: "body/name", "body/address/city".
void members_of(const json::object& document, const json::object& maybe_reference,
                const std::string& above, std::vector<std::string>& all) {
    const auto& schema = resolved(document, maybe_reference);
    for (const char* several : {"allOf", "anyOf", "oneOf"}) {
        if (const auto* parts = schema.if_contains(several)) {
            for (const auto& part : parts->as_array()) {
                members_of(document, part.as_object(), above, all);
            }
        }
    }
    if (const auto* items = schema.if_contains("items")) {
        members_of(document, items->as_object(), above + "/*", all);
    }
    if (const auto* properties = schema.if_contains("properties")) {
        for (const auto& member : properties->as_object()) {
            const auto name = above + "/" + std::string(member.key());
            const auto known = all.size();
            members_of(document, member.value().as_object(), name, all);
            if (all.size() == known) {
                all.push_back(name);
            }
        }
    }
}

std::vector<std::string> places_of(const json::object& document, const json::object& operation) {
    std::vector<std::string> all;
    if (const auto* parameters = operation.if_contains("parameters")) {
        for (const auto& one : parameters->as_array()) {
            const auto& parameter = resolved(document, one.as_object());
            all.push_back(std::string(parameter.at("in").as_string()) + "/" +
                          std::string(parameter.at("name").as_string()));
        }
    }
    if (const auto* body = operation.if_contains("requestBody")) {
        for (const auto& media : resolved(document, body->as_object()).at("content").as_object()) {
            members_of(document, media.value().at("schema").as_object(), "body", all);
        }
    }
    return all;
}

bool is_for_operators(const json::object& operation) {
    for (const auto& way : operation.at("security").as_array()) {
        const auto* roles = way.as_object().if_contains("bearer");
        if (roles != nullptr && !roles->as_array().empty() &&
            roles->as_array().front().as_string() == "operator") {
            return true;
        }
    }
    return false;
}

}  // namespace

const std::vector<fitting>& fittings() {
    static const std::vector<fitting> all = [] {
        std::vector<fitting> together;
        for (auto part : {anonymous_fittings(), fittings_of_persons(), fittings_of_members(),
                          fittings_of_operators()}) {
            together.insert(together.end(), part.begin(), part.end());
        }
        return together;
    }();
    return all;
}

const fitting& fitting_of(std::string_view operation) {
    const auto found = std::ranges::find(fittings(), operation, &fitting::operation);
    if (found == fittings().end()) {
        throw std::runtime_error("isolation_fittings.cpp has no " + std::string(operation));
    }
    return *found;
}

std::vector<operation_of_document> operations_of(const json::object& document) {
    std::vector<operation_of_document> all;
    for (const auto& path : document.at("paths").as_object()) {
        for (const auto& entry : path.value().as_object()) {
            const auto& about = entry.value().as_object();
            operation_of_document one;
            one.method = entry.key();
            std::ranges::transform(one.method, one.method.begin(),
                                   [](char c) { return static_cast<char>(c - 'a' + 'A'); });
            one.path = path.key();
            one.name = one.method + " " + one.path;
            one.token = needs_token(about);
            one.operators = is_for_operators(about);
            one.places = places_of(document, about);
            all.push_back(std::move(one));
        }
    }
    return all;
}

std::vector<std::string> unfitted(const json::object& document) {
    std::vector<std::string> wrong;
    std::set<std::string> seen;
    for (const auto& operation : operations_of(document)) {
        seen.insert(operation.name);
        const auto found = std::ranges::find(fittings(), operation.name, &fitting::operation);
        if (found == fittings().end()) {
            wrong.push_back("not fitted: " + operation.name);
            continue;
        }
        for (const auto& where : operation.places) {
            if (std::ranges::find(found->places, where, &place::where) == found->places.end()) {
                wrong.push_back("not fitted: " + operation.name + ", " + where);
            }
        }
        for (const auto& one : found->places) {
            if (std::ranges::find(operation.places, one.where) == operation.places.end()) {
                wrong.push_back("not in the document: " + operation.name + ", " + one.where);
            }
            if ((one.names == thing::none || one.demanded != rule::alike) && one.about.empty()) {
                wrong.push_back("no reason given: " + operation.name + ", " + one.where);
            }
        }
    }
    for (const auto& one : fittings()) {
        if (!seen.contains(one.operation)) {
            wrong.push_back("not in the document: " + one.operation);
        }
    }
    return wrong;
}

}  // namespace insula::test
