#include "insula/identity/mail_tokens.hpp"

#include "insula/audit/audit.hpp"
#include "insula/core/random.hpp"
#include "insula/identity/jobs.hpp"
#include "insula/identity/run_change.hpp"
#include "insula/queue/enqueue.hpp"
#include "insula/tenancy/tenant.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement void_older{"mail_token.void_older",
                                   "update control.mail_token set voided_at = now()"
                                   " where user_id = $1 and purpose = $2 and used_at is null"
                                   " and voided_at is null"};
constexpr pg::statement store{
    "mail_token.store",
    "insert into control.mail_token (hash, purpose, user_id, email_canonical, expires_at)"
    " values ($1, $2, $3, $4, now() + $5)"};
// One statement: the token is used and the account verified together, the audit row only the first
// time.
constexpr pg::statement use_verification{
    "mail_token.verify_email",
    "with token as ("
    "  select t.hash, t.user_id, t.used_at is not null as used from control.mail_token t"
    "  join control.account a on a.id = t.user_id and a.email_canonical = t.email_canonical"
    "  where t.hash = $1 and t.purpose = 'verify_email' and a.released_at is null"
    "  and (t.used_at is not null or (t.voided_at is null and t.expires_at > now())) for update of "
    "t),"
    " spent as (update control.mail_token m set used_at = now() from token"
    "  where m.hash = token.hash and not token.used),"
    " verified as (update control.account a set email_verified_at = now(), version = version + 1, "
    "updated_at = now()"
    "  from token where a.id = token.user_id and a.email_verified_at is null returning a.id),"
    " logged as (insert into control.audit_log (id, user_id, action, entity_type, entity_id, ip, "
    "request_id)"
    "  select $2, id, 'user.email_verify', 'user', id::text, $3, $4 from verified)"
    " select user_id from token"};

void add_token_mail(pg::unit& unit, const secret_keys& keys, std::string_view purpose,
                    const mail_recipient& to) {
    auto token = random_token_256();
    unit.add(void_older, to.user, purpose);
    unit.add(store, secret_keys::stored_form(token.view()), purpose, to.user, to.email_canonical,
             lifetime_of(purpose));
    queue::add_enqueue(unit, run_id::make(),
                       mail_request(keys, {.purpose = purpose,
                                           .to = to.email,
                                           .full_name = to.full_name,
                                           .token = std::move(token)}));
}

}  // namespace

std::string sealed_about(std::string_view purpose, std::string_view email) {
    return std::string(purpose) + " " + std::string(email);
}

queue::enqueue_request mail_request(const secret_keys& keys, const mail_content& what) {
    return queue::request_for<mail_job>(
        {.purpose = std::string(what.purpose),
         .to = what.to,
         .full_name = what.full_name,
         .sealed_token = what.token.view().empty()
                             ? std::string()
                             : keys.seal_token(what.token, sealed_about(what.purpose, what.to)),
         .tenant_name = what.tenant_name,
         .role = what.role,
         .inviter_name = what.inviter_name,
         .inviter_email = what.inviter_email});
}

void add_verification_mail(pg::unit& unit, const secret_keys& keys, const mail_recipient& to) {
    add_token_mail(unit, keys, verify_email_purpose, to);
}

void add_reset_mail(pg::unit& unit, const secret_keys& keys, const mail_recipient& to) {
    add_token_mail(unit, keys, reset_password_purpose, to);
}

void add_password_notice(pg::unit& unit, const secret_keys& keys, const mail_recipient& to) {
    queue::add_enqueue(unit, run_id::make(),
                       mail_request(keys, {.purpose = password_changed_purpose,
                                           .to = to.email,
                                           .full_name = to.full_name}));
}

runtime::awaitable<result<>> verify_email(context& with, const opaque_token& token, caller from) {
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(use_verification, secret_keys::stored_form(token.view()), audited, from.ip,
             from.request_id);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return pg::to_error(done.error());
    }
    if (done->answers.front().empty()) {
        co_return error(
            errc::invalid_token_value,
            "The token is unknown, expired or replaced by a newer one. Ask for a new mail with "
            "POST /api/v1/auth/resend-verification.");
    }
    co_return result<>();
}

runtime::awaitable<result<>> resend_verification(context& with, const email_address& email,
                                                 caller from) {
    pg::unit work;
    queue::add_enqueue(work, run_id::make(),
                       queue::request_for<resend_job>({.email_canonical = email.canonical()}));
    auto answer = co_await with.control.run(std::move(work), from.until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    with.tasks.wake();
    co_return result<>();
}

}  // namespace insula::identity
