#include "../setup_connection.hpp"
#include "accepted_findings.hpp"
#include "command.hpp"

#include "insula/app/database_setup.hpp"
#include "insula/core/json_writer.hpp"
#include "insula/core/random.hpp"
#include "insula/pg/embedded_migrations.hpp"
#include "insula/runtime/signals.hpp"
#include "insula/tenancy/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <memory>
#include <optional>

namespace insula::app::commands {
namespace {

using tenancy::isolation_check;
using tenancy::isolation_report;
using tenancy::severity;

struct request {
    configuration_flags flags;
    bool json = false;
    bool read_only = false;
    std::string accepted;
};

constexpr pg::statement read_head{
    "verify.head", "select coalesce(max(number), 0)::integer from control.migration"};

constexpr int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};

/// These are blocked: one that has come waits here.
bool was_interrupted() {
    sigset_t waiting;
    return ::sigpending(&waiting) == 0 && std::ranges::any_of(ending_signals, [&](int one) {
               return ::sigismember(&waiting, one) == 1;
           });
}

/// Where nothing need be cleaned up, a signal ends the program as usual: also in the middle of a
/// statement, or of connecting.
class interruptible {
public:
    interruptible() {
        sigemptyset(&ending_);
        for (const int one : ending_signals) {
            sigaddset(&ending_, one);
        }
        ::pthread_sigmask(SIG_UNBLOCK, &ending_, nullptr);
    }
    ~interruptible() { ::pthread_sigmask(SIG_BLOCK, &ending_, nullptr); }
    interruptible(const interruptible&) = delete;
    interruptible& operator=(const interruptible&) = delete;

private:
    sigset_t ending_{};
};

/// The service's logins, each with a small pool of its own on one loop.
class logins final : public tenancy::login_source {
public:
    logins(runtime::loop& home, const database_url& url, const secret_bytes& key)
        : home_(home), url_(url), key_(key), budget_(8), resolver_(1, 8) {}

    runtime::awaitable<pg::pg_result<pg::lease>> open(std::string login) override {
        auto& pool = pools_[login];
        if (!pool) {
            pool = make_pool(login, url_.conninfo(login, key_));
        }
        return acquire(*pool, setup_connection::connect_limit);
    }

    runtime::awaitable<void> close(std::string login) override {
        if (const auto found = pools_.find(login); found != pools_.end()) {
            const auto pool = std::move(found->second);
            pools_.erase(found);
            co_await pool->close(runtime::deadline::after(std::chrono::seconds(5)));
        }
    }

    runtime::awaitable<bool> takes_any_password(std::string login) override {
        secret_bytes other(32);
        random_bytes(other.writable());
        const auto pool = make_pool("wrong_password", url_.conninfo(login, other));
        const bool taken = (co_await acquire(*pool, setup_connection::first_look)).has_value();
        co_await pool->close(runtime::deadline::after(std::chrono::seconds(5)));
        co_return taken;
    }

    runtime::awaitable<void> close_all() {
        while (!pools_.empty()) {
            co_await close(pools_.begin()->first);
        }
    }

private:
    std::unique_ptr<pg::pool> make_pool(std::string name, std::string conninfo) {
        return std::make_unique<pg::pool>(
            home_,
            pg::pool_options{.name = std::move(name),
                             .conninfo = std::move(conninfo),
                             .exclusive_max = 2,
                             .backoff_max = std::chrono::milliseconds(500)},
            budget_, metrics_, &resolver_);
    }

    static runtime::awaitable<pg::pg_result<pg::lease>> acquire(pg::pool& from,
                                                                std::chrono::seconds limit) {
        const auto until = runtime::deadline::after(limit);
        const auto look = [until] {
            return until.sooner(runtime::deadline::after(setup_connection::first_look));
        };
        auto lease = co_await from.acquire(look());
        while (!lease && may_come_up(lease.error()) && !until.expired() && !was_interrupted()) {
            lease = co_await from.acquire(look());
        }
        if (lease) {
            lease->expires_at(runtime::deadline::after(setup_connection::setup_limit));
        }
        co_return lease;
    }

