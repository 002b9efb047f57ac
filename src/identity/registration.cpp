#include "insula/identity/registration.hpp"

#include "new_password.hpp"
#include "taken.hpp"

#include "insula/audit/audit.hpp"
#include "insula/core/random.hpp"
#include "insula/identity/jobs.hpp"
#include "insula/identity/mail_tokens.hpp"
#include "insula/identity/run_change.hpp"
#include "insula/queue/enqueue.hpp"
#include "insula/tenancy/scope.hpp"

namespace insula::identity {
namespace {

constexpr pg::statement add_account{
    "registration.account",
    "insert into control.account (id, email, email_canonical, full_name,"
    " password_hash) values ($1, $2, $3, $4, $5) returning created_at"};
constexpr pg::statement add_tenant{
    "registration.tenant",
    "insert into control.tenant (id, slug, name, cell) values ($1, $2, $3, $4)"};
// An intent: the last step of provisioning makes it active.
constexpr pg::statement add_membership{"registration.membership",
                                       "insert into control.membership (tenant_id, user_id, role)"
                                       " values ($1, $2, 'owner')"};
constexpr pg::statement add_registration{
    "registration.registration",
    "insert into control.registration (id_hash, tenant_id, user_id, run_id, new_account)"
    " values ($1, $2, $3, $4, true)"};
constexpr pg::statement find_registration{
    "registration.find",
    "select t.id, t.slug, t.name, t.status, r.run_id, t.failure_code, t.failure_detail"
    " from control.registration r join control.tenant t on t.id = r.tenant_id"
    " where r.id_hash = $1 and t.status <> 'gone'"};

struct found_registration {
    registration_status status;
    run_id run;
};

runtime::awaitable<result<found_registration>> find(context& with, std::string_view registration_id,
                                                    runtime::deadline until) {
    pg::unit work;
    work.add(find_registration, secret_keys::stored_form(registration_id));
    auto answer = co_await with.control.run(std::move(work), until);
    if (!answer) {
        co_return pg::to_error(answer.error());
    }
    if (answer->front().empty()) {
        co_return error(errc::not_found, "There is no registration with this id.");
    }
    const auto row = answer->front().front();
    found_registration found;
    found.status.tenant = row.get<tenant_id>(0);
    found.status.slug = row.get<std::string>(1);
    found.status.name = row.get<std::string>(2);
    const auto status = tenancy::parse_tenant_status(row.get<std::string_view>(3));
    using enum tenancy::tenant_status;
    found.status.status = status == provisioning || status == failed ? status : ready;
    found.run = row.get<run_id>(4);
    if (status == failed) {
        found.status.failure_code = row.get<std::optional<std::string>>(5).value_or("");
        found.status.failure_detail = row.get<std::optional<std::string>>(6).value_or("");
    }
    co_return found;
}

}  // namespace

runtime::awaitable<result<registered>> register_tenant(context& with, const registration_form& form,
                                                       caller from, once_only<registered> once) {
    auto hash = co_await hash_new_password(with, form.password,
                                           {.email = form.email.str(),
                                            .full_name = form.full_name.str(),
                                            .tenant_name = form.tenant_name.str()},
                                           "/password");
    if (!hash) {
        co_return hash.error();
    }
    registered made{random_token_128(), user_id::make(), tenant_id::make(), {}};
    const auto run = run_id::make();
    const int cell = tenancy::choose_cell(made.tenant, with.cells);

    pg::unit work;
    once.add_to(work, made);
    const std::size_t account = work.size();
    work.add(add_account, made.user, form.email.str(), form.email.canonical(), form.full_name,
             *hash);
    work.add(add_tenant, made.tenant, form.tenant_slug, form.tenant_name, cell);
    work.add(add_membership, made.tenant, made.user);
    work.add(add_registration, secret_keys::stored_form(made.registration_id.view()), made.tenant,
             made.user, run);
    queue::add_enqueue(
        work, run,
        provision_request(
            {.tenant = made.tenant, .owner = made.user, .cell = cell, .new_account = true}));
    add_verification_mail(
        work, with.keys,
        {made.user, form.email.str(), form.email.canonical(), form.full_name.str()});
    audit::entry entry;
    entry.action = "user.register";
    entry.entity_type = "user";
    entry.entity_id = made.user.str();
    entry.user = made.user;
    entry.ip = from.ip;
    entry.request_id = from.request_id;
    audit::add(work, entry, made.tenant);

    auto done = co_await run_change(with.control, std::move(work), entry.id, from.until);
    if (!done) {
        auto kept = once.explain(done.error());
        co_return kept ? *kept : taken(done.error());
    }
    made.created_at = done->answers[done->looked_up ? 0 : account].scalar<timestamp>();
    with.tasks.wake();
    co_return made;
}

runtime::awaitable<result<registration_status>> read_registration(context& with,
                                                                  std::string_view registration_id,
                                                                  runtime::deadline wait_until,
                                                                  runtime::deadline until) {
    auto found = co_await find(with, registration_id, until);
    if (!found) {
        co_return found.error();
    }
    if (!found->status.final() && !wait_until.expired()) {
        // Interest first, then the look: a change in between wakes us.
        auto watch = with.tasks.changes().subscribe(*runtime::loop::current(), found->run);
        for (;;) {
            found = co_await find(with, registration_id, until);
            if (!found || found->status.final()) {
                break;
            }
            // Another process may do the work, and its NOTIFY may be lost: look again each second.
            (void)co_await watch.next(
                wait_until.sooner(runtime::deadline::after(std::chrono::seconds(1))));
            const bool stopping =
                with.stopping != nullptr && with.stopping->load(std::memory_order_relaxed);
            if (stopping || wait_until.expired()) {
                found = co_await find(with, registration_id, until);
                break;
            }
        }
        if (!found) {
            co_return found.error();
        }
    }
    auto steps =
        co_await queue::read_status(with.control, with.tasks.workflows(), found->run, until);
    if (!steps) {
        co_return pg::to_error(steps.error());
    }
    if (*steps) {
        auto& run = **steps;
        if (!run.final() && !run.undoing && !run.failures.empty()) {
            found->status.retrying = run.failures.back().step;
        }
        found->status.steps = std::move(run.steps);
    }
    co_return std::move(found->status);
}

}  // namespace insula::identity
