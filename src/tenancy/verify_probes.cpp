#include "verify_attempts.hpp"

#include "insula/core/random.hpp"
#include "insula/tenancy/scope.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>

namespace insula::tenancy {
namespace {

using detail::attempt;
using detail::attempt_group;
using detail::attempt_plan;
using must = attempt::must;

constexpr pg::statement list_cells{
    "verify.cells",
    "select substring(rolname::text from '_cell_([0-9]{1,4})$')::integer from pg_catalog.pg_roles"
    " where rolname::text ~ ('^' || $1 || '_cell_[0-9]{1,4}$') order by 1"};
constexpr pg::statement own_backend{"verify.backend", "select pg_catalog.pg_backend_pid()"};
constexpr pg::statement wait_for_ever{
    "verify.wait",
    "select pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true)"};
constexpr pg::statement switch_role{"verify.role",
                                    "select pg_catalog.set_config('role', $1, true)"};

/// What keeps an attempt from waiting for anybody.
pg::unit_options attempt_limits() {
    pg::unit_options limits = pg::lease::exclusive_defaults();
    limits.lock_timeout = std::chrono::seconds(2);
    limits.statement_timeout = std::chrono::seconds(10);
    return limits;
}

struct outcome {
    std::string state = "00000";
    std::string message{};
    bool lost = false;
    bool truth = true;  ///< of the last result, where that was asked for
};

runtime::awaitable<outcome> run(pg::lease& on, const attempt& what) {
    outcome seen;
    const auto failed = [&seen](const pg::pg_error& why) {
        seen.state = std::string(why.state.str());
        seen.message = why.message;
        seen.lost = why.lost();
    };
    if (auto begun = co_await on.begin(); !begun) {
        failed(begun.error());
        co_return seen;
    }
    // One unit, because each sets the login's own role again when it begins.
    pg::unit work;
    if (!what.role.empty()) {
        work.add(switch_role, what.role);
    }
    for (const auto& sql : what.before) {
        work.add_once(sql);
    }
    work.add_once(what.sql);
    auto answer = co_await on.exec(std::move(work), attempt_limits());
    if (!answer) {
        failed(answer.error());
        if (!what.role.empty() && answer.error().statement == 0) {
            seen.state = "the role refused";
        }
    } else if (what.what == must::answer_true) {
        seen.truth = answer->back().scalar<bool>();
    }
    if (auto undone = co_await on.rollback(); !undone) {
        seen.lost = true;
    }
    co_return seen;
}

std::string judge(const attempt& what, const outcome& seen) {
    switch (what.what) {
        case must::be_refused:
            if (seen.state == "42501" || (!what.refusal.empty() && seen.state == what.refusal)) {
                return {};
            }
            return seen.state == "00000"
                       ? "it was allowed: " + what.sql
                       : fmt::format("it was not refused, but ended with {} ({}): {}", seen.state,
                                     seen.message, what.sql);
        case must::succeed:
            return seen.state == "00000"
                       ? ""
                       : fmt::format(
                             "it failed with {} ({}), so what else was refused proves "
                             "nothing: {}",
                             seen.state, seen.message, what.sql);
        case must::answer_true:
            break;
    }
    if (seen.state == "00000") {
        return seen.truth ? "" : "the answer was no: " + what.sql;
    }
    return fmt::format("it failed with {} ({}): {}", seen.state, seen.message, what.sql);
}

/// One run: its connections, its two tenants, and the report as it grows.
class probing {
public:
    probing(login_source& logins, const probe_options& options, const isolation_progress& tell)
        : logins_(logins), options_(options), tell_(tell) {}

