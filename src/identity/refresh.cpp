#include "open_session.hpp"

#include "insula/identity/run_change.hpp"
#include "insula/identity/sessions.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement refresh_session{
    "sessions.refresh",
    "select outcome, user_id, version, tenant_id, slug, name, status, role,"
    " floor(extract(epoch from refresh_left))::bigint,"
    " floor(extract(epoch from session_left))::bigint"
    " from control.refresh_session($1, $2, $3, $4, $5, $6, $7, $8, $9)"};
constexpr pg::statement end_by_token{"sessions.log_out",
                                     "select control.log_out($1, $2, $3, $4, $5)"};

error over() {
    return {errc::invalid_refresh_token,
            "The refresh token is not valid (any more): log in again."};
}

error reused() {
    return {errc::refresh_token_reused,
            "This refresh token was used before, so somebody else may have a copy: the session is "
            "over. Log in again, and keep only the newest refresh token."};
}

struct refreshed_row {
    session_facts facts;
    tenancy::tenant_status status = tenancy::tenant_status::ready;
    std::chrono::seconds refresh_left{};
};

refreshed_row to_refreshed(const pg::row& row, session_id session) {
    refreshed_row made;
    made.facts.session = session;
    made.facts.user = row.get<user_id>(1);
    made.facts.version = row.get<std::int32_t>(2);
    if (const auto tenant = row.get<std::optional<tenant_id>>(3)) {
        made.facts.tenant = {
            *tenant, row.get<std::string>(4), row.get<std::string>(5),
            token::parse_role(row.get<std::string_view>(7)).value_or(token::role::none)};
        made.status = tenancy::parse_tenant_status(row.get<std::string_view>(6));
    }
    made.refresh_left = std::chrono::seconds(row.get<std::int64_t>(8));
    made.facts.left = std::chrono::seconds(row.get<std::int64_t>(9));
    return made;
}

}  // namespace

runtime::awaitable<result<issued_tokens>> refresh(context& with, token_service& tokens,
                                                  const refresh_token& presented, caller from) {
    auto successor = presented.successor(with.keys);
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(refresh_session, presented.session(), presented.stored(), successor.stored(),
             refresh_lifetime, refresh_again_window, from.ip, from.user_agent, audited,
             from.request_id);
    // The audit row is that of a reuse. A refresh whose answer was lost is asked again: either it
    // has not happened, or the token is the parent and the session knows who made it that.
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return pg::to_error(done.error());
    }
    const auto outcome =
        done->looked_up ? std::string("reused") : done->answers.front().front().get<std::string>(0);
    if (outcome == "reused") {
        co_await with.revoked.catch_up(from.until);
        co_return reused();
    }
    if (outcome == "over") {
        co_return over();
    }
    auto row = to_refreshed(done->answers.front().front(), presented.session());
    if (outcome == "refused") {
        co_return refuse_by_state(row.status, row.facts.tenant->role).value_or(over());
    }
    co_return issue_tokens(with, tokens, row.facts,
                           refresh_part{successor.text().clone(), row.refresh_left});
}

runtime::awaitable<result<>> log_out(context& with, const refresh_token& presented, caller from) {
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(end_by_token, presented.session(), presented.stored(), audited, from.ip,
             from.request_id);
    const auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return pg::to_error(done.error());
    }
    co_await with.revoked.catch_up(from.until);
    co_return result<>();
}

}  // namespace insula::identity
