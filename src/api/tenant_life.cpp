// A tenant that its members make, delete and take back.

#include "insula/identity/tenant_life.hpp"

#include "authenticate.hpp"
#include "handlers.hpp"
#include "idempotency.hpp"
#include "schemas.hpp"

namespace insula::api {
namespace {

struct confirmation {
    std::string confirm;
};
BOOST_DESCRIBE_STRUCT(confirmation, (), (confirm))

/// As for a tenant of somebody else and for a slug that does not exist.
error no_such_tenant() {
    return {errc::not_found, "There is no such tenant, or you are not a member of it."};
}

/// Whose tenants there are is for their owners to decide, and for operators under their own names
/// (/admin/tenants).
result<> not_by_operator(const user_context& c) {
    if (c.who.actor) {
        return error(errc::forbidden,
                     "Not with an assumed identity: an operator makes no tenants, and deletes and "
                     "restores them as an operator, below /api/v1/admin/tenants.");
    }
    return {};
}

creation_answer to_answer(const identity::tenant_form& form, const identity::created_tenant& made) {
    creation_answer first{
        .status = 202, .location = registration_url(made.registration_id.view()), .body = {}};
    json_writer out(first.body);
    out.begin_object()
        .member("registration_id", made.registration_id.view())
        .member("status_url", first.location);
    out.key("tenant")
        .begin_object()
        .member("id", made.tenant)
        .member("slug", form.slug)
        .member("name", form.name)
        .member("status", tenancy::name(tenancy::tenant_status::provisioning))
        .end_object();
    out.end_object();
    return first;
}

}  // namespace

error wrong_confirmation() {
    return error::validation("/confirm", "mismatch", "must be the slug of the tenant");
}

answer create_tenant(user_context& c) {
    if (auto own = not_by_operator(c); !own) {
        co_return own.error();
    }
    if (!c.tenant) {
        co_return error(errc::forbidden,
                        "An operator's token makes no tenants: log in with the slug of one.");
    }
    auto key = idempotency_of(c);
    if (!key) {
        co_return key.error();
    }
    auto form = body<identity::tenant_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    const auto again = co_await repeated(c, *key);
    if (!again) {
        co_return again.error();
    }
    if (!*again) {  // each is a schema, a role and a run
        if (auto rate = within_rate(c.app, "tenants", c.who.subject.str()); !rate) {
            co_return rate.error();
        }
    }
    identity::once_only<identity::created_tenant> once;
    if (*key) {
        once = {&**key, [&form](const auto& made) { return to_answer(*form, made).stored(); }};
    }
    const auto made =
        co_await identity::create_tenant(c.app.identity, c.who, *form, c.caller(), std::move(once));
    if (*key && (*key)->answered()) {
        co_return co_await give_again(c, **key);
    }
    if (!made) {
        co_return made.error();
    }
    co_return to_answer(*form, *made).at(made->created_at);
}

answer delete_tenant(owner_context& c) {
    if (auto own = not_by_operator(c); !own) {
        co_return own.error();
    }
    const auto form = body<confirmation>(c.request);
    if (!form) {
        co_return form.error();
    }
    if (c.request.params[0] != c.tenant->slug) {
        co_return no_such_tenant();
    }
    if (form->confirm != c.tenant->slug) {
        co_return wrong_confirmation();
    }
    const auto deletion = co_await identity::request_deletion(c.app.identity, c.who, c.caller());
    if (!deletion) {
        co_return deletion.error();
    }
    std::string text;
    json_writer(text)
        .begin_object()
        .member("status", tenancy::name(tenancy::tenant_status::pending_deletion))
        .member("purge_at", deletion->purge_at)
        .end_object();
    co_return http::response::json(202, std::move(text));
}

answer restore_tenant(owner_context& c) {
    if (auto own = not_by_operator(c); !own) {
        co_return own.error();
    }
    if (c.request.params[0] != c.tenant->slug) {
        co_return no_such_tenant();
    }
    const auto restored = co_await identity::restore_tenant(c.app.identity, c.who, c.caller());
    if (!restored) {
        co_return restored.error();
    }
    co_return answer_tenant(c.request, *restored);
}

namespace schema {

boost::json::object tenant_form() {
    return schema_of<identity::tenant_form>();
}
boost::json::object created_tenant() {
    return of({{"registration_id", text()},
               {"status_url", text()},
               {"tenant", of({{"id", uuid()},
                              {"slug", text()},
                              {"name", text()},
                              {"status", one_of({"provisioning"})}})}});
}
boost::json::object confirmation() {
    return schema_of<api::confirmation>();
}
boost::json::object deletion() {
    return of({{"status", one_of({"pending_deletion"})}, {"purge_at", time()}});
}

}  // namespace schema

}  // namespace insula::api
