#include "insula/identity/sessions.hpp"

#include "open_session.hpp"

#include "insula/identity/run_change.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement assert_signed_in{
    "sessions.assert", "select control.assert_signed_in($1, $2::bigint::integer, $3)"};
constexpr pg::statement end_all{
    "sessions.log_out_everywhere",
    "select control.log_out_everywhere($1, $2::bigint::integer, $3, $4, $5, $6, $7)"};
constexpr pg::statement end_own{
    "sessions.end", "select control.end_own_session($1, $2::bigint::integer, $3, $4, $5, $6, $7)"};
// One that can be refreshed; of those that cannot, no access token lives longer than its 15
// minutes.
constexpr pg::statement list_own{
    "sessions.list",
    "select s.id, t.slug, s.created_at, s.last_used_at, coalesce(s.ip, ''),"
    " coalesce(s.user_agent, '') from control.session s left join control.tenant t"
    " on t.id = s.tenant_id"
    " where s.user_id = $1 and s.ended_at is null and s.operator_user_id is null"
    " and s.expires_at > now() and s.refresh_expires_at > now()"
    " and ($2::timestamptz is null or (s.created_at, s.id) < ($2, $3))"
    " order by s.created_at desc, s.id desc limit $4"};
constexpr pg::statement switch_session{
    "sessions.switch",
    "select status, role, active, ended from"
    " control.switch_session($1, $2::bigint::integer, $3, $4, $5, $6, $7, $8, $9, $10, $11)"};
constexpr pg::statement read_opened{
    "sessions.opened",
    "select tenant_id, slug, name, role, cell, floor(extract(epoch from refresh_left))::bigint,"
    " floor(extract(epoch from session_left))::bigint from control.session_facts($1)"};

error no_such_tenant() {
    return {errc::not_found, "There is no such tenant, or you are not a member of it."};
}

/// Why nothing was made.
std::optional<error> why_not(const pg::result_set& tenant) {
    if (tenant.empty()) {
        return no_such_tenant();
    }
    const auto row = tenant.front();
    const auto role = token::parse_role(row.get<std::string_view>(1)).value_or(token::role::none);
    if (auto refused =
            refuse_by_state(tenancy::parse_tenant_status(row.get<std::string_view>(0)), role)) {
        return refused;
    }
    return row.get<bool>(2) ? std::nullopt : std::optional(no_such_tenant());
}

}  // namespace

void add_assert_signed_in(pg::unit& unit, const token::claims& who) {
    unit.add(assert_signed_in, who.session, who.session_version, who.subject);
}

runtime::awaitable<result<>> log_out_everywhere(context& with, const token::claims& who,
                                                caller from) {
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(end_all, who.session, who.session_version, who.subject, who.tenant, audited, from.ip,
             from.request_id);
    const auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return tenancy::to_error(done.error());
    }
    co_await with.revoked.catch_up(from.until);
    co_return result<>();
}

runtime::awaitable<result<std::vector<session_view>>> list_sessions(
    context& with, user_id who, std::optional<session_position> after, int limit,
    runtime::deadline until) {
    std::optional<timestamp> before;
    std::optional<session_id> before_id;
    if (after) {
        before = after->created_at;
        before_id = after->id;
    }
    pg::unit work;
    work.add(list_own, who, before, before_id, static_cast<std::int64_t>(limit));
    const auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    std::vector<session_view> all;
    for (const auto row : answer->front()) {
        all.push_back({row.get<session_id>(0), row.get<std::optional<std::string>>(1),
                       row.get<timestamp>(2), row.get<timestamp>(3), row.get<std::string>(4),
                       row.get<std::string>(5)});
    }
    co_return all;
}

runtime::awaitable<result<>> end_session(context& with, const token::claims& who, session_id which,
                                         caller from) {
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(end_own, who.session, who.session_version, who.subject, which, audited, from.ip,
             from.request_id);
    const auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return tenancy::to_error(done.error());
    }
    if (!done->looked_up && !done->answers.front().scalar<bool>()) {
        co_return error(errc::not_found, "You have no such session.");
    }
    co_await with.revoked.catch_up(from.until);
    co_return result<>();
}

runtime::awaitable<result<issued_tokens>> switch_tenant(context& with, token_service& tokens,
                                                        const token::claims& who,
                                                        std::string_view slug, caller from) {
    session_facts facts;
    facts.user = who.subject;
    facts.session = session_id::make();
    const auto first = refresh_token::first(with.keys, facts.session);
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(switch_session, who.session, who.session_version, who.subject, slug, facts.session,
             first.stored(), refresh_lifetime, from.ip, from.user_agent, audited, from.request_id);
    pg::unit read_again;
    read_again.add(read_opened, facts.session);
    work.append(read_again);
    const auto done = co_await run_change(with.control, std::move(work), audited, from.until,
                                          std::move(read_again));
    if (!done) {
        co_return tenancy::to_error(done.error());
    }
    if (!done->looked_up) {
        if (auto refused = why_not(done->answers.front())) {
            co_return *refused;
        }
    }
    if (done->looked_up || done->answers.front().front().get<std::int32_t>(3) > 0) {
        co_await with.revoked.catch_up(from.until);
    }
    if (done->answers.back().empty()) {
        co_return no_such_tenant();  // made, and over already
    }
    const auto row = done->answers.back().front();
    facts.tenant = {row.get<tenant_id>(0), row.get<std::string>(1), row.get<std::string>(2),
                    token::parse_role(row.get<std::string_view>(3)).value_or(token::role::none)};
    with.tenants.remember({facts.tenant->id, row.get<std::int32_t>(4), facts.tenant->slug});
    facts.left = std::chrono::seconds(row.get<std::int64_t>(6));
    co_return issue_tokens(
        with, tokens, facts,
        refresh_part{first.text().clone(), std::chrono::seconds(row.get<std::int64_t>(5))});
}

}  // namespace insula::identity
