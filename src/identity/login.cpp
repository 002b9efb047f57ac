#include "insula/identity/login.hpp"

#include "insula/audit/audit.hpp"
#include "insula/core/json_writer.hpp"
#include "insula/core/random.hpp"
#include "insula/identity/run_change.hpp"
#include "insula/tenancy/tenant.hpp"

#include <algorithm>
#include <vector>

namespace insula::identity {
namespace {

constexpr pg::statement find_account{
    "login.account",
    "select id, password_hash, email_verified_at is not null, active, operator"
    " from control.account where email_canonical = $1 and released_at is null"};
// Every state but gone; a person is in few tenants, and the bound keeps an odd one from costing
// everybody. A tenant that failed has given its slug back: of two with one slug, the holder counts.
constexpr pg::statement find_tenants{
    "login.tenants",
    "select distinct on (t.slug) t.id, t.slug, t.name, t.status, t.cell, m.role, m.status"
    " from control.account a"
    " join control.membership m on m.user_id = a.id and m.status <> 'removed'"
    " join control.tenant t on t.id = m.tenant_id and t.status <> 'gone'"
    " where a.email_canonical = $1 and a.released_at is null"
    " order by t.slug, t.status = 'failed' or t.restore_status is not distinct from 'failed',"
    " t.created_at desc limit 1000"};
// Checking a password takes its time, and what was read before it may be over: the session is made,
// and its audit row written, only where account, password, membership and tenant are still as they
// were.
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

struct candidate {
    tenancy::tenant_entry where;
    std::string name;
    tenancy::tenant_status status;
    token::role role;
    bool active;
};

struct account {
    user_id id;
    std::string password_hash;
    bool verified = false;
    bool active = false;
    bool is_operator = false;
    std::vector<candidate> tenants;
};

runtime::awaitable<result<std::optional<account>>> find(context& with, const login_form& form,
                                                        runtime::deadline until) {
    pg::unit work;
    work.add(find_account, form.email.canonical());
    work.add(find_tenants, form.email.canonical());
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    if ((*answer)[0].empty()) {
        co_return std::optional<account>();
    }
    const auto row = (*answer)[0].front();
    account found{row.get<user_id>(0), row.get<std::string>(1), row.get<bool>(2),
                  row.get<bool>(3),    row.get<bool>(4),        {}};
    for (const auto t : (*answer)[1]) {
        found.tenants.push_back(
            {{t.get<tenant_id>(0), t.get<std::int32_t>(4), t.get<std::string>(1)},
             t.get<std::string>(2),
             tenancy::parse_tenant_status(t.get<std::string_view>(3)),
             token::parse_role(t.get<std::string_view>(5)).value_or(token::role::none),
             t.get<std::string_view>(6) == "active"});
    }
    co_return found;
}

/// The same work for everybody: an unknown account is checked against a dummy.
runtime::awaitable<result<bool>> check_password(context& with, const std::optional<account>& who,
                                                const password_attempt& password) {
    return with.hashing.run([&with, &who, &password]() -> bool {
        if (!who || !password.possible()) {
            return with.hasher.verify_dummy(password.view());
        }
        return with.hasher.verify(who->password_hash, password.view());
    });
}

/// A new hash when the costs in the configuration have changed; empty when the old one will do.
/// Only for somebody who gets in, or the time of a refusal would tell that the password was right.
runtime::awaitable<result<std::string>> better_hash(context& with, const account& who,
                                                    const password_attempt& password) {
    if (!with.hasher.needs_rehash(who.password_hash)) {
        co_return std::string();
    }
    co_return co_await with.hashing.run(
        [&with, &password] { return with.hasher.hash(password.view()); });
}

error wrong() {
    return {errc::invalid_credentials, "The e-mail address, the password or the tenant is wrong."};
}

error choose_one(const std::vector<candidate>& tenants) {
    std::string list = "\"tenants\":";
    json_writer out(list);
    out.begin_array();
    for (const auto& t : tenants) {
        out.begin_object().member("slug", t.where.slug).member("name", t.name).end_object();
    }
    out.end_array();
    return error(errc::tenant_required, "You belong to several tenants: name one in tenant_slug.")
        .with_extension(std::move(list));
}

/// Which tenant the tokens are for; null for an operator without one.
result<const candidate*> choose(const account& who, const std::optional<std::string>& slug) {
    if (!slug) {
        if (who.is_operator) {
            return nullptr;
        }
        if (who.tenants.empty()) {
            return wrong();
        }
        return who.tenants.size() == 1 ? result<const candidate*>(&who.tenants.front())
                                       : choose_one(who.tenants);
    }
    const auto found = std::ranges::find_if(
        who.tenants, [&](const candidate& t) { return t.where.slug == *slug; });
    return found == who.tenants.end() ? result<const candidate*>(wrong()) : &*found;
}

std::optional<error> refuse(const context& with, const account& who, const candidate* tenant) {
    if (with.require_verified_email && !who.verified && tenant != nullptr) {
        return error(errc::email_not_verified,
                     "Verify your e-mail address first: open the link in the mail we sent, or ask "
                     "for another one "
                     "with POST /api/v1/auth/resend-verification.");
    }
    if (tenant == nullptr) {
        return std::nullopt;
    }
    using enum tenancy::tenant_status;
    switch (tenant->status) {
        case ready:
            return tenant->active ? std::nullopt : std::optional(wrong());
        case suspended:
            return error(errc::tenant_suspended, "The tenant is suspended.");
        case pending_deletion:
            if (tenant->role == token::role::owner && tenant->active) {
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

audit::entry failed_login(const caller& from, std::optional<user_id> user) {
    audit::entry entry;
    entry.action = "user.login_failed";
    entry.entity_type = "user";
    entry.entity_id = user ? user->str() : "";
    entry.user = user;
    entry.ip = from.ip;
    entry.request_id = from.request_id;
    entry.success = false;
    return entry;
}

/// The row commits before the answer goes out; its own failure must not turn a 401 into something
/// else.
runtime::awaitable<void> note_failure(context& with, const std::optional<account>& who,
                                      const login_form& form, const caller& from) {
    std::optional<tenant_id> tenant;
    if (who && form.tenant_slug) {
        for (const auto& t : who->tenants) {
            if (t.where.slug == *form.tenant_slug) {
                tenant = t.where.id;
            }
        }
    }
    pg::unit work;
    audit::add(work, failed_login(from, who ? std::optional(who->id) : std::nullopt), tenant);
    (void)co_await with.control.run(std::move(work), from.until);
}

runtime::awaitable<result<issued_tokens>> open_session(context& with, token_service& tokens,
                                                       const account& who, const candidate* tenant,
                                                       const std::string& stronger,
                                                       const caller& from) {
    issued_tokens issued;
    issued.refresh_token = random_token_256();
    issued.expires_in = token_service::access_lifetime;
    issued.refresh_expires_in = refresh_lifetime;
    token::claims claims;
    claims.subject = who.id;
    claims.session = session_id::make();
    claims.session_version = 1;
    claims.id = make_uuid_v7();
    claims.issued_at = std::chrono::floor<std::chrono::seconds>(with.clock.now());
    claims.expires_at = claims.issued_at + token_service::access_lifetime;
    if (tenant != nullptr) {
        claims.tenant = tenant->where.id;
        claims.role = tenant->role;
        issued.tenant = {tenant->where.id, tenant->where.slug, tenant->name, tenant->role};
    }
    auto access = tokens.sign(claims);
    if (!access) {
        co_return access.error();
    }
    issued.access_token = std::move(*access);

    const auto audited = audit_id::make();
    pg::unit work;
    work.add(add_session, claims.session, claims.subject, claims.tenant,
             secret_keys::stored_form(issued.refresh_token.view()), refresh_lifetime,
             session_lifetime, from.ip, from.user_agent, who.password_hash,
             token::name(claims.role),
             tenant != nullptr ? tenancy::name(tenant->status) : std::string_view(), audited,
             from.request_id);
    if (!stronger.empty()) {
        work.add(new_hash, who.id, stronger, who.password_hash);
    }
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return pg::to_error(done.error());
    }
    if (done->answers.front().empty()) {
        co_return wrong();
    }
    if (tenant != nullptr) {
        with.tenants.remember(tenant->where);
    }
    co_return issued;
}

}  // namespace

runtime::awaitable<result<issued_tokens>> log_in(context& with, token_service& tokens,
                                                 const login_form& form, caller from) {
    auto who = co_await find(with, form, from.until);
    if (!who) {
        co_return who.error();
    }
    auto checked = co_await check_password(with, *who, form.password);
    if (!checked) {
        co_return checked.error();
    }
    auto tenant = *checked && (*who)->active ? choose(**who, form.tenant_slug)
                                             : result<const candidate*>(wrong());
    if (!tenant) {
        if (tenant.error() == errc::invalid_credentials) {
            co_await note_failure(with, *who, form, from);
        }
        co_return tenant.error();
    }
    if (auto refused = refuse(with, **who, *tenant)) {
        if (*refused == errc::invalid_credentials) {
            co_await note_failure(with, *who, form, from);
        }
        co_return *refused;
    }
    const auto stronger = co_await better_hash(with, **who, form.password);
    if (!stronger) {
        co_return stronger.error();
    }
    co_return co_await open_session(with, tokens, **who, *tenant, *stronger, from);
}

}  // namespace insula::identity
