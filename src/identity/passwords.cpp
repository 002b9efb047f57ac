#include "insula/identity/passwords.hpp"

#include "new_password.hpp"

#include "insula/audit/audit.hpp"
#include "insula/identity/jobs.hpp"
#include "insula/identity/mail_tokens.hpp"
#include "insula/identity/run_change.hpp"
#include "insula/queue/enqueue.hpp"

namespace insula::identity {
namespace {

constexpr pg::sqlstate token_not_usable{"IS006"};
constexpr pg::sqlstate another_password{"IS007"};
// A log-in elsewhere may store the same password under new costs at the same moment.
constexpr int attempts_max = 3;

constexpr pg::statement find_reset{
    "password.find_reset",
    "select a.id, a.email, a.email_canonical, a.full_name from control.mail_token t"
    " join control.account a on a.id = t.user_id and a.email_canonical = t.email_canonical"
    " where t.hash = $1 and t.purpose = 'reset_password' and t.used_at is null"
    " and t.voided_at is null and t.expires_at > now() and a.active and a.released_at is null"};
constexpr pg::statement reset{"password.reset",
                              "select control.reset_password($1, $2, $3, $4, $5, $6, $7)"};
constexpr pg::statement find_account{
    "password.find_account",
    "select a.id, a.email, a.email_canonical, a.full_name, a.password_hash from control.account a"
    " where a.id = $1 and a.active and a.released_at is null"};
constexpr pg::statement change{
    "password.change",
    "select control.change_password($1, $2, $3::bigint::integer, $4, $5, $6, $7, $8, $9)"};

mail_recipient recipient(const pg::row& row) {
    return {row.get<user_id>(0), row.get<std::string>(1), row.get<std::string>(2),
            row.get<std::string>(3)};
}

error unusable_token() {
    return {errc::invalid_token_value,
            "The token is unknown, used, expired or replaced by a newer one. Ask for a new mail "
            "with POST /api/v1/auth/forgot-password."};
}

error wrong_password() {
    return {errc::invalid_credentials, "The current password is wrong."};
}

error session_is_over() {
    return {errc::invalid_token, "The session is over; log in again."};
}

struct account {
    mail_recipient who;
    std::string password_hash;
};

runtime::awaitable<result<account>> read_account(context& with, user_id id,
                                                 runtime::deadline until) {
    pg::unit look;
    look.add(find_account, id);
    const auto answer = co_await with.control.run(std::move(look), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    if (answer->front().empty()) {
        co_return session_is_over();
    }
    const auto row = answer->front().front();
    co_return account{recipient(row), row.get<std::string>(4)};
}

/// A wrong guess in a session that may be stolen: the log shows it.
runtime::awaitable<void> note_failure(context& with, const token::claims& who, const caller& from) {
    audit::entry entry;
    entry.action = "password.change";
    entry.entity_type = "user";
    entry.entity_id = who.subject.str();
    entry.user = who.subject;
    entry.ip = from.ip;
    entry.request_id = from.request_id;
    entry.success = false;
    pg::unit work;
    audit::add(work, entry, who.tenant);
    (void)co_await with.control.run(std::move(work), from.until);
}

/// The account's password is that of the form, and `hash` becomes the new one. False: it was
/// another one by then.
runtime::awaitable<result<bool>> store(context& with, const token::claims& who, const account& of,
                                       const std::string& hash, const caller& from) {
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(change, who.subject, who.session, who.session_version, of.password_hash, hash, audited,
             who.tenant, from.ip, from.request_id);
    add_password_notice(work, with.keys, of.who);
    const auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done && done.error().state == another_password) {
        co_return false;
    }
    if (!done) {
        co_return tenancy::to_error(done.error());
    }
    co_return true;
}

}  // namespace

runtime::awaitable<result<>> forgot_password(context& with, const email_address& email,
                                             caller from) {
    pg::unit work;
    queue::add_enqueue(work, run_id::make(),
                       queue::request_for<forgot_job>({.email_canonical = email.canonical()}));
    const auto answer = co_await with.control.run(std::move(work), from.until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    with.tasks.wake();
    co_return result<>();
}

runtime::awaitable<result<>> reset_password(context& with, const reset_form& form, caller from) {
    const auto stored = secret_keys::stored_form(form.token.view());
    pg::unit look;
    look.add(find_reset, stored);
    const auto found = co_await with.control.run(std::move(look), from.until);
    if (!found) {
        co_return pg::to_error(found.error());
    }
    if (found->front().empty()) {
        co_return unusable_token();
    }
    const auto who = recipient(found->front().front());
    const auto hash = co_await hash_new_password(
        with, form.new_password,
        {.email = who.email, .full_name = who.full_name, .tenant_name = {}}, "/new_password");
    if (!hash) {
        co_return hash.error();
    }
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(reset, who.user, stored, *hash, audited, audit_id::make(), from.ip, from.request_id);
    add_password_notice(work, with.keys, who);
    const auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done && done.error().state == token_not_usable) {
        co_return unusable_token();
    }
    if (!done) {
        co_return pg::to_error(done.error());
    }
    with.tasks.wake();
    co_await with.revoked.catch_up(from.until);
    co_return result<>();
}

runtime::awaitable<result<>> change_password(context& with, const token::claims& who,
                                             const change_form& form, caller from) {
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        const auto found = co_await read_account(with, who.subject, from.until);
        if (!found) {
            co_return found.error();
        }
        const auto right = co_await with.hashing.run([&with, &found, &form] {
            return form.current_password.possible() &&
                   with.hasher.verify(found->password_hash, form.current_password.view());
        });
        if (!right) {
            co_return right.error();
        }
        if (!*right) {
            co_await note_failure(with, who, from);
            co_return wrong_password();
        }
        const auto hash = co_await hash_new_password(
            with, form.new_password,
            {.email = found->who.email, .full_name = found->who.full_name, .tenant_name = {}},
            "/new_password");
        if (!hash) {
            co_return hash.error();
        }
        const auto stored = co_await store(with, who, *found, *hash, from);
        if (!stored) {
            co_return stored.error();
        }
        if (*stored) {
            with.tasks.wake();
            co_await with.revoked.catch_up(from.until);
            co_return result<>();
        }
    }
    co_return error(errc::overloaded, "The password is being changed elsewhere; try again.");
}

}  // namespace insula::identity