    runtime::awaitable<isolation_report> run_all() {
        auto owner = co_await logins_.open(options_.roles.owner());
        auto worker = co_await logins_.open(options_.roles.worker());
        if (!owner || !worker) {
            give_up("there are no temporary tenants: ", owner ? worker.error() : owner.error());
            co_return std::move(report_);
        }
        const auto locked = co_await detail::lock_out_others(*owner);
        if (!locked || !*locked) {
            report_.trouble =
                locked ? "Another verify-isolation is running on this database: wait for it."
                       : "The database did not answer: " + locked.error().message;
            co_return std::move(report_);
        }
        std::exception_ptr thrown;
        try {
            co_await try_everything(*owner, *worker);
        } catch (...) {
            thrown = std::current_exception();
        }
        co_await clean_up(*owner, *worker);
        if (thrown) {
            std::rethrow_exception(thrown);
        }
        co_return std::move(report_);
    }

private:
    void give_up(std::string_view what, const pg::pg_error& why) {
        if (report_.trouble.empty()) {
            report_.trouble = std::string(what) + why.message;
        }
    }

    bool interrupted() {
        if (!stopped_ && options_.interrupted && options_.interrupted()) {
            stopped_ = true;
            report_.trouble = "Interrupted before everything was tried.";
        }
        return stopped_;
    }

    runtime::awaitable<void> clean_up(pg::lease& owner, pg::lease& worker) {
        auto left = co_await detail::find_left_behind(owner);
        pg::pg_result<> done;
        for (const auto& tenant : left ? *left : std::vector<tenant_id>{}) {
            auto removed = co_await detail::remove_tenant(worker, owner, tenant);
            done = done ? std::move(removed) : std::move(done);
        }
        if (!left || !done) {
            const auto& why = left ? done.error() : left.error();
            report_.trouble = "The temporary tenants could not be removed (" + why.message +
                              "): run insula verify-isolation again.";
        }
    }

    runtime::awaitable<bool> prepare(pg::lease& owner, pg::lease& worker, attempt_plan& plan) {
        pg::unit look;
        look.add(list_cells, options_.roles.prefix());
        auto cells = co_await owner.exec(std::move(look));
        auto control = co_await detail::relations_of(owner, {"control", "queue"}, 1000);
        if (!cells || !control) {
            give_up("The database did not answer: ", cells ? control.error() : cells.error());
            co_return false;
        }
        std::vector<int> numbers;
        for (const auto row : cells->front()) {
            numbers.push_back(row.get<std::int32_t>(0));
        }
        if (numbers.empty()) {
            report_.trouble = "There is no cell: run insula bootstrap.";
            co_return false;
        }
        plan.control = std::move(*control);
        const auto a = tenant_id::make();
        const auto b = tenant_id::make();
        const auto home =
            static_cast<std::size_t>(choose_cell(a, static_cast<int>(numbers.size())));
        plan.cell = numbers[home];
        plan.other_cells = numbers;
        std::erase(plan.other_cells, plan.cell);
        auto made_a = co_await detail::make_tenant(worker, a, plan.cell);
        if (!made_a) {
            give_up("The temporary tenants could not be made: ", made_a.error());
            co_return false;
        }
        plan.a = std::move(*made_a);
        auto made_b = co_await detail::make_tenant(worker, b, plan.cell);
        if (!made_b) {
            give_up("The temporary tenants could not be made: ", made_b.error());
            co_return false;
        }
        plan.b = std::move(*made_b);
        co_return true;
    }

    /// B's session: in a transaction, with a text that nobody else may see.
    runtime::awaitable<bool> begin_neighbour(pg::lease& on, attempt_plan& plan) {
        plan.mark = "mark-" + tenant_id::make().str();
        (void)co_await on.begin();
        pg::unit work;
        work.add(switch_role, plan.b.role());
        work.add(own_backend);
        // It waits while all is tried; a server that ends who waits would look like a success.
        work.add(wait_for_ever);
        work.add_once("select '" + plan.mark + "'");
        auto answer = co_await on.exec(std::move(work), attempt_limits());
        if (!answer) {
            give_up("A cell cannot become its own tenant: ", answer.error());
            co_return false;
        }
        plan.neighbour = (*answer)[1].scalar<std::int32_t>();
        neighbour_ = &on;
        ask_neighbour_ = "select '" + plan.mark + "'";
        co_return true;
    }

    /// Its backend's number may be a stranger's, once it is gone.
    runtime::awaitable<bool> neighbour_answers() {
        pg::unit work;
        work.add_once(ask_neighbour_);
        co_return (co_await neighbour_->exec(std::move(work), attempt_limits())).has_value();
    }

