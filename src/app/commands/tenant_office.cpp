#include "tenant_office.hpp"

#include "insula/api/tenant_record.hpp"
#include "insula/pg/embedded_migrations.hpp"
#include "insula/queue/operate.hpp"
#include "insula/runtime/timer.hpp"

#include <fmt/format.h>

namespace insula::app::commands {
namespace {

using tenancy::tenant_status;

constexpr std::chrono::milliseconds look_again{200};
constexpr pg::statement read_head{
    "tenant_desk.head", "select coalesce(max(number), 0)::integer from control.migration"};

bool on_its_way(tenant_status status) {
    return status == tenant_status::provisioning || status == tenant_status::pending_deletion ||
           status == tenant_status::deleting;
}

/// What is new since the last look, as lines.
class teller {
public:
    void look(const queue::run_status& run) {
        if (run.id != run_) {
            run_ = run.id;
            steps_.clear();
            failures_ = 0;
        }
        for (; failures_ < run.failures.size(); ++failures_) {
            const auto& f = run.failures[failures_];
            tell(fmt::format("  {}: attempt {} failed ({}){}", f.step, f.attempt, f.code,
                             f.detail.empty() ? "" : ": " + f.detail));
        }
        steps_.resize(std::max(steps_.size(), run.steps.size()), queue::step_state::pending);
        for (std::size_t i = 0; i < run.steps.size(); ++i) {
            if (steps_[i] != run.steps[i].state) {
                steps_[i] = run.steps[i].state;
                tell(fmt::format("  {}: {}", run.steps[i].name, queue::name(steps_[i])));
            }
        }
    }

private:
    run_id run_;
    std::vector<queue::step_state> steps_;
    std::size_t failures_ = 0;
};

runtime::awaitable<int> open_and_work(tenant_desk& desk, const desk_work& work) {
    int code = failed;
    if (const auto opened = co_await desk.open(); opened) {
        code = co_await work(desk);
    } else {
        code = complain(sentence_of(opened.error()), failed);
    }
    co_await desk.close();
    co_return code;
}

}  // namespace

int at_desk(const configuration_flags& flags, const desk_work& work) {
    const auto values = flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (auto usable = check_database_settings(*values); !usable) {
        return complain(sentence_of(usable.error()), wrong_configuration);
    }
    auto home = setup_loop(*values);
    if (!home) {
        return complain(sentence_of(home.error()), wrong_configuration);
    }
    // What goes wrong is told in one sentence at the end; every attempt to connect is not news.
    observe::configure_log({.level = observe::log_level::error, .format = values->log_format});
    const auto url = database_url::parse(values->database_url);
    tenant_desk desk(**home, url->conninfo(roles_of(*values)->app(), *values->key()),
                     values->deletion_grace);
    return run_blocking(**home, open_and_work(desk, work));
}

runtime::awaitable<result<>> tenant_desk::open() {
    auto lease = co_await app_.open();
    if (!lease) {
        co_return error(errc::internal, {}, explain(lease.error()));
    }
    pg::unit work;
    work.add(read_head);
    const auto head = co_await lease->exec(std::move(work));
    const bool unmade = !head && (head.error().state == pg::sqlstate::insufficient_privilege ||
                                  head.error().state == pg::sqlstate::undefined_table);
    if (!head && !unmade) {
        co_return error(errc::internal, {}, explain(head.error()));
    }
    const auto found = unmade ? 0 : head->front().scalar<std::int32_t>();
    if (const auto needed = pg::embedded_control_migrations().back().number; found < needed) {
        co_return error(errc::internal, {},
                        fmt::format("The database is at migration {}, this version needs {}: run "
                                    "insula migrate.",
                                    found, needed));
    }
    co_return result<>();
}

runtime::awaitable<result<identity::tenant_record>> tenant_desk::find(std::string_view named) {
    auto id = tenant_id::parse(named);
    if (id) {
        auto shown = co_await identity::show_tenant(office_, by(), *id, soon());
        if (shown || shown.error() != errc::not_found) {
            co_return shown;
        }
    }
    // A slug may look like an id.
    const auto found = co_await identity::find_tenant(office_, by(), named, soon());
    if (!found) {
        co_return found.error();
    }
    co_return co_await identity::show_tenant(office_, by(), *found, soon());
}

runtime::awaitable<std::optional<queue::run_status>> tenant_desk::newest_run(tenant_id tenant) {
    queue::run_filter which;
    which.tenant = tenant;
    which.limit = 1;
    const auto runs = co_await queue::list_runs(office_.control, which, soon());
    if (!runs || runs->empty()) {
        co_return std::nullopt;
    }
    const queue::registry none;  // steps that were tried are named by the run itself
    const auto run = co_await queue::read_status(office_.control, none, runs->front().id, soon());
    co_return run ? *run : std::nullopt;
}

runtime::awaitable<result<identity::tenant_record>> tenant_desk::watch(
    identity::tenant_record tenant) {
    const auto until = runtime::deadline::after(watch_limit);
    teller lines;
    for (auto last = tenant.status;; last = tenant.status) {
        if (const auto run = co_await newest_run(tenant.id)) {
            lines.look(*run);
        }
        auto now = co_await identity::show_tenant(office_, by(), tenant.id, soon());
        if (!now) {
            co_return now;
        }
        tenant = std::move(*now);
        if (tenant.status != last) {
            tell(fmt::format("{} is {}", tenant.slug, tenancy::name(tenant.status)));
        }
        if (!on_its_way(tenant.status) || until.expired()) {
            co_return tenant;
        }
        co_await runtime::sleep_until(runtime::deadline::after(look_again));
    }
}

void print_tenant(const identity::tenant_record& tenant) {
    const auto line = [](std::string_view name, const std::string& value) {
        say(fmt::format("{:<15}{}", name, value));
    };
    line("slug", tenant.slug);
    line("name", tenant.name);
    line("id", tenant.id.str());
    line("status", std::string(tenancy::name(tenant.status)));
    if (!tenant.failure_code.empty()) {
        line("failed of", tenant.failure_code + ": " + tenant.failure_detail);
    }
    if (tenant.purge_at) {
        line("purged at", rfc3339(*tenant.purge_at));
    }
    line("cell", std::to_string(tenant.cell));
    line("schema at", std::to_string(tenant.schema_version));
    line("made", rfc3339(tenant.created_at));
    line("changed", rfc3339(tenant.updated_at));
}

void print_run(const queue::run_status& run) {
    say(fmt::format("{:<15}{} {}: {}{}", "newest task", run.id.str(), run.kind,
                    queue::name(run.state), run.undoing ? ", undoing" : ""));
    if (!run.held_because.empty()) {
        say(fmt::format("{:<15}{}", "  held because", run.held_because));
    }
    for (const auto& step : run.steps) {
        say(fmt::format("  {}: {}, {} attempt{}", step.name, queue::name(step.state), step.attempts,
                        step.attempts == 1 ? "" : "s"));
    }
    for (const auto& f : run.failures) {
        say(fmt::format("  {} {}{}, attempt {}: {}{}{}", rfc3339(f.at), f.undoing ? "undo of " : "",
                        f.step, f.attempt, f.code, f.detail.empty() ? "" : ": " + f.detail,
                        f.internal.empty() ? "" : " [" + f.internal + "]"));
    }
    if (run.due) {
        say(fmt::format("  goes on at {}", rfc3339(*run.due)));
    }
}

void print_json(const identity::tenant_record& tenant) {
    std::string text;
    json_writer out(text);
    api::write_tenant_record(out, tenant);
    say(text);
}

}  // namespace insula::app::commands
