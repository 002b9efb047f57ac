#include "insula/identity/users.hpp"

#include "cursor.hpp"
#include "etag.hpp"
#include "handlers.hpp"
#include "query_parameters.hpp"
#include "schemas.hpp"

namespace insula::api {
namespace {

struct user_patch {
    std::optional<person_name> full_name;
};
BOOST_DESCRIBE_STRUCT(user_patch, (), (full_name))

http::response answer_user(const identity::user& user) {
    std::string text;
    json_writer(text)
        .begin_object()
        .member("id", user.id)
        .member("email", user.email)
        .member("full_name", user.full_name)
        .member("email_verified", user.email_verified)
        .member("created_at", user.created_at)
        .member("updated_at", user.updated_at)
        .end_object();
    return http::response::json(200, std::move(text)).set("ETag", etag(user.version));
}

void write_tenant(json_writer& out, const identity::tenant_of_user& tenant) {
    out.begin_object()
        .member("id", tenant.id)
        .member("slug", tenant.slug)
        .member("name", tenant.name)
        .member("status", tenancy::name(tenant.status))
        .member("role", token::name(tenant.role))
        .end_object();
}

}  // namespace

answer read_me(user_context& c) {
    const auto user =
        co_await identity::read_user(c.app.identity, c.who.subject, c.request.deadline);
    if (!user) {
        co_return user.error();
    }
    if (not_modified(c.request, user->version)) {
        co_return http::response(304, {}, {}).set("ETag", etag(user->version));
    }
    co_return answer_user(*user);
}

answer change_me(user_context& c) {
    auto patch = body<user_patch>(c.request);
    if (!patch) {
        co_return patch.error();
    }
    const auto condition = read_if_match(c.request);
    if (!condition) {
        co_return condition.error();
    }
    if (!patch->full_name) {
        co_return error::validation("", "empty_change",
                                    "give at least one member to change: full_name");
    }
    const auto changed = co_await identity::rename_user(
        c.app.identity, c.who, *patch->full_name,
        *condition && !(*condition)->any ? std::optional((*condition)->versions) : std::nullopt,
        c.caller());
    if (!changed) {
        co_return changed.error();
    }
    co_return answer_user(*changed);
}

answer list_my_tenants(user_context& c) {
    if (auto known = only_parameters(c.request, {"limit", "cursor"}); !known) {
        co_return known.error();
    }
    const auto limit = limit_parameter(c.request);
    if (!limit) {
        co_return limit.error();
    }
    // The person's, in whatever tenant the token is.
    const cursor_codec cursors(c.app.identity.keys, "users/me/tenants", tenant_id(),
                               c.who.subject.str());
    const auto after = cursors.read(c.request);
    if (!after) {
        co_return after.error();
    }
    std::optional<identity::tenant_of_user_position> behind;
    if (*after) {
        behind = {(*after)->created_at, tenant_id((*after)->id)};
    }
    const auto found = co_await identity::list_tenants_of_user(
        c.app.identity, c.who.subject, behind, *limit + 1, c.request.deadline);
    if (!found) {
        co_return found.error();
    }
    co_return answer_page(*found, *limit, write_tenant, [&](const identity::tenant_of_user& last) {
        return cursors.write({last.joined_at, last.id.value()});
    });
}

namespace schema {

boost::json::object user() {
    return of({{"id", uuid()},
               {"email", text()},
               {"full_name", text()},
               {"email_verified", boolean()},
               {"created_at", time()},
               {"updated_at", time()}});
}
boost::json::object my_tenant_page() {
    return page_of(of({{"id", uuid()},
                       {"slug", text()},
                       {"name", text()},
                       {"status", one_of({"provisioning", "ready", "failed", "suspended",
                                          "pending_deletion", "deleting"})},
                       {"role", role()}}));
}
boost::json::object user_patch() {
    return schema_of<api::user_patch>();
}

}  // namespace schema

}  // namespace insula::api
