#include "open_session.hpp"

#include "insula/identity/refresh_token.hpp"
#include "insula/identity/run_change.hpp"

#include <cstdint>

namespace insula::identity {
namespace {

constexpr pg::statement add_session{
    "login.session",
    "select control.open_session($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"};
constexpr pg::statement new_hash{
    "login.rehash",
    "update control.account set password_hash = $2 where id = $1 and password_hash = $3"};

}  // namespace

std::optional<error> refuse_by_state(tenancy::tenant_status status, token::role role) {
    using enum tenancy::tenant_status;
    switch (status) {
        case ready:
            return std::nullopt;
        case suspended:
            return error(errc::tenant_suspended, "The tenant is suspended.");
        case pending_deletion:
            if (role == token::role::owner) {
                return std::nullopt;  // to restore it
            }
            return error(errc::tenant_pending_deletion, "The tenant is about to be deleted.");
        case failed:
            return error(
                errc::tenant_not_ready,
                "Setting the tenant up has failed; look at its status_url for the reason.");
        default:
            return error(errc::tenant_not_ready,
                         "The tenant is not ready yet; try again in a moment.");
    }
}

runtime::awaitable<result<std::optional<issued_tokens>>> open_session(context& with,
                                                                      token_service& tokens,
                                                                      log_in_opening opening,
                                                                      const caller& from) {
    const auto* tenant = opening.tenant;
    session_facts facts;
    facts.user = opening.user;
    facts.session = session_id::make();
    facts.left = session_lifetime;
    if (tenant != nullptr) {
        facts.tenant = {tenant->where.id, tenant->where.slug, tenant->name, tenant->role};
    }
    const auto first = refresh_token::first(with.keys, facts.session);
    auto issued =
        issue_tokens(with, tokens, facts, refresh_part{first.text().clone(), refresh_lifetime});
    if (!issued) {
        co_return issued.error();
    }
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(add_session, facts.session, facts.user, opening.password_hash,
             tenant != nullptr ? std::optional(tenant->where.id) : std::nullopt,
             tenant != nullptr ? token::name(tenant->role) : std::string_view(),
             tenant != nullptr ? tenancy::name(tenant->status) : std::string_view(), first.stored(),
             refresh_lifetime, session_lifetime, from.ip, from.user_agent, audited,
             from.request_id);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return pg::to_error(done.error());
    }
    const auto ended = done->looked_up
                           ? std::optional(std::int32_t{1})
                           : done->answers.front().scalar<std::optional<std::int32_t>>();
    if (!ended) {
        co_return std::optional<issued_tokens>();
    }
    if (*ended > 0) {  // or nobody knows
        co_await with.revoked.catch_up(from.until);
    }
    if (!opening.stronger_hash.empty()) {
        // By itself: behind the lock that the session was opened under, two log-ins at once would
        // wait for each other. Should it fail, the next log-in does it.
        pg::unit rehash;
        rehash.add(new_hash, opening.user, opening.stronger_hash, opening.password_hash);
        (void)co_await with.control.run(std::move(rehash), from.until);
    }
    if (tenant != nullptr) {
        with.tenants.remember(tenant->where);
    }
    co_return std::optional<issued_tokens>(std::move(*issued));
}

}  // namespace insula::identity
