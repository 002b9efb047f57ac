// What whoever holds an invitation's token can do with it.
#include "new_password.hpp"
#include "open_session.hpp"
#include "people.hpp"

#include "insula/audit/audit.hpp"
#include "insula/core/json_writer.hpp"
#include "insula/identity/invites.hpp"
#include "insula/identity/run_change.hpp"
#include "insula/identity/sessions.hpp"

namespace insula::identity {
namespace {

// What was accepted is found as well, so that whoever comes second hears that, and not that there
// never was anything.
constexpr pg::statement find{
    "invites.find",
    "select i.id, i.email, i.email_canonical, i.role, i.expires_at, i.accepted_at is not null,"
    " t.id, t.slug, t.name, t.status, a.id, a.password_hash, a.active"
    " from control.invite i join control.tenant t on t.id = i.tenant_id"
    " left join control.account a on a.email_canonical = i.email_canonical and a.released_at is "
    "null"
    " where i.token_hash = $1 and (i.accepted_at is not null or i.expires_at > now())"};
constexpr pg::statement accept{
    "invites.accept",
    "with joined as (select control.accept_invite($1, $2, $3, $4) as verified),"
    " noted as (insert into control.audit_log (id, tenant_id, user_id, action, entity_type,"
    "  entity_id, changes, ip, request_id)"
    "  select $5, $6, $2, 'member.join', 'member', $2::text, $7::jsonb, $8, $9 from joined)"
    " insert into control.audit_log (id, user_id, action, entity_type, entity_id, ip, request_id)"
    " select $10, $2, case when $3 is null then 'user.email_verify' else 'user.register' end,"
    "  'user', $2::text, $8, $9 from joined where verified or $3 is not null"};

struct account {
    user_id id;
    std::string password_hash;
    bool active = false;
};

struct found_invite {
    invite_id id;
    std::string email;
    std::string email_canonical;
    token::role role = token::role::none;
    timestamp expires_at;
    bool accepted = false;
    joined to;
    tenancy::tenant_status status = tenancy::tenant_status::ready;
    std::optional<account> invited;
};

runtime::awaitable<result<found_invite>> look_up(context& with, const opaque_token& token,
                                                 runtime::deadline until) {
    pg::unit work;
    work.add(find, secret_keys::stored_form(token.view()));
    const auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    if (answer->front().empty()) {
        co_return no_such_invitation();
    }
    const auto row = answer->front().front();
    found_invite found;
    found.id = row.get<invite_id>(0);
    found.email = row.get<std::string>(1);
    found.email_canonical = row.get<std::string>(2);
    found.role = token::parse_role(row.get<std::string_view>(3)).value_or(token::role::none);
    found.expires_at = row.get<timestamp>(4);
    found.accepted = row.get<bool>(5);
    found.to = {row.get<tenant_id>(6), row.get<std::string>(7), row.get<std::string>(8), {}};
    found.status = tenancy::parse_tenant_status(row.get<std::string_view>(9));
    if (const auto id = row.get<std::optional<user_id>>(10)) {
        found.invited = account{*id, row.get<std::string>(11), row.get<bool>(12)};
    }
    co_return found;
}

/// Who joins, as control.accept_invite() wants it.
struct joining {
    user_id user;
    std::optional<std::string> full_name;      ///< of a new account
    std::optional<std::string> password_hash;  ///< its; or what the password was checked against
};

error missing(std::vector<std::string> members) {
    std::vector<field_error> fields;
    fields.reserve(members.size());
    for (auto& member : members) {
        fields.push_back({"/" + std::move(member), "required",
                          "is required of somebody who has no account yet"});
    }
    return error::validation(std::move(fields));
}

/// A new account; as registration demands it.
runtime::awaitable<result<joining>> new_account(context& with, const acceptance& form,
                                                const found_invite& found) {
    std::vector<std::string> absent;
    if (!form.password) {
        absent.emplace_back("password");
    }
    if (!form.full_name) {
        absent.emplace_back("full_name");
    }
    if (!absent.empty()) {
        co_return missing(std::move(absent));
    }
    const auto password = password_text::parse(form.password->view());
    if (!password) {
        co_return error::validation("/password", password.error().code, password.error().detail);
    }
    auto hash = co_await hash_new_password(
        with, *password, {found.email, form.full_name->str(), found.to.name}, "/password");
    if (!hash) {
        co_return hash.error();
    }
    co_return joining{user_id::make(), form.full_name->str(), std::move(*hash)};
}

/// The row commits before the answer goes out; its own failure must not turn a 401 into something
/// else.
runtime::awaitable<void> note_failure(context& with, user_id user, const caller& from) {
    audit::entry entry;
    entry.action = "user.login_failed";
    entry.entity_type = "user";
    entry.entity_id = user.str();
    entry.user = user;
    entry.ip = from.ip;
    entry.request_id = from.request_id;
    entry.success = false;
    pg::unit work;
    audit::add(work, entry, std::nullopt);
    (void)co_await with.control.run(std::move(work), from.until);
}

/// The account there is, by its password: somebody who belongs to no tenant cannot log in first.
runtime::awaitable<result<joining>> by_password(context& with, const acceptance& form,
                                                const found_invite& found,
                                                const within_limits& attempts, const caller& from) {
    if (!form.password) {
        co_return error(errc::unauthenticated,
                        "This address has an account: send its access token, or its password.");
    }
    if (auto within = attempts(found.email_canonical); !within) {
        co_return within.error();
    }
    const auto& whose = *found.invited;
    const auto right = co_await with.hashing.run([&with, &form, &whose]() -> bool {
        if (!form.password->possible()) {
            return with.hasher.verify_dummy(form.password->view());
        }
        return with.hasher.verify(whose.password_hash, form.password->view());
    });
    if (!right) {
        co_return right.error();
    }
    if (!*right || !whose.active) {
        co_await note_failure(with, whose.id, from);
        co_return wrong_password();
    }
    co_return joining{whose.id, std::nullopt, whose.password_hash};
}

runtime::awaitable<result<joining>> who_joins(context& with, const acceptance& form,
                                              const token::claims* who, const found_invite& found,
                                              const within_limits& attempts, const caller& from) {
    if (who != nullptr) {
        if (!found.invited || found.invited->id != who->subject) {
            co_return not_for_you();
        }
        co_return joining{who->subject, {}, {}};
    }
    if (found.invited) {
        co_return co_await by_password(with, form, found, attempts, from);
    }
    co_return co_await new_account(with, form, found);
}

std::string describe(const found_invite& found) {
    std::string changes;
    json_writer(changes)
        .begin_object()
        .member("role", token::name(found.role))
        .member("invite_id", found.id)
        .end_object();
    return changes;
}

/// Nullopt: the password was right, and what it was checked against has changed since.
runtime::awaitable<result<std::optional<joined>>> try_accept(context& with, const acceptance& form,
                                                             const token::claims* who,
                                                             const within_limits& attempts,
                                                             const caller& from) {
    auto found = co_await look_up(with, form.token, from.until);
    if (!found) {
        co_return found.error();
    }
    if (found->accepted) {
        co_return invite_accepted();
    }
    if (auto refused = refuse_by_state(found->status, token::role::none)) {
        co_return *refused;
    }
    const auto joins = co_await who_joins(with, form, who, *found, attempts, from);
    if (!joins) {
        co_return joins.error();
    }
    const auto audited = audit_id::make();
    pg::unit work;
    if (who != nullptr) {
        add_assert_signed_in(work, *who);
    }
    work.add(accept, secret_keys::stored_form(form.token.view()), joins->user, joins->full_name,
             joins->password_hash, audited, found->to.tenant, describe(*found), from.ip,
             from.request_id, audit_id::make());
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        if (done.error().state == password_changed_state) {
            co_return std::optional<joined>();
        }
        co_return refused_people(done.error(), no_such_invitation());
    }
    found->to.user = joins->user;
    co_return std::optional<joined>(std::move(found->to));
}

}  // namespace

runtime::awaitable<result<invite_preview>> preview_invite(context& with, const opaque_token& token,
                                                          runtime::deadline until) {
    auto found = co_await look_up(with, token, until);
    if (!found) {
        co_return found.error();
    }
    if (found->accepted) {
        co_return error(errc::not_found, "The invitation has been accepted already; log in.");
    }
    if (auto refused = refuse_by_state(found->status, token::role::none)) {
        co_return *refused;
    }
    co_return invite_preview{std::move(found->email), std::move(found->to.name), found->role,
                             found->expires_at, !found->invited};
}

runtime::awaitable<result<joined>> accept_invite(context& with, const acceptance& form,
                                                 const token::claims* who,
                                                 const within_limits& attempts, caller from) {
    // The same password under new costs, stored by a log-in meanwhile, is such a change; so is a
    // password that is another one now, and then the second look says so. Counted once.
    constexpr int attempts_max = 3;
    const within_limits counted_already = [](std::string_view) { return result<>(); };
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        auto done =
            co_await try_accept(with, form, who, attempt == 0 ? attempts : counted_already, from);
        if (!done) {
            co_return done.error();
        }
        if (*done) {
            co_return std::move(**done);
        }
    }
    co_return wrong_password();
}

}  // namespace insula::identity
