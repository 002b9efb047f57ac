#include "insula/identity/tenant_life.hpp"

#include "taken.hpp"
#include "tenant_changes.hpp"

#include "insula/core/random.hpp"
#include "insula/identity/jobs.hpp"
#include "insula/identity/run_change.hpp"
#include "insula/queue/enqueue.hpp"
#include "insula/tenancy/scope.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement add_tenant{
    "tenant.create",
    "insert into control.tenant (id, slug, name, cell) values ($1, $2, $3, $4)"
    " returning created_at"};
// An intent: the last step of provisioning makes it active.
constexpr pg::statement add_membership{"tenant.create_owner",
                                       "insert into control.membership (tenant_id, user_id, role)"
                                       " values ($1, $2, 'owner')"};
constexpr pg::statement add_registration{
    "tenant.create_registration",
    "insert into control.registration (id_hash, tenant_id, user_id, run_id, new_account)"
    " values ($1, $2, $3, $4, false)"};
constexpr pg::statement assert_restorer{
    "tenant.assert_restorer", "select control.assert_restorer($1, $2::bigint::integer, $3, $4)"};
constexpr pg::statement read_own{
    "tenant.read_own",
    "select t.id, t.slug, t.name, t.status, m.role, t.created_at, t.version from control.tenant t"
    " join control.membership m on m.tenant_id = t.id and m.user_id = $2 where t.id = $1"};
constexpr pg::statement read_purge_at{"tenant.purge_at",
                                      "select purge_at from control.tenant where id = $1"};
constexpr pg::statement find_registration{
    "tenant.registration",
    "select t.id, r.user_id, t.cell, r.new_account from control.registration r"
    " join control.tenant t on t.id = r.tenant_id where r.id_hash = $1 and t.status <> 'gone'"};

}  // namespace

runtime::awaitable<result<created_tenant>> create_tenant(context& with, const token::claims& who,
                                                         const tenant_form& form, caller from,
                                                         once_only<created_tenant> once) {
    created_tenant made{random_token_128(), tenant_id::make(), {}};
    const auto run = run_id::make();
    const int cell = tenancy::choose_cell(made.tenant, with.cells);
    pg::unit work;
    add_assert_session(work, who);
    once.add_to(work, made);
    const std::size_t tenant = work.size();
    work.add(add_tenant, made.tenant, form.slug, form.name, cell);
    work.add(add_membership, made.tenant, who.subject);
    work.add(add_registration, secret_keys::stored_form(made.registration_id.view()), made.tenant,
             who.subject, run);
    queue::add_enqueue(
        work, run,
        provision_request(
            {.tenant = made.tenant, .owner = who.subject, .cell = cell, .new_account = false}));
    const auto audited = audit_change(work, "tenant.create", made.tenant, by_member(who), from,
                                      R"({"status":"provisioning"})");
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        auto kept = once.explain(done.error());
        co_return kept ? *kept : taken(done.error());
    }
    made.created_at = done->answers[done->looked_up ? 0 : tenant].scalar<timestamp>();
    with.tasks.wake();
    co_return made;
}

runtime::awaitable<result<deletion>> request_deletion(context& with, const token::claims& who,
                                                      caller from) {
    pg::unit work;
    add_assert_session(work, who);
    add_deletion(work, *who.tenant, with.deletion_grace, false);
    const auto audited = audit_change(work, "tenant.delete", *who.tenant, by_member(who), from,
                                      R"({"status":"pending_deletion"})");
    pg::unit read_again;
    read_again.add(read_purge_at, *who.tenant);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until,
                                    std::move(read_again));
    if (!done) {
        co_return tenancy::to_error(done.error());
    }
    with.tasks.wake();
    co_await with.revoked.catch_up(from.until);
    const auto purge_at = done->answers[1].scalar<std::optional<timestamp>>();
    if (purge_at) {
        co_return deletion{*purge_at};
    }
    // Looked up, and it has been restored since; what was promised then is known to the second.
    co_return deletion{done->answers[0].scalar<timestamp>() + with.deletion_grace};
}

runtime::awaitable<result<tenant_view>> restore_tenant(context& with, const token::claims& who,
                                                       caller from) {
    pg::unit work;
    work.add(assert_restorer, who.session, who.session_version, who.subject, who.tenant);
    add_restore(work, *who.tenant);
    const auto audited = audit_change(work, "tenant.restore", *who.tenant, by_member(who), from);
    pg::unit read_again;
    read_again.add(read_own, *who.tenant, who.subject);
    work.append(read_again);
    auto done = co_await run_change(with.control, std::move(work), audited, from.until,
                                    std::move(read_again));
    if (!done) {
        const auto& failure = done.error();
        if (failure.state == tenancy::wrong_tenant_status && failure.detail == "suspended") {
            co_return error(errc::tenant_suspended, "The tenant is suspended.", failure.message);
        }
        co_return tenancy::to_error(failure);
    }
    with.tasks.wake();
    co_await with.revoked.catch_up(from.until);
    const auto row = done->answers.back().front();
    co_return tenant_view{
        row.get<tenant_id>(0),
        row.get<std::string>(1),
        row.get<std::string>(2),
        tenancy::parse_tenant_status(row.get<std::string_view>(3)),
        token::parse_role(row.get<std::string_view>(4)).value_or(token::role::none),
        row.get<timestamp>(5),
        row.get<std::int32_t>(6)};
}

runtime::awaitable<result<registration_status>> retry_registration(context& with,
                                                                   std::string_view registration_id,
                                                                   caller from) {
    pg::unit look;
    look.add(find_registration, secret_keys::stored_form(registration_id));
    auto found = co_await with.control.run(std::move(look), from.until);
    if (!found) {
        co_return pg::to_error(found.error());
    }
    if (found->front().empty()) {
        co_return error(errc::not_found, "There is no registration with this id.");
    }
    const auto input = provisioning_of(found->front().front());
    pg::unit work;
    add_retry(work, input);
    const auto audited = audit_change(work, "tenant.update", input.tenant, {.user = input.owner},
                                      from, R"({"status":"provisioning"})");
    auto done = co_await run_change(with.control, std::move(work), audited, from.until);
    if (!done) {
        co_return retry_refused(done.error());
    }
    with.tasks.wake();
    co_return co_await read_registration(
        with, registration_id, runtime::deadline::after(std::chrono::seconds(0)), from.until);
}

}  // namespace insula::identity
