#include "insula/identity/invites.hpp"

#include "people.hpp"

#include "insula/audit/audit.hpp"
#include "insula/core/json_writer.hpp"
#include "insula/core/random.hpp"
#include "insula/identity/mail_tokens.hpp"
#include "insula/identity/run_change.hpp"
#include "insula/queue/enqueue.hpp"

namespace insula::identity {
namespace {

#define INSULA_INVITE                                                          \
    "select id, email, role, invited_by, created_at, expires_at from control." \
    "invite where tenant_id = $1 and accepted_at is null and expires_at > now()"

constexpr pg::statement list{"invites.list", INSULA_INVITE
                             " and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))"
                             " order by created_at desc, id desc limit $4"};
constexpr pg::statement read_one{"invites.read", INSULA_INVITE " and id = $2"};
constexpr pg::statement create{
    "invites.create",
    "select control.create_invite($1, $2::bigint::integer, $3, $4, $5, $6, $7, $8, $9, $10,"
    " $11)"};
constexpr pg::statement withdraw{
    "invites.withdraw", "select control.withdraw_invite($1, $2::bigint::integer, $3, $4, $5)"};
constexpr pg::statement renew{
    "invites.renew",
    "select control.renew_invite($1, $2::bigint::integer, $3, $4, $5, $6, $7, $8)"};
// Where the mail goes and what it says: an account's own address, when there is one; and who has it
// sent.
constexpr pg::statement find_addressee{
    "invites.addressee",
    "select t.name, a.email, a.full_name, by.full_name, by.email from control.tenant t"
    " join control.account by on by.id = $3"
    " left join control.account a on a.email_canonical = $2 and a.released_at is null"
    " where t.id = $1"};
constexpr pg::statement find_invited{
    "invites.invited",
    "select t.name, coalesce(a.email, i.email), a.full_name, by.full_name, by.email, i.role,"
    " i.email_canonical from control.invite i join control.account by on by.id = $3"
    " join control.tenant t on t.id = i.tenant_id left join control.account a"
    " on a.email_canonical = i.email_canonical and a.released_at is null"
    " where i.tenant_id = $1 and i.id = $2 and i.accepted_at is null and i.expires_at > now()"};

invite to_invite(const pg::row& row) {
    return {.id = row.get<invite_id>(0),
            .email = row.get<std::string>(1),
            .role = token::parse_role(row.get<std::string_view>(2)).value_or(token::role::none),
            .invited_by = row.get<user_id>(3),
            .created_at = row.get<timestamp>(4),
            .expires_at = row.get<timestamp>(5)};
}

void add_mail(pg::unit& work, const secret_keys& keys, mail_content what) {
    what.purpose = accept_invite_purpose;
    queue::add_enqueue(work, run_id::make(), mail_request(keys, what));
}

audit_id add_audit(pg::unit& work, const token::claims& who, invite_id id, std::string changes,
                   const caller& from) {
    audit::entry entry;
    entry.action = "member.invite";
    entry.entity_type = "invite";
    entry.entity_id = id.str();
    entry.changes = std::move(changes);
    entry.user = who.subject;
    entry.operator_user = who.actor;
    entry.ip = from.ip;
    entry.request_id = from.request_id;
    audit::add(work, entry, who.tenant);
    return entry.id;
}

}  // namespace

runtime::awaitable<result<created_invite>> create_invite(context& with, const token::claims& who,
                                                         const invite_form& form, caller from,
                                                         once_only<created_invite> once) {
    pg::unit look;
    look.add(find_addressee, *who.tenant, form.email.canonical(), who.subject);
    const auto found = co_await with.control.run(std::move(look), from.until);
    if (!found) {
        co_return pg::to_error(found.error());
    }
    const auto addressee = found->front().only();
    const auto to = addressee.get<std::optional<std::string>>(1).value_or(form.email.str());

    created_invite made{invite_id::make(), {}};
    auto token = random_token_256();
    pg::unit work;
    add_assert_session(work, who);
    once.add_to(work, made);
    const std::size_t created = work.size();
    work.add(create, who.session, who.session_version, who.subject, *who.tenant, made.id,
             form.email.str(), form.email.canonical(), to, token::name(form.role),
             secret_keys::stored_form(token.view()), lifetime_of(accept_invite_purpose));
    add_mail(work, with.keys,
             {.purpose = {},
              .to = to,
              .full_name = addressee.get<std::optional<std::string>>(2).value_or(""),
              .token = std::move(token),
              .tenant_name = addressee.get<std::string>(0),
              .role = std::string(token::name(form.role)),
              .inviter_name = addressee.get<std::string>(3),
              .inviter_email = addressee.get<std::string>(4)});
    std::string changes;
    json_writer(changes)
        .begin_object()
        .member("email", form.email)
        .member("role", token::name(form.role))
        .end_object();
    const auto audited = add_audit(work, who, made.id, std::move(changes), from);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        auto kept = once.explain(done.error());
        co_return kept ? *kept : refused_people(done.error(), no_such_invite());
    }
    made.created_at = done->answers[done->looked_up ? 0 : created].scalar<timestamp>();
    with.tasks.wake();
    co_return made;
}

