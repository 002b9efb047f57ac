#include "insula/identity/assumed.hpp"

#include "insula/identity/run_change.hpp"
#include "insula/identity/tenant_life.hpp"

namespace insula::identity {
namespace {

constexpr pg::sqlstate assumed_has_changed{"IS006"};

constexpr pg::statement find_target{
    "assumed.target",
    "select a.operator, t.id, t.slug, t.name, t.status, t.cell, m.role"
    " from control.membership m"
    " join control.account a on a.id = m.user_id and a.active and a.released_at is null"
    " join control.tenant t on t.id = m.tenant_id and t.status <> 'gone'"
    " where m.user_id = $1 and m.tenant_id = $2 and m.status = 'active'"};
constexpr pg::statement is_operator{"assumed.is_operator",
                                    "select 1 from control.account where id = $1 and operator"};
constexpr pg::statement assume{
    "assumed.assume",
    "select control.assume_identity($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"};
constexpr pg::statement end_it{"assumed.end",
                               "select control.end_assumed_identity($1, $2, $3, $4)"};

struct target {
    tenancy::tenant_entry where;
    token_tenant tenant;
};

std::optional<error> refuse(tenancy::tenant_status status) {
    using enum tenancy::tenant_status;
    switch (status) {
        case ready:
            return std::nullopt;
        case suspended:
            return error(errc::tenant_suspended,
                         "The tenant is suspended: resume it first, nobody can act in it.");
        case pending_deletion:
            return error(errc::tenant_pending_deletion,
                         "The tenant is about to be deleted: restore it first.");
        default:
            return error(errc::tenant_not_ready, "The tenant is not ready.");
    }
}

/// Whom and where, as it is now; asserted again by the unit that makes the session.
runtime::awaitable<result<target>> look(context& with, const token::claims& by,
                                        const assume_form& form, runtime::deadline until) {
    pg::unit work;
    add_assert_operator(work, by);
    work.add(is_operator, form.user_id);
    work.add(find_target, form.user_id, form.tenant_id);
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    if (!(*answer)[1].empty()) {
        co_return error(errc::forbidden, "The identity of an operator is never assumed.");
    }
    if ((*answer)[2].empty()) {
        co_return error(errc::not_found, "The tenant has no active member with this user_id.");
    }
    const auto row = (*answer)[2].front();
    if (auto refused = refuse(tenancy::parse_tenant_status(row.get<std::string_view>(4)))) {
        co_return *refused;
    }
    const auto id = row.get<tenant_id>(1);
    const auto slug = row.get<std::string>(2);
    co_return target{{id, row.get<std::int32_t>(5), slug},
                     {id, slug, row.get<std::string>(3),
                      token::parse_role(row.get<std::string_view>(6)).value_or(token::role::none)}};
}

}  // namespace

runtime::awaitable<result<issued_tokens>> assume_identity(context& with, token_service& tokens,
                                                          const token::claims& by,
                                                          const assume_form& form, caller from) {
    auto whom = co_await look(with, by, form, from.until);
    if (!whom) {
        co_return whom.error();
    }
    session_facts facts;
    facts.user = form.user_id;
    facts.session = session_id::make();
    facts.tenant = whom->tenant;
    facts.actor = by.subject;
    facts.left = assumed_lifetime;
    auto issued = issue_tokens(with, tokens, facts, std::nullopt);
    if (!issued) {
        co_return issued.error();
    }
    const auto audited = audit_id::make();
    pg::unit work;
    add_assert_operator(work, by);
    work.add(assume, facts.session, by.subject, form.user_id, form.tenant_id,
             token::name(whom->tenant.role), form.reason,
             std::chrono::microseconds(assumed_lifetime), from.ip, from.user_agent, audited,
             from.request_id);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        if (done.error().state == assumed_has_changed) {
            co_return error(errc::conflict,
                            "The member, its tenant or your own account has changed in between; "
                            "try again.",
                            done.error().message);
        }
        co_return tenancy::to_error(done.error());
    }
    with.tenants.remember(whom->where);
    co_return std::move(*issued);
}

runtime::awaitable<result<>> end_assumed_identity(context& with, const token::claims& who,
                                                  caller from) {
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(end_it, who.session, audited, from.ip, from.request_id);
    const auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return tenancy::to_error(done.error());
    }
    co_await with.revoked.catch_up(from.until);
    co_return result<>();
}

}  // namespace insula::identity
