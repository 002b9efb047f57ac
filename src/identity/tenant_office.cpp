// What operators do to tenants.

#include "taken.hpp"
#include "tenant_changes.hpp"

#include "insula/identity/run_change.hpp"
#include "insula/identity/tenant_life.hpp"

namespace insula::identity {
namespace {

#define INSULA_TENANT_RECORD                                                       \
    "select id, slug, name, status, cell, schema_version, version, failure_code, " \
    "failure_detail, purge_at, deletion_run, created_at, updated_at from control.tenant"

constexpr pg::statement assert_operator{
    "tenant.assert_operator", "select control.assert_operator($1, $2::bigint::integer, $3)"};
constexpr pg::statement read_record{"tenant.record", INSULA_TENANT_RECORD " where id = $1"};
constexpr pg::statement list_records{
    "tenant.list", INSULA_TENANT_RECORD
    " where ($1::text is null or status = $1)"
    " and ($2::text is null or position(lower($2) in lower(slug)) > 0"
    "  or position(lower($2) in lower(name)) > 0 or id::text = lower($2))"
    " and ($3::timestamptz is null or (created_at, id) < ($3, $4::uuid))"
    " order by created_at desc, id desc limit $5"};
constexpr pg::statement find_by_slug{
    "tenant.by_slug",
    "select id from control.tenant where slug = $1 and status <> 'gone'"
    " order by status = 'failed' or restore_status is not distinct from 'failed',"
    " created_at desc limit 1"};
constexpr pg::statement change_status{"tenant.change_status",
                                      "select control.change_tenant_status($1, $2, $3)"};
constexpr pg::statement registration_of{
    "tenant.registration_of",
    "select t.id, r.user_id, t.cell, r.new_account from control.tenant t"
    " left join control.registration r on r.tenant_id = t.id where t.id = $1"
    " order by r.created_at desc limit 1"};

tenant_record to_record(const pg::row& row) {
    return {.id = row.get<tenant_id>(0),
            .slug = row.get<std::string>(1),
            .name = row.get<std::string>(2),
            .status = tenancy::parse_tenant_status(row.get<std::string_view>(3)),
            .cell = row.get<std::int32_t>(4),
            .schema_version = row.get<std::int32_t>(5),
            .version = row.get<std::int32_t>(6),
            .failure_code = row.get<std::optional<std::string>>(7).value_or(""),
            .failure_detail = row.get<std::optional<std::string>>(8).value_or(""),
            .purge_at = row.get<std::optional<timestamp>>(9),
            .deletion_run = row.get<std::optional<run_id>>(10),
            .created_at = row.get<timestamp>(11),
            .updated_at = row.get<timestamp>(12)};
}

error no_such_tenant() {
    return {errc::not_found, "There is no such tenant."};
}

/// A unit that begins with the question whether `by` may do this at all.
pg::unit unit_of(const actor& by) {
    pg::unit work;
    if (by.who()) {
        add_assert_operator(work, *by.who());
    }
    return work;
}

named_by name_of(const actor& by) {
    return {.user = {},
            .operator_user = by.who() ? std::optional(by.who()->subject) : std::nullopt};
}

/// The unit's last statement reads the tenant as the others have left it. `explain` says what a
/// refusal means.
runtime::awaitable<result<tenant_record>> change(tenant_office with, pg::unit work,
                                                 audit_id audited, tenant_id tenant,
                                                 runtime::deadline until,
                                                 error (*explain)(const pg::pg_error&)) {
    pg::unit read_again;
    read_again.add(read_record, tenant);
    work.append(read_again);
    auto done =
        co_await run_change(with.control, std::move(work), audited, until, std::move(read_again));
    if (!done) {
        co_return explain(done.error());
    }
    if (done->answers.back().empty()) {
        co_return no_such_tenant();
    }
    if (with.tasks != nullptr) {
        with.tasks->wake();
    }
    if (with.revoked != nullptr) {
        co_await with.revoked->catch_up(until);
    }
    co_return to_record(done->answers.back().front());
}

}  // namespace

void add_assert_operator(pg::unit& unit, const token::claims& who) {
    unit.add(assert_operator, who.session, who.session_version, who.subject);
}

runtime::awaitable<result<std::vector<tenant_record>>> list_tenants(tenant_office with, actor by,
                                                                    tenant_filter which,
                                                                    runtime::deadline until) {
    auto work = unit_of(by);
    std::optional<std::string_view> status;
    std::optional<timestamp> before;
    std::optional<tenant_id> before_id;
    if (which.status) {
        status = tenancy::name(*which.status);
    }
    if (which.after) {
        before = which.after->created_at;
        before_id = which.after->id;
    }
    work.add(list_records, status, which.q, before, before_id,
             static_cast<std::int64_t>(which.limit));
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    std::vector<tenant_record> all;
    for (const auto row : answer->back()) {
        all.push_back(to_record(row));
    }
    co_return all;
}

runtime::awaitable<result<tenant_record>> show_tenant(tenant_office with, actor by,
                                                      tenant_id tenant, runtime::deadline until) {
    auto work = unit_of(by);
    work.add(read_record, tenant);
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    if (answer->back().empty()) {
        co_return no_such_tenant();
    }
    co_return to_record(answer->back().front());
}

runtime::awaitable<result<tenant_id>> find_tenant(tenant_office with, actor by,
                                                  std::string_view slug, runtime::deadline until) {
    auto work = unit_of(by);
    work.add(find_by_slug, slug);
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    if (answer->back().empty()) {
        co_return no_such_tenant();
    }
    co_return answer->back().scalar<tenant_id>();
}

runtime::awaitable<result<tenant_record>> suspend_tenant(tenant_office with, actor by,
                                                         tenant_id tenant, caller from) {
    auto work = unit_of(by);
    work.add(change_status, tenant, std::string_view("ready"), std::string_view("suspended"));
    const auto audited = audit_change(work, "tenant.suspend", tenant, name_of(by), from);
    return change(with, std::move(work), audited, tenant, from.until, tenancy::to_error);
}

runtime::awaitable<result<tenant_record>> resume_tenant(tenant_office with, actor by,
                                                        tenant_id tenant, caller from) {
    auto work = unit_of(by);
    work.add(change_status, tenant, std::string_view("suspended"), std::string_view("ready"));
    const auto audited = audit_change(work, "tenant.resume", tenant, name_of(by), from);
    return change(with, std::move(work), audited, tenant, from.until, tenancy::to_error);
}

runtime::awaitable<result<tenant_record>> retry_tenant(tenant_office with, actor by,
                                                       tenant_id tenant, caller from) {
    auto look = unit_of(by);
    look.add(registration_of, tenant);
    auto found = co_await with.control.run(std::move(look), from.until);
    if (!found) {
        co_return tenancy::to_error(found.error());
    }
    if (found->back().empty()) {
        co_return no_such_tenant();
    }
    const auto row = found->back().front();
    if (row.is_null(1)) {
        co_return error(errc::not_failed, "Nothing is left of the tenant's registration.");
    }
    auto work = unit_of(by);
    add_retry(work, provisioning_of(row));
    const auto audited = audit_change(work, "tenant.update", tenant, name_of(by), from,
                                      R"({"status":"provisioning"})");
    co_return co_await change(with, std::move(work), audited, tenant, from.until, retry_refused);
}

runtime::awaitable<result<tenant_record>> delete_tenant(tenant_office with, actor by,
                                                        tenant_id tenant, bool immediately,
                                                        caller from) {
    auto work = unit_of(by);
    add_deletion(work, tenant, with.deletion_grace, immediately);
    const auto audited =
        audit_change(work, "tenant.delete", tenant, name_of(by), from,
                     immediately ? R"({"status":"pending_deletion","immediately":true})"
                                 : R"({"status":"pending_deletion"})");
    return change(with, std::move(work), audited, tenant, from.until, tenancy::to_error);
}

runtime::awaitable<result<tenant_record>> restore_tenant(tenant_office with, actor by,
                                                         tenant_id tenant, caller from) {
    auto work = unit_of(by);
    add_restore(work, tenant);
    const auto audited = audit_change(work, "tenant.restore", tenant, name_of(by), from);
    return change(with, std::move(work), audited, tenant, from.until, taken);
}

}  // namespace insula::identity
