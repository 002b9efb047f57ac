#include "etag.hpp"
#include "handlers.hpp"
#include "schemas.hpp"

#include "insula/identity/tenant_life.hpp"

namespace insula::api {
http::response answer_tenant(const identity::tenant_view& tenant) {
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
    return http::response::json(200, std::move(text)).set("ETag", etag(tenant.version));
}

answer read_tenant(user_context& c) {
    const auto tenant = co_await identity::read_tenant(c.app.identity, c.who.subject,
                                                       c.request.params[0], c.request.deadline);
    if (!tenant) {
        co_return tenant.error();
    }
    if (not_modified(c.request, tenant->version)) {
        co_return http::response(304, {}, {}).set("ETag", etag(tenant->version));
    }
    co_return answer_tenant(*tenant);
}

namespace schema {

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
