#include "open_session.hpp"

#include "insula/core/random.hpp"
#include "insula/identity/run_change.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement add_session{
    "login.session",
    "with opened as (insert into control.session (id, user_id, tenant_id, refresh_hash, "
    "refresh_expires_at, expires_at,"
    " ip, user_agent)"
    " select $1, a.id, $3, $4, now() + $5, now() + $6, $7, $8 from control.account a"
    " where a.id = $2 and a.active and a.released_at is null and a.password_hash = $9"
    " and ($3::uuid is null or exists (select from control.membership m join control.tenant t on "
    "t.id = m.tenant_id"
    " where m.tenant_id = $3 and m.user_id = a.id and m.status = 'active' and m.role = $10 and "
    "t.status = $11))"
    " returning user_id)"
    " insert into control.audit_log (id, tenant_id, user_id, action, entity_type, entity_id, ip, "
    "request_id)"
    " select $12, $3, user_id, 'user.login', 'user', user_id::text, $7, $13 from opened returning "
    "id"};
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
    auto issued =
        issue_tokens(with, tokens, facts, refresh_part{random_token_256(), refresh_lifetime});
    if (!issued) {
        co_return issued.error();
    }
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(add_session, facts.session, facts.user,
             tenant != nullptr ? std::optional(tenant->where.id) : std::nullopt,
             secret_keys::stored_form(issued->refresh_token->view()), refresh_lifetime,
             session_lifetime, from.ip, from.user_agent, opening.password_hash,
             tenant != nullptr ? token::name(tenant->role) : std::string_view(),
             tenant != nullptr ? tenancy::name(tenant->status) : std::string_view(), audited,
             from.request_id);
    if (!opening.stronger_hash.empty()) {
        work.add(new_hash, opening.user, opening.stronger_hash, opening.password_hash);
    }
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return pg::to_error(done.error());
    }
    if (done->answers.front().empty()) {
        co_return std::optional<issued_tokens>();
    }
    if (tenant != nullptr) {
        with.tenants.remember(tenant->where);
    }
    co_return std::optional<issued_tokens>(std::move(*issued));
}

}  // namespace insula::identity
