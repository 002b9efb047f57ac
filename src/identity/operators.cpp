#include "insula/identity/operators.hpp"

#include "insula/audit/audit.hpp"
#include "insula/identity/run_change.hpp"

namespace insula::identity {
namespace {

/// What audit rows of a shell say instead of a request's id.
constexpr std::string_view at_a_shell = "command-line";

constexpr pg::statement add_operator{"operators.create",
                                     "insert into control.account (id, email, email_canonical, "
                                     "full_name, password_hash, email_verified_at, operator)"
                                     " values ($1, $2, $3, 'Operator', $4, now(), true)"};
constexpr pg::statement list_all{
    "operators.list",
    "select a.id, a.email, a.active, a.created_at,"
    " (select max(l.created_at) from control.audit_log l"
    "  where l.tenant_id is null and l.user_id = a.id and l.action = 'user.login'),"
    " (select count(*) from control.session s"
    "  where s.operator_user_id = a.id and s.ended_at is null and s.expires_at > now())"
    " from control.account a where a.operator and a.released_at is null"
    " order by a.email_canonical"};
constexpr pg::statement find_one{
    "operators.find",
    "select id from control.account"
    " where email_canonical = $1 and operator and released_at is null"};
// The audit row only where something changed.
constexpr pg::statement set_active{
    "operators.set_active",
    "with changed as (select control.set_operator_active($2, $3) as so),"
    " logged as (insert into control.audit_log (id, action, entity_type, entity_id, request_id)"
    "  select $1, $4, 'user', $2::text, $5 from changed where so)"
    " select so from changed"};

}  // namespace

runtime::awaitable<result<user_id>> create_operator(pg::pool& control,
                                                    const password_hasher& hasher,
                                                    const email_address& email,
                                                    const password_text& password,
                                                    runtime::deadline until) {
    if (const auto problem = check_new_password(password.view(), email.str())) {
        co_return error::validation("/password", problem->code, problem->detail);
    }
    const auto id = user_id::make();
    pg::unit work;
    work.add(add_operator, id, email.str(), email.canonical(), hasher.hash(password.view()));
    audit::entry entry;
    entry.action = "operator.create";
    entry.entity_type = "user";
    entry.entity_id = id.str();
    entry.request_id = at_a_shell;
    audit::add(work, entry, std::nullopt);
    const auto added = co_await run_change(control, std::move(work), entry.id, until);
    if (!added) {
        if (added.error().violates("account_email_taken")) {
            co_return error(errc::email_taken,
                            "There is an account with this e-mail address already.");
        }
        co_return pg::to_error(added.error());
    }
    co_return id;
}

runtime::awaitable<result<std::vector<operator_record>>> list_operators(pg::pool& control,
                                                                        runtime::deadline until) {
    pg::unit work;
    work.add(list_all);
    const auto answer = co_await control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    std::vector<operator_record> all;
    for (const auto row : answer->front()) {
        all.push_back({row.get<user_id>(0), row.get<std::string>(1), row.get<bool>(2),
                       row.get<timestamp>(3), row.get<std::optional<timestamp>>(4),
                       row.get<std::int64_t>(5)});
    }
    co_return all;
}

runtime::awaitable<result<bool>> set_operator_active(pg::pool& control, const email_address& email,
                                                     bool active, runtime::deadline until) {
    pg::unit look;
    look.add(find_one, email.canonical());
    const auto found = co_await control.run(std::move(look), until);
    if (!found) {
        co_return pg::to_error(found.error());
    }
    if (found->front().empty()) {
        co_return error(errc::not_found, "No operator has this e-mail address.");
    }
    const auto audited = audit_id::make();
    pg::unit work;
    work.add(set_active, audited, found->front().scalar<user_id>(), active,
             std::string_view(active ? "operator.enable" : "operator.disable"), at_a_shell);
    const auto done = co_await run_change(control, std::move(work), audited, until);
    if (!done) {
        co_return pg::to_error(done.error());
    }
    co_return done->looked_up || done->answers.front().scalar<bool>();
}

}  // namespace insula::identity
