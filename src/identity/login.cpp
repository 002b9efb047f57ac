#include "insula/identity/login.hpp"

#include "open_session.hpp"

#include "insula/audit/audit.hpp"
#include "insula/core/json_writer.hpp"
#include "insula/tenancy/tenant.hpp"

#include <algorithm>
#include <vector>

namespace insula::identity {
namespace {

// For an address nobody has, somebody else is read, whose password is not looked at: the same rows
// travel, so that reading them does not tell who has an account (G15). The flag says so.
constexpr pg::statement find_account{
    "login.account",
    "select a.id, a.password_hash, a.email_verified_at is not null, a.active, a.operator,"
    " a.email_canonical = $1 and a.released_at is null from control.account a"
    " where a.id = coalesce((select b.id from control.account b where b.email_canonical = $1"
    " and b.released_at is null),"
    " (select m.user_id from control.membership m order by m.tenant_id, m.user_id limit 1))"};
// Every state but gone; a person is in few tenants, and the bound keeps an odd one from costing
// everybody. A tenant that failed has given its slug back: of two with one slug, the holder counts.
constexpr pg::statement find_tenants{
    "login.tenants",
    "select distinct on (t.slug) t.id, t.slug, t.name, t.status, t.cell, m.role, m.status"
    " from control.membership m"
    " join control.tenant t on t.id = m.tenant_id and t.status <> 'gone'"
    " where m.status <> 'removed' and m.user_id = coalesce((select b.id from control.account b"
    " where b.email_canonical = $1 and b.released_at is null),"
    " (select o.user_id from control.membership o order by o.tenant_id, o.user_id limit 1))"
    " order by t.slug, t.status = 'failed' or t.restore_status is not distinct from 'failed',"
    " t.created_at desc limit 1000"};

struct account {
    user_id id;
    std::string password_hash;
    bool verified = false;
    bool active = false;
    bool is_operator = false;
    bool known = false;  ///< else nobody has the address, and this is not about its owner
    std::vector<tenant_choice> tenants;
};

runtime::awaitable<result<account>> find(context& with, const login_form& form,
                                         runtime::deadline until) {
    pg::unit work;
    work.add(find_account, form.email.canonical());
    work.add(find_tenants, form.email.canonical());
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    if ((*answer)[0].empty()) {
        co_return account();
    }
    const auto row = (*answer)[0].front();
    account found{row.get<user_id>(0),
                  row.get<std::string>(1),
                  row.get<bool>(2),
                  row.get<bool>(3),
                  row.get<bool>(4),
                  row.get<bool>(5),
                  {}};
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
runtime::awaitable<result<bool>> check_password(context& with, const account& who,
                                                const password_attempt& password) {
    return with.hashing.run([&with, &who, &password]() -> bool {
        if (!who.known || !password.possible()) {
            return with.hasher.verify_dummy(password.view());
        }
        return with.hasher.verify(who.password_hash, password.view());
    });
}

/// A new hash when the costs in the configuration have changed; empty when the old one will do, or
/// when there is no time for another: the next log-in makes it. Only for somebody who gets in, or
/// the time of a refusal would tell that the password was right.
runtime::awaitable<std::string> better_hash(context& with, const account& who,
                                            const password_attempt& password) {
    if (!with.hasher.needs_rehash(who.password_hash)) {
        co_return std::string();
    }
    auto made =
        co_await with.hashing.run([&with, &password] { return with.hasher.hash(password.view()); });
    co_return made ? std::move(*made) : std::string();
}

error wrong() {
    return {errc::invalid_credentials, "The e-mail address, the password or the tenant is wrong."};
}

error choose_one(const std::vector<tenant_choice>& tenants) {
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
result<const tenant_choice*> choose(const account& who, const std::optional<std::string>& slug) {
    if (!slug) {
        if (who.is_operator) {
            return nullptr;
        }
        if (who.tenants.empty()) {
            return wrong();
        }
        return who.tenants.size() == 1 ? result<const tenant_choice*>(&who.tenants.front())
                                       : choose_one(who.tenants);
    }
    const auto found = std::ranges::find_if(
        who.tenants, [&](const tenant_choice& t) { return t.where.slug == *slug; });
    return found == who.tenants.end() ? result<const tenant_choice*>(wrong()) : &*found;
}

std::optional<error> refuse(const context& with, const account& who, const tenant_choice* tenant) {
    if (with.require_verified_email && !who.verified && tenant != nullptr) {
        return error(errc::email_not_verified,
                     "Verify your e-mail address first: open the link in the mail we sent, or ask "
                     "for another one "
                     "with POST /api/v1/auth/resend-verification.");
    }
    if (tenant == nullptr) {
        return std::nullopt;
    }
    // Who never got in has nothing to restore.
    const auto role = tenant->active ? tenant->role : token::role::none;
    if (auto refused = refuse_by_state(tenant->status, role)) {
        return refused;
    }
    return tenant->active ? std::nullopt : std::optional(wrong());
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

/// In whose log it is noted: the tenant that was named, when it is one of the person's; otherwise
/// its first, because somebody tries a member's password. One row whoever it is: a row for each of
/// them would take longer, and tell the address of a person with many (G15).
std::optional<tenant_id> concerned(const account& who, const login_form& form) {
    std::optional<tenant_id> first;
    if (who.known) {
        for (const auto& t : who.tenants) {
            if (form.tenant_slug && t.where.slug == *form.tenant_slug) {
                return t.where.id;
            }
            if (t.active && !first) {
                first = t.where.id;
            }
        }
    }
    return first;
}

/// The row commits before the answer goes out; its own failure must not turn a 401 into something
/// else.
runtime::awaitable<void> note_failure(context& with, const account& who, const login_form& form,
                                      const caller& from) {
    pg::unit work;
    audit::add(work, failed_login(from, who.known ? std::optional(who.id) : std::nullopt),
               concerned(who, form));
    (void)co_await with.control.run(std::move(work), from.until);
}

/// Nullopt: the password was right, but the account, the membership or the tenant has changed since
/// it was read.
runtime::awaitable<result<std::optional<issued_tokens>>> try_log_in(context& with,
                                                                    token_service& tokens,
                                                                    const login_form& form,
                                                                    const caller& from) {
    auto who = co_await find(with, form, from.until);
    if (!who) {
        co_return who.error();
    }
    auto checked = co_await check_password(with, *who, form.password);
    if (!checked) {
        co_return checked.error();
    }
    auto tenant = *checked && who->active ? choose(*who, form.tenant_slug)
                                          : result<const tenant_choice*>(wrong());
    if (!tenant) {
        if (tenant.error() == errc::invalid_credentials) {
            co_await note_failure(with, *who, form, from);
        }
        co_return tenant.error();
    }
    if (auto refused = refuse(with, *who, *tenant)) {
        if (*refused == errc::invalid_credentials) {
            co_await note_failure(with, *who, form, from);
        }
        co_return *refused;
    }
    const auto stronger = co_await better_hash(with, *who, form.password);
    co_return co_await open_session(with, tokens, {who->id, who->password_hash, stronger, *tenant},
                                    from);
}

}  // namespace

runtime::awaitable<result<issued_tokens>> log_in(context& with, token_service& tokens,
                                                 const login_form& form, caller from) {
    // When more people come than can be checked, who is refused costs no look-up.
    if (with.hashing.refuses()) {
        co_return errc::overloaded;
    }
    // The same password under new costs, stored by a log-in elsewhere, is such a change; so is a
    // password that is another one now, and then the second look says so.
    constexpr int attempts_max = 3;
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        auto opened = co_await try_log_in(with, tokens, form, from);
        if (!opened) {
            co_return opened.error();
        }
        if (*opened) {
            co_return std::move(**opened);
        }
    }
    co_return wrong();
}

}  // namespace insula::identity
