#include "insula/identity/users.hpp"

#include "people.hpp"

#include "insula/core/json_writer.hpp"
#include "insula/identity/run_change.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement read_one{
    "users.read",
    "select id, email, full_name, email_verified_at is not null, created_at, updated_at,"
    " version from control.account where id = $1 and active and released_at is null"};
// The audit row is written by the statement that changes, once for the row it changed.
constexpr pg::statement rename_one{
    "users.rename",
    "with changed as (update control.account set full_name = $2, version = version + 1, updated_at "
    "= now()"
    "  where id = $1 and active and released_at is null and ($3::integer[] is null or version = "
    "any ($3))"
    "  returning id, email, full_name, email_verified_at is not null, created_at, updated_at, "
    "version),"
    " logged as (insert into control.audit_log (id, tenant_id, user_id, operator_user_id, action, "
    "entity_type,"
    "  entity_id, changes, ip, request_id)"
    "  select $4, $5, $1, $6, 'user.update', 'user', id::text, $7::jsonb, $8, $9 from changed)"
    " select * from changed"};
constexpr pg::statement tenant_of_member{
    "users.tenant",
    "select t.id, t.slug, t.name, t.status, m.role, t.created_at, t.version from control.tenant t"
    " join control.membership m on m.tenant_id = t.id and m.user_id = $1 and m.status = 'active'"
    " where t.slug = $2 and t.status not in ('failed', 'gone')"};
constexpr pg::statement tenants_of_user{
    "users.tenants",
    "select t.id, t.slug, t.name, t.status, m.role, m.created_at from control.membership m"
    " join control.tenant t on t.id = m.tenant_id and t.status <> 'gone'"
    " where m.user_id = $1 and m.status <> 'removed'"
    " and ($2::timestamptz is null or (m.created_at, t.id) < ($2, $3::uuid))"
    " order by m.created_at desc, t.id desc limit $4"};
constexpr pg::statement assert_admin{
    "tenants.assert_admin", "select control.assert_role($1, $2::bigint::integer, $3, $4, 'admin')"};
// Behind the tenant's lock, which the assertion holds.
constexpr pg::statement rename_own{
    "tenants.rename",
    "with changed as (update control.tenant set name = $2, version = version + 1"
    "  where id = $1 and ($3::integer[] is null or version = any ($3)) returning id)"
    " insert into control.audit_log (id, tenant_id, user_id, operator_user_id, action, entity_type,"
    "  entity_id, changes, ip, request_id)"
    " select $4, id, $5, $6, 'tenant.update', 'tenant', id::text, $7::jsonb, $8, $9 from changed"
    " returning id"};
constexpr pg::statement read_own{
    "tenants.read",
    "select t.id, t.slug, t.name, t.status, m.role, t.created_at, t.version from control.tenant t"
    " join control.membership m on m.tenant_id = t.id and m.user_id = $2 where t.id = $1"};

user to_user(const pg::row& row) {
    return {row.get<user_id>(0),     row.get<std::string>(1), row.get<std::string>(2),
            row.get<bool>(3),        row.get<timestamp>(4),   row.get<timestamp>(5),
            row.get<std::int32_t>(6)};
}

tenant_view to_tenant(const pg::row& row) {
    return {row.get<tenant_id>(0),
            row.get<std::string>(1),
            row.get<std::string>(2),
            tenancy::parse_tenant_status(row.get<std::string_view>(3)),
            token::parse_role(row.get<std::string_view>(4)).value_or(token::role::none),
            row.get<timestamp>(5),
            row.get<std::int32_t>(6)};
}

}  // namespace

runtime::awaitable<result<user>> read_user(context& with, user_id id, runtime::deadline until) {
    pg::unit work;
    work.add(read_one, id);
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    if (answer->front().empty()) {
        co_return error(errc::not_found, "The account no longer exists.");
    }
    co_return to_user(answer->front().front());
}

runtime::awaitable<result<user>> rename_user(context& with, const token::claims& who,
                                             const person_name& full_name,
                                             std::optional<std::vector<std::int32_t>> if_versions,
                                             caller from) {
    std::string changes;
    json_writer(changes).begin_object().member("full_name", full_name).end_object();
    const auto audited = audit_id::make();
    pg::unit work;
    add_assert_session(work, who);
    work.add(rename_one, who.subject, full_name, if_versions, audited, who.tenant, who.actor,
             changes, from.ip, from.request_id);
    pg::unit read_again;
    read_again.add(read_one, who.subject);
    work.append(read_again);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until,
                                    std::move(read_again));
    if (!done) {
        co_return tenancy::to_error(done.error());
    }
    // Both end with the account as it is: the change's own row, or what was read behind it.
    const auto& changed = done->answers[1];
    if (!changed.empty()) {
        co_return to_user(changed.front());
    }
    if (done->answers.back().empty()) {
        co_return error(errc::not_found, "The account no longer exists.");
    }
    co_return error(errc::precondition_failed, "The account has changed since; read it again.");
}

runtime::awaitable<result<tenant_view>> read_tenant(context& with, user_id reader,
                                                    std::string_view slug,
                                                    runtime::deadline until) {
    pg::unit work;
    work.add(tenant_of_member, reader, slug);
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    if (answer->front().empty()) {
        co_return error(errc::not_found, "There is no such tenant, or you are not a member of it.");
    }
    co_return to_tenant(answer->front().front());
}

runtime::awaitable<result<tenant_view>> rename_tenant(
    context& with, const token::claims& who, const tenant_name& name,
    std::optional<std::vector<std::int32_t>> if_versions, caller from) {
    std::string changes;
    json_writer(changes).begin_object().member("name", name).end_object();
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(assert_admin, who.session, who.session_version, who.subject, *who.tenant);
    work.add(rename_own, *who.tenant, name, if_versions, audited, who.subject, who.actor, changes,
             from.ip, from.request_id);
    pg::unit read_again;
    read_again.add(read_own, *who.tenant, who.subject);
    work.append(read_again);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until,
                                    std::move(read_again));
    if (!done) {
        co_return refused_people(done.error(), no_such_member());
    }
    if (!done->looked_up && done->answers[1].empty()) {
        co_return error(errc::precondition_failed, "The tenant has changed since; read it again.");
    }
    co_return to_tenant(done->answers.back().only());
}

runtime::awaitable<result<std::vector<tenant_of_user>>> list_tenants_of_user(
    context& with, user_id user, std::optional<tenant_of_user_position> after, int limit,
    runtime::deadline until) {
    pg::unit work;
    work.add(tenants_of_user, user, after ? std::optional(after->joined_at) : std::nullopt,
             after ? std::optional(after->id) : std::nullopt, static_cast<std::int64_t>(limit));
    const auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    std::vector<tenant_of_user> found;
    for (const auto row : answer->front()) {
        found.push_back(
            {row.get<tenant_id>(0), row.get<std::string>(1), row.get<std::string>(2),
             tenancy::parse_tenant_status(row.get<std::string_view>(3)),
             token::parse_role(row.get<std::string_view>(4)).value_or(token::role::none),
             row.get<timestamp>(5)});
    }
    co_return found;
}

}  // namespace insula::identity