runtime::awaitable<result<std::vector<invite>>> list_invites(context& with,
                                                             const token::claims& who,
                                                             std::optional<invite_position> after,
                                                             int limit, runtime::deadline until) {
    pg::unit work;
    add_assert_session(work, who);
    work.add(list, *who.tenant, after ? std::optional(after->created_at) : std::nullopt,
             after ? std::optional(after->id) : std::nullopt, static_cast<std::int64_t>(limit));
    const auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    std::vector<invite> found;
    for (const auto row : answer->back()) {
        found.push_back(to_invite(row));
    }
    co_return found;
}

runtime::awaitable<result<invite>> read_invite(context& with, const token::claims& who,
                                               invite_id id, runtime::deadline until) {
    pg::unit work;
    add_assert_session(work, who);
    work.add(read_one, *who.tenant, id);
    const auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return tenancy::to_error(answer.error());
    }
    if (answer->back().empty()) {
        co_return no_such_invite();
    }
    co_return to_invite(answer->back().front());
}

runtime::awaitable<result<>> withdraw_invite(context& with, const token::claims& who, invite_id id,
                                             caller from) {
    pg::unit work;
    work.add(withdraw, who.session, who.session_version, who.subject, *who.tenant, id);
    const auto audited = add_audit(work, who, id, R"({"status":"withdrawn"})", from);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return refused_people(done.error(), no_such_invite());
    }
    co_return result<>();
}

runtime::awaitable<result<>> renew_invite(context& with, const token::claims& who, invite_id id,
                                          const within_limits& mails, caller from) {
    pg::unit look;
    look.add(find_invited, *who.tenant, id, who.subject);
    const auto found = co_await with.control.run(std::move(look), from.until);
    if (!found) {
        co_return pg::to_error(found.error());
    }
    if (found->front().empty()) {
        co_return no_such_invite();
    }
    const auto invited = found->front().only();
    if (auto within = mails(invited.get<std::string_view>(6)); !within) {
        co_return within.error();
    }
    const auto to = invited.get<std::string>(1);
    auto token = random_token_256();
    pg::unit work;
    work.add(renew, who.session, who.session_version, who.subject, *who.tenant, id, to,
             secret_keys::stored_form(token.view()), lifetime_of(accept_invite_purpose));
    add_mail(work, with.keys,
             {.purpose = {},
              .to = to,
              .full_name = invited.get<std::optional<std::string>>(2).value_or(""),
              .token = std::move(token),
              .tenant_name = invited.get<std::string>(0),
              .role = invited.get<std::string>(5),
              .inviter_name = invited.get<std::string>(3),
              .inviter_email = invited.get<std::string>(4)});
    const auto audited = add_audit(work, who, id, R"({"status":"sent_again"})", from);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return refused_people(done.error(), no_such_invite());
    }
    with.tasks.wake();
    co_return result<>();
}

}  // namespace insula::identity