    runtime::awaitable<void> try_everything(pg::lease& owner, pg::lease& worker) {
        co_await clean_up(owner, worker);
        attempt_plan plan{.roles = options_.roles,
                          .other_cells = {},
                          .a = {},
                          .b = {},
                          .control = {},
                          .mark = {}};
        if (!report_.trouble.empty() || !co_await prepare(owner, worker, plan)) {
            co_return;
        }
        for (const auto& some : detail::attempt_checks) {
            report_.checks.push_back({.name = some.name, .title = some.title, .of = "attempts"});
        }
        auto neighbour = co_await logins_.open(options_.roles.cell(plan.cell));
        if (!neighbour) {
            give_up("The cell's login was not let in: ", neighbour.error());
            co_return;
        }
        if (!co_await begin_neighbour(*neighbour, plan)) {
            co_return;
        }
        for (const auto& group : detail::plan_attempts(plan)) {
            co_await try_group(group);
            if (stopped_) {
                break;
            }
        }
        (void)co_await neighbour->rollback();
        for (const auto& check : report_.checks) {
            tell_(check);
        }
        if (!stopped_) {
            co_await try_passwords(options_.roles.cell(plan.cell));
        }
    }

    isolation_check& check_of(const attempt_group& group) {
        return *std::ranges::find(report_.checks, group.check, &isolation_check::name);
    }

    runtime::awaitable<void> try_group(const attempt_group& group) {
        auto& check = check_of(group);
        auto on = co_await logins_.open(group.login);
        for (const auto& what : group.attempts) {
            if (interrupted()) {
                break;
            }
            if (!on) {
                check.trouble = "login " + group.login + " was not let in: " + on.error().message;
                break;
            }
            if (what.on_neighbour && !co_await neighbour_answers()) {
                check.trouble = "the session that it was to be tried on has ended meanwhile";
                continue;
            }
            const auto seen = co_await run(*on, what);
            ++check.looked_at;
            if (auto sentence = judge(what, seen); !sentence.empty()) {
                note(check, group, what, std::move(sentence));
            }
            if (seen.lost) {
                on = pg::lease();
                on = co_await logins_.open(group.login);
            }
        }
        if (on) {
            *on = pg::lease();
        }
        if (group.check == "probe_other_cell") {
            co_await logins_.close(group.login);
        }
    }

    static void note(isolation_check& check, const attempt_group& group, const attempt& what,
                     std::string sentence) {
        if (check.findings.size() >= static_cast<std::size_t>(findings_max)) {
            ++check.more_dangers;
            return;
        }
        const auto* known = std::ranges::find(
            detail::attempt_checks, check.name,
            [](const detail::attempt_check& some) { return std::string(some.name); });
        check.findings.push_back({.how = severity::danger,
                                  .object = "login " + group.login +
                                            (what.role.empty() ? "" : " in the role " + what.role),
                                  .what = std::move(sentence),
                                  .mend = known->mend});
    }

    runtime::awaitable<void> try_passwords(std::string login) {
        isolation_check check{.name = "probe_password",
                              .title = "a login needs its password",
                              .looked_at = 1,
                              .of = "attempts"};
        if (co_await logins_.takes_any_password(login)) {
            check.findings.push_back(
                {.how = severity::notice,
                 .object = "login " + login,
                 .what = "the server lets it in with a wrong password: whoever reaches the server "
                         "is any login, and so any cell",
                 .mend = "scram-sha-256 instead of trust or peer in pg_hba.conf (and in the "
                         "pooler, if there is one)"});
        }
        tell_(check);
        report_.checks.push_back(std::move(check));
    }

    login_source& logins_;
    const probe_options& options_;
    const isolation_progress& tell_;
    isolation_report report_;
    pg::lease* neighbour_ = nullptr;
    std::string ask_neighbour_;
    bool stopped_ = false;
};

}  // namespace

runtime::awaitable<isolation_report> probe_isolation(login_source& logins,
                                                     const probe_options& options,
                                                     const isolation_progress& tell) {
    probing one(logins, options, tell);
    co_return co_await one.run_all();
}

}  // namespace insula::tenancy
