// What platform operators see of tenants and do to them. That the caller still is an operator is
// asserted by each function of identity, in the unit of its work.

#include "cursor.hpp"
#include "handlers.hpp"
#include "query_parameters.hpp"
#include "schemas.hpp"

#include "insula/api/tenant_record.hpp"

namespace insula::api {
namespace {

struct operator_confirmation {
    std::string confirm;
    std::optional<bool> immediately;
};
BOOST_DESCRIBE_STRUCT(operator_confirmation, (), (confirm, immediately))

http::response answer_record(unsigned status, const identity::tenant_record& tenant) {
    std::string text;
    json_writer out(text);
    write_tenant_record(out, tenant);
    return http::response::json(status, std::move(text));
}

error no_such_tenant() {
    return {errc::not_found, "There is no tenant with this id."};
}

/// The status of `?status=`; nullopt when absent.
result<std::optional<tenancy::tenant_status>> status_parameter(const http::request& r) {
    using enum tenancy::tenant_status;
    static constexpr tenancy::tenant_status all[] = {provisioning,     ready,    failed, suspended,
                                                     pending_deletion, deleting, gone};
    return choice_parameter(r, "status", all, [](auto status) { return tenancy::name(status); });
}

using change = runtime::awaitable<result<identity::tenant_record>> (*)(identity::tenant_office,
                                                                       identity::actor, tenant_id,
                                                                       identity::caller);

answer change_status(operator_context& c, change what, unsigned status) {
    const auto id = tenant_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_tenant();
    }
    const auto changed =
        co_await what(c.app.identity, identity::actor::operator_(c.who), *id, c.caller());
    if (!changed) {
        co_return changed.error();
    }
    co_return answer_record(status, *changed);
}

}  // namespace

void write_tenant_record(json_writer& out, const identity::tenant_record& tenant) {
    out.begin_object()
        .member("id", tenant.id)
        .member("slug", tenant.slug)
        .member("name", tenant.name)
        .member("status", tenancy::name(tenant.status))
        .member("cell", tenant.cell)
        .member("schema_version", tenant.schema_version);
    out.key("error");
    if (tenant.failure_code.empty()) {
        out.null();
    } else {
        out.begin_object()
            .member("code", tenant.failure_code)
            .member("detail", tenant.failure_detail)
            .end_object();
    }
    out.member("purge_at", tenant.purge_at)
        .member("deletion_task_id", tenant.deletion_run)
        .member("created_at", tenant.created_at)
        .member("updated_at", tenant.updated_at)
        .end_object();
}

answer list_all_tenants(operator_context& c) {
    if (auto known = only_parameters(c.request, {"status", "q", "limit", "cursor"}); !known) {
        co_return known.error();
    }
    const auto limit = limit_parameter(c.request);
    if (!limit) {
        co_return limit.error();
    }
    const auto status = status_parameter(c.request);
    if (!status) {
        co_return status.error();
    }
    const auto q = value_parameter<tenant_name>(c.request, "q");
    if (!q) {
        co_return q.error();
    }
    // A status has no line feed in it, so the two cannot be mixed up.
    const cursor_codec cursors(
        c.app.identity.keys, "admin/tenants", tenant_id(),
        std::string(*status ? tenancy::name(**status) : "") + "\n" + (*q ? (*q)->str() : ""));
    const auto after = cursors.read(c.request);
    if (!after) {
        co_return after.error();
    }
    identity::tenant_filter filter;
    filter.status = *status;
    filter.limit = *limit + 1;  // one more tells whether there is a next page
    if (*q) {
        filter.q = (*q)->str();
    }
    if (*after) {
        filter.after = {(*after)->created_at, tenant_id((*after)->id)};
    }
    const auto found = co_await identity::list_tenants(
        c.app.identity, identity::actor::operator_(c.who), std::move(filter), c.request.deadline);
    if (!found) {
        co_return found.error();
    }
    co_return answer_page(*found, *limit, write_tenant_record,
                          [&](const identity::tenant_record& last) {
                              return cursors.write({last.created_at, last.id.value()});
                          });
}

answer read_any_tenant(operator_context& c) {
    const auto id = tenant_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_tenant();
    }
    const auto found = co_await identity::show_tenant(
        c.app.identity, identity::actor::operator_(c.who), *id, c.request.deadline);
    if (!found) {
        co_return found.error();
    }
    co_return answer_record(200, *found);
}

answer suspend_tenant(operator_context& c) {
    return change_status(c, &identity::suspend_tenant, 200);
}

answer resume_tenant(operator_context& c) {
    return change_status(c, &identity::resume_tenant, 200);
}

answer retry_tenant(operator_context& c) {
    return change_status(c, &identity::retry_tenant, 202);
}

answer delete_any_tenant(operator_context& c) {
    const auto form = body<operator_confirmation>(c.request);
    if (!form) {
        co_return form.error();
    }
    const auto id = tenant_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_tenant();
    }
    const auto by = identity::actor::operator_(c.who);
    // The slug of a tenant never changes, so it may be compared before the change begins.
    const auto found = co_await identity::show_tenant(c.app.identity, by, *id, c.request.deadline);
    if (!found) {
        co_return found.error();
    }
    if (form->confirm != found->slug) {
        co_return wrong_confirmation();
    }
    const auto deleted = co_await identity::delete_tenant(
        c.app.identity, by, *id, form->immediately.value_or(false), c.caller());
    if (!deleted) {
        co_return deleted.error();
    }
    co_return answer_record(202, *deleted);
}

namespace schema {

boost::json::object tenant_status() {
    return one_of(
        {"provisioning", "ready", "failed", "suspended", "pending_deletion", "deleting", "gone"});
}
boost::json::object tenant_record() {
    return of({{"id", uuid()},
               {"slug", text()},
               {"name", text()},
               {"status", tenant_status()},
               {"cell", integer()},
               {"schema_version", integer()},
               {"error", nullable(of({{"code", text()}, {"detail", text()}}))},
               {"purge_at", nullable(time())},
               {"deletion_task_id", nullable(uuid())},
               {"created_at", time()},
               {"updated_at", time()}});
}
boost::json::object tenant_record_page() {
    return page_of(tenant_record());
}
boost::json::object operator_confirmation() {
    return schema_of<api::operator_confirmation>();
}
boost::json::object search_text() {
    return tenant_name::schema();
}

}  // namespace schema

}  // namespace insula::api
