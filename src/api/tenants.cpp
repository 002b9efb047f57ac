#include "etag.hpp"
#include "handlers.hpp"
#include "schemas.hpp"

#include "insula/identity/tenant_life.hpp"

namespace insula::api {
namespace {

struct tenant_patch {
    std::optional<insula::tenant_name> name;
};
BOOST_DESCRIBE_STRUCT(tenant_patch, (), (name))

}  // namespace

http::response answer_tenant(const http::request& r, const identity::tenant_view& tenant) {
    std::string text;
    json_writer(text)
        .begin_object()
        .member("id", tenant.id)
        .member("slug", tenant.slug)
        .member("name", tenant.name)
        .member("status", tenancy::name(tenant.status))
        .member("role", token::name(tenant.role))
        .member("created_at", tenant.created_at)
        .end_object();
    return answer_tagged(r, tenant.version, std::move(text));
}

answer read_tenant(user_context& c) {
    const auto tenant = co_await identity::read_tenant(c.app.identity, c.who.subject,
                                                       c.request.params[0], c.request.deadline);
    if (!tenant) {
        co_return tenant.error();
    }
    co_return answer_tenant(c.request, *tenant);
}

answer change_tenant(admin_context& c) {
    auto patch = body<tenant_patch>(c.request);
    if (!patch) {
        co_return patch.error();
    }
    auto condition = read_if_match(c.request);
    if (!condition) {
        co_return condition.error();
    }
    if (!patch->name) {
        co_return error::validation("", "empty_change", "give at least one member to change: name");
    }
    if (c.request.params[0] != c.tenant->slug) {
        co_return error(errc::not_found, "There is no such tenant, or you are not a member of it.");
    }
    const auto changed = co_await identity::rename_tenant(
        c.app.identity, c.who, *patch->name,
        *condition && !(*condition)->any ? std::optional(std::move((*condition)->versions))
                                         : std::nullopt,
        c.caller());
    if (!changed) {
        co_return changed.error();
    }
    co_return answer_tenant(c.request, *changed);
}

namespace schema {

boost::json::object tenant_patch() {
    return schema_of<api::tenant_patch>();
}
boost::json::object tenant() {
    return of(
        {{"id", uuid()},
         {"slug", text()},
         {"name", text()},
         {"status", one_of({"provisioning", "ready", "suspended", "pending_deletion", "deleting"})},
         {"role", one_of({"owner", "admin", "member"})},
         {"created_at", time()}});
}

}  // namespace schema

}  // namespace insula::api