    runtime::loop& home_;
    const database_url& url_;
    const secret_bytes& key_;
    observe::metrics metrics_;
    pg::connection_budget budget_;
    runtime::cpu_pool resolver_;
    std::map<std::string, std::unique_ptr<pg::pool>> pools_;
};

isolation_report in_trouble(std::string sentence) {
    isolation_report report;
    report.trouble = std::move(sentence);
    return report;
}

runtime::awaitable<isolation_report> verify(logins& who, const tenancy::role_names& roles,
                                            bool read_only,
                                            const tenancy::isolation_progress& tell) {
    isolation_report report;
    std::optional<interruptible> nothing_to_remove(std::in_place);
    auto app = co_await who.open(roles.app());
    if (!app) {
        co_return in_trouble(explain(app.error()));
    }
    pg::unit look;
    look.add(read_head);
    const auto head = co_await app->exec(std::move(look));
    if (!head) {
        co_return in_trouble(explain(head.error()));
    }
    const auto needed = pg::embedded_control_migrations().back().number;
    if (const auto found = head->front().scalar<std::int32_t>(); found < needed) {
        co_return in_trouble(
            fmt::format("The database is at migration {}, this version needs {}: run insula "
                        "migrate.",
                        found, needed));
    }
    auto checks = co_await tenancy::examine_isolation(*app, roles, tell);
    if (!checks) {
        co_return in_trouble(explain(checks.error()));
    }
    *app = pg::lease();
    nothing_to_remove.reset();
    if (!read_only) {
        const tenancy::probe_options options{roles, was_interrupted};
        report = co_await tenancy::probe_isolation(who, options, tell);
    }
    report.checks.insert(report.checks.begin(), std::make_move_iterator(checks->begin()),
                         std::make_move_iterator(checks->end()));
    co_return report;
}

runtime::awaitable<isolation_report> verify_and_close(logins& who, const tenancy::role_names& roles,
                                                      bool read_only,
                                                      const tenancy::isolation_progress& tell) {
    auto report = co_await verify(who, roles, read_only, tell);
    co_await who.close_all();
    co_return report;
}

std::string_view verdict_of(const isolation_check& check) {
    if (!check.trouble.empty()) {
        return "FAIL";
    }
    std::string_view verdict = check.more_notices > 0 ? "note" : "ok";
    for (const auto& finding : check.findings) {
        if (finding.how == severity::danger) {
            return "FAIL";
        }
        if (finding.how == severity::notice) {
            verdict = "note";
        }
    }
    return check.more_dangers > 0 ? "FAIL" : verdict;
}

void say_check(const isolation_check& check) {
    say(fmt::format("{:<5} {:<20} {}: {} {}", verdict_of(check), check.name, check.title,
                    check.looked_at, check.of));
    if (!check.trouble.empty()) {
        say("      could not be looked at: " + check.trouble);
    }
    for (const auto& finding : check.findings) {
        if (finding.how == severity::accepted) {
            say(fmt::format("      accepted: {}: {}", finding.object, finding.what));
            continue;
        }
        say(fmt::format("      {}: {}\n        {}\n        mend: {}", tenancy::name(finding.how),
                        finding.object, finding.what, finding.mend));
    }
    if (const auto more = check.more_dangers + check.more_notices; more > 0) {
        say(fmt::format("      and {} more", more));
    }
}

void write_check(json_writer& out, const isolation_check& check) {
    out.begin_object()
        .member("name", check.name)
        .member("title", check.title)
        .member("looked_at", check.looked_at)
        .member("of", check.of)
        .key("findings")
        .begin_array();
    for (const auto& finding : check.findings) {
        out.begin_object()
            .member("severity", tenancy::name(finding.how))
            .member("object", finding.object)
            .member("what", finding.what)
            .member("mend", finding.mend)
            .end_object();
    }
    out.end_array().member("more", check.more_dangers + check.more_notices).key("trouble");
    check.trouble.empty() ? out.null() : out.value(check.trouble);
    out.end_object();
}

std::string to_json(const isolation_report& report) {
    std::string text;
    json_writer out(text);
    out.begin_object()
        .member("isolated", report.isolated())
        .member("dangers", report.count(severity::danger))
        .member("notices", report.count(severity::notice))
        .member("accepted", report.count(severity::accepted))
        .key("trouble");
    report.trouble.empty() ? out.null() : out.value(report.trouble);
    out.key("checks").begin_array();
    for (const auto& check : report.checks) {
        write_check(out, check);
    }
    out.end_array().end_object();
    return text;
}

int conclude(const isolation_report& report, const request& typed) {
    if (typed.json) {
        say(to_json(report));
    }
    if (!report.trouble.empty()) {
        return complain(report.trouble, failed);
    }
    if (!typed.json) {
        const auto notices = report.count(severity::notice);
        const std::string aside =
            notices == 0 ? "" : fmt::format(" {} to judge yourself.", notices);
        if (report.isolated()) {
            say(fmt::format("Isolated: {} checks, nothing found.{}", report.checks.size(), aside));
        } else {
            say(fmt::format("NOT isolated: {} dangers found; mend them and run this again.{}",
                            report.count(severity::danger), aside));
        }
    }
    return report.isolated() ? done : failed;
}

int verify_isolation(const request& typed) {
    const auto values = typed.flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (auto usable = check_database_settings(*values); !usable) {
        return complain(sentence_of(usable.error()), wrong_configuration);
    }
    auto accepted = typed.accepted.empty() ? result<accepted_findings>(accepted_findings())
                                           : accepted_findings::read(typed.accepted);
    if (!accepted) {
        return complain(sentence_of(accepted.error()), wrong_configuration);
    }
    // Before there is a thread: what is interrupted removes its temporary tenants first, also when
    // its terminal or the reader of its output has gone.
    runtime::block_signals({SIGINT, SIGTERM, SIGHUP, SIGPIPE});
    auto home = setup_loop(*values);
    if (!home) {
        return complain(sentence_of(home.error()), wrong_configuration);
    }
    observe::configure_log({.level = observe::log_level::error, .format = values->log_format});
    const auto url = database_url::parse(values->database_url);
    const auto key = values->key();
    const auto roles = roles_of(*values);
    logins who(**home, *url, *key);
    const tenancy::isolation_progress tell_check = [&](const isolation_check& check) {
        if (!typed.json) {
            auto judged = check;
            accepted->mark(judged);
            say_check(judged);
        }
    };
    auto report = run_blocking(**home, verify_and_close(who, *roles, typed.read_only, tell_check));
    std::ranges::for_each(report.checks, [&](auto& check) { accepted->mark(check); });
    for (const auto& line : accepted->unmatched()) {
        tell("Accepted, but not found: " + line);
    }
    return conclude(report, typed);
}

}  // namespace

void add_verify_isolation(CLI::App& program, chosen_command& chosen) {
    auto* command = program.add_subcommand(
        "verify-isolation",
        "Examines roles, rights and code in the database, and tries with two temporary tenants "
        "what must be refused; exit code 1 when something is found");
    auto typed = std::make_shared<request>();
    typed->flags.add_to(*command);
    command->add_flag("--read-only", typed->read_only,
                      "only examine: make no temporary tenants and try nothing");
    command->add_flag("--json", typed->json, "for scripts");
    command->add_option(
        "--accept", typed->accepted,
        "file of findings that you have judged, a line each: CHECK | OBJECT | WHAT");
    command->callback([&chosen, typed] { chosen = [typed] { return verify_isolation(*typed); }; });
}

}  // namespace insula::app::commands
