#include "insula/identity/members.hpp"

#include "people.hpp"

#include "insula/identity/run_change.hpp"

namespace insula::identity {
namespace {

#define INSULA_MEMBER                                                          \
    "select m.user_id, a.email, a.full_name, m.role, m.created_at, m.version " \
    "from control.membership m join control.account a on a.id = m.user_id "    \
    "where m.tenant_id = $1 and m.status = 'active'"

constexpr pg::statement list{"members.list", INSULA_MEMBER
                             " and ($2::timestamptz is null or (m.created_at, m.user_id) < ($2, "
                             "$3::uuid)) order by m.created_at desc, m.user_id desc limit $4"};
constexpr pg::statement read_one{"members.read", INSULA_MEMBER " and m.user_id = $2"};
// The audit row is written by the statement that changes, and not when the role was that already.
constexpr pg::statement change_role{
    "members.change_role",
    "with changed as (select control.change_member_role($1, $2::bigint::integer, $3, $4, $5, $6,"
    " $7::integer[]) as was)"
    " insert into control.audit_log (id, tenant_id, user_id, operator_user_id, action, entity_type,"
    " entity_id, changes, ip, request_id)"
    " select $8, $4, $3, $9, 'member.role_change', 'member', $5::text,"
    " jsonb_build_object('role', $6::text, 'was', was), $10, $11 from changed where was <> $6"};
constexpr pg::statement remove{
    "members.remove",
    "with removed as (select control.remove_member($1, $2::bigint::integer, $3, $4, $5,"
    " $6::integer[]) as was)"
    " insert into control.audit_log (id, tenant_id, user_id, operator_user_id, action, entity_type,"
    " entity_id, changes, ip, request_id)"
    " select $7, $4, $3, $8, 'member.remove', 'member', $5::text,"
    " jsonb_build_object('was', was), $9, $10 from removed"};

member to_member(const pg::row& row) {
    return {.user = row.get<user_id>(0),
            .email = row.get<std::string>(1),
            .full_name = row.get<std::string>(2),
            .role = token::parse_role(row.get<std::string_view>(3)).value_or(token::role::none),
            .created_at = row.get<timestamp>(4),
            .version = row.get<std::int32_t>(5)};
}

}  // namespace

runtime::awaitable<result<std::vector<member>>> list_members(context& with,
                                                             const token::claims& who,
                                                             std::optional<member_position> after,
                                                             int limit, runtime::deadline until) {
    pg::unit work;
    add_assert_session(work, who);
    work.add(list, *who.tenant, after ? std::optional(after->created_at) : std::nullopt,
             after ? std::optional(after->user) : std::nullopt, static_cast<std::int64_t>(limit));
    const auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    std::vector<member> found;
    for (const auto row : answer->back()) {
        found.push_back(to_member(row));
    }
    co_return found;
}

runtime::awaitable<result<member>> read_member(context& with, const token::claims& who, user_id id,
                                               runtime::deadline until) {
    pg::unit work;
    add_assert_session(work, who);
    work.add(read_one, *who.tenant, id);
    const auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    if (answer->back().empty()) {
        co_return no_such_member();
    }
    co_return to_member(answer->back().front());
}

runtime::awaitable<result<member>> change_member_role(context& with, const token::claims& who,
                                                      member_change what, token::role role,
                                                      caller from) {
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(change_role, who.session, who.session_version, who.subject, *who.tenant, what.member,
             token::name(role), what.if_versions, audited, who.actor, from.ip, from.request_id);
    pg::unit read_again;
    read_again.add(read_one, *who.tenant, what.member);
    work.append(read_again);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until,
                                    std::move(read_again));
    if (!done) {
        co_return refused_people(done.error(), no_such_member());
    }
    co_await with.revoked.catch_up(from.until);
    if (done->answers.back().empty()) {
        co_return no_such_member();  // looked up, and removed since
    }
    co_return to_member(done->answers.back().front());
}

runtime::awaitable<result<>> remove_member(context& with, const token::claims& who,
                                           member_change what, caller from) {
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(remove, who.session, who.session_version, who.subject, *who.tenant, what.member,
             what.if_versions, audited, who.actor, from.ip, from.request_id);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return refused_people(done.error(), no_such_member());
    }
    co_await with.revoked.catch_up(from.until);
    co_return result<>();
}

}  // namespace insula::identity
