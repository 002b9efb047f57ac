// The queue as platform operators see it: runs, what happened to them, and what can be done.

#include "cursor.hpp"
#include "handlers.hpp"
#include "query_parameters.hpp"
#include "schemas.hpp"

#include "insula/audit/audit.hpp"
#include "insula/identity/tenant_life.hpp"
#include "insula/pg/transaction.hpp"
#include "insula/queue/operate.hpp"

namespace insula::api {
namespace {

using queue::run_state;

constexpr run_state all_states[] = {run_state::ready,    run_state::running, run_state::waiting,
                                    run_state::held,     run_state::done,    run_state::failed,
                                    run_state::cancelled};
constexpr std::size_t kind_size_max = 100;

/// "tenant.provision": what workflows are called.
struct task_kind {
    std::string text;

    static value_result<task_kind> parse(std::string_view text) {
        const bool fits =
            !text.empty() && text.size() <= kind_size_max && std::ranges::all_of(text, [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
            });
        if (!fits) {
            return value_problem("invalid_kind",
                                 "must be a kind such as tenant.provision: lower-case letters, "
                                 "digits, dots and underscores");
        }
        return task_kind{std::string(text)};
    }
};

error no_such_task() {
    return {errc::not_found, "There is no task with this id (any more)."};
}

std::optional<std::string_view> unless_empty(std::string_view text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

/// The members that a list and a single task have in common.
template <class Run>
void write_common(json_writer& out, const Run& run) {
    out.member("id", run.id)
        .member("kind", run.kind)
        .member("version", run.version)
        .member("status", queue::name(run.state))
        .member("tenant_id", run.tenant)
        .member("undoing", run.undoing)
        .member("cancel_requested", run.cancel_requested)
        .member("attempt", run.attempt)
        .member("crashes", run.crashes)
        .member("lock_key", unless_empty(run.lock_key))
        .member("error_code", unless_empty(run.error_code))
        .member("held_because", unless_empty(run.held_because))
        .member("created_at", run.created_at)
        .member("finished_at", run.finished_at);
}

void write_summary(json_writer& out, const queue::run_summary& run) {
    out.begin_object();
    write_common(out, run);
    out.end_object();
}

void write_failures(json_writer& out, const std::vector<queue::failed_attempt>& failures) {
    out.key("errors").begin_array();
    for (const auto& failed : failures) {
        out.begin_object()
            .member("step", failed.step)
            .member("undoing", failed.undoing)
            .member("attempt", failed.attempt)
            .member("at", failed.at)
            .member("code", failed.code)
            .member("detail", failed.detail)
            .member("internal", unless_empty(failed.internal))
            .end_object();
    }
    out.end_array();
}

std::string to_json(const queue::run_status& run) {
    std::string text;
    json_writer out(text);
    out.begin_object();
    write_common(out, run);
    out.member("error_detail", unless_empty(run.error_detail))
        .member("error_internal", unless_empty(run.error_internal))
        .member("held_step", unless_empty(run.held_step))
        .member("due", run.due)
        .member("retried_as", run.retried_as);
    out.key("steps").begin_array();
    for (const auto& step : run.steps) {
        out.begin_object()
            .member("name", step.name)
            .member("status", queue::name(step.state))
            .member("attempts", step.attempts)
            .end_object();
    }
    out.end_array();
    write_failures(out, run.failures);
    out.end_object();
    return text;
}

result<queue::run_filter> read_filter(const http::request& r) {
    queue::run_filter filter;
    auto kind = value_parameter<task_kind>(r, "kind");
    if (!kind) {
        return kind.error();
    }
    const auto state =
        choice_parameter(r, "status", all_states, [](run_state s) { return queue::name(s); });
    if (!state) {
        return state.error();
    }
    const auto tenant = id_parameter<tenant_id>(r, "tenant_id");
    if (!tenant) {
        return tenant.error();
    }
    if (*kind) {
        filter.kind = std::move((*kind)->text);
    }
    filter.state = *state;
    filter.tenant = *tenant;
    return filter;
}

/// No part can hold a line feed.
std::string text_of(const queue::run_filter& filter) {
    return filter.kind.value_or("") + "\n" +
           std::string(filter.state ? queue::name(*filter.state) : "") + "\n" +
           (filter.tenant ? filter.tenant->str() : "");
}

/// What an operator does to a run, and its audit row: both or neither.
struct operators_act {
    operator_context& c;
    run_id run;
    void (*add)(pg::unit&, run_id);
    std::string_view action;

    runtime::awaitable<result<queue::operation>> operator()(pg::lease& inside) const {
        pg::unit work;
        identity::add_assert_operator(work, c.who);
        add(work, run);
        const auto done = co_await inside.exec(std::move(work));
        if (!done) {
            co_return tenancy::to_error(done.error());
        }
        auto operation = queue::parse_operation((*done)[1]);
        if (operation.what == queue::operated::not_found) {
            co_return no_such_task();
        }
        if (operation.what == queue::operated::not_possible) {
            co_return error(errc::conflict, operation.note);
        }
        const auto from = c.caller();
        audit::entry entry;
        entry.action = action;
        entry.entity_type = "task";
        entry.entity_id = run.str();
        entry.operator_user = c.who.subject;
        entry.ip = from.ip;
        entry.request_id = from.request_id;
        pg::unit note;
        audit::add(note, entry, std::nullopt);
        const auto noted = co_await inside.exec(std::move(note));
        if (!noted) {
            co_return tenancy::to_error(noted.error());
        }
        co_return operation;
    }
};

answer operate(operator_context& c, void (*add)(pg::unit&, run_id), std::string_view action) {
    const auto id = run_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_task();
    }
    const auto operation = co_await pg::in_transaction(
        c.app.identity.control, {}, c.request.deadline, operators_act{c, *id, add, action});
    if (!operation) {
        co_return operation.error();
    }
    c.app.identity.tasks.wake();
    const auto url = "/api/v1/admin/tasks/" + operation->run.str();
    std::string text;
    json_writer(text)
        .begin_object()
        .member("task_id", operation->run)
        .member("task_url", url)
        .member("note", operation->note)
        .end_object();
    co_return http::response::json(202, std::move(text)).set("Location", url);
}

void add_retry(pg::unit& work, run_id run) {
    queue::add_retry(work, run);
}

}  // namespace

answer list_tasks(operator_context& c) {
    if (auto known = only_parameters(c.request, {"kind", "status", "tenant_id", "limit", "cursor"});
        !known) {
        co_return known.error();
    }
    const auto limit = limit_parameter(c.request);
    if (!limit) {
        co_return limit.error();
    }
    auto filter = read_filter(c.request);
    if (!filter) {
        co_return filter.error();
    }
    const cursor_codec cursors(c.app.identity.keys, "admin/tasks", tenant_id(), text_of(*filter));
    const auto after = cursors.read(c.request);
    if (!after) {
        co_return after.error();
    }
    if (*after) {
        filter->before = run_id((*after)->id);
    }
    filter->limit = *limit + 1;  // one more tells whether there is a next page
    pg::unit work;
    identity::add_assert_operator(work, c.who);
    queue::add_list_runs(work, *filter);
    const auto answered = co_await c.app.identity.control.run(std::move(work), c.request.deadline);
    if (!answered) {
        co_return tenancy::to_error(answered.error());
    }
    co_return answer_page(queue::parse_runs((*answered)[1]), *limit, write_summary,
                          [&](const queue::run_summary& last) {
                              return cursors.write({last.created_at, last.id.value()});
                          });
}

answer read_task(operator_context& c) {
    const auto id = run_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_task();
    }
    pg::unit work;
    identity::add_assert_operator(work, c.who);
    queue::add_status(work, *id);
    const auto answered = co_await c.app.identity.control.run(std::move(work), c.request.deadline);
    if (!answered) {
        co_return tenancy::to_error(answered.error());
    }
    const auto run = queue::parse_status((*answered)[1], c.app.identity.tasks.workflows());
    if (!run) {
        co_return no_such_task();
    }
    co_return http::response::json(200, to_json(*run));
}

answer retry_task(operator_context& c) {
    return operate(c, &add_retry, "task.retry");
}

answer cancel_task(operator_context& c) {
    return operate(c, &queue::add_cancel, "task.cancel");
}

answer skip_step_of_task(operator_context& c) {
    return operate(c, &queue::add_skip, "task.skip_step");
}

namespace schema {

namespace {

using member = std::pair<std::string_view, object>;

/// As `of`, from a list that grows.
object of_members(const std::vector<member>& members) {
    object properties;
    boost::json::array required;
    for (const auto& [name, what] : members) {
        properties[name] = what;
        required.emplace_back(boost::json::string(name));
    }
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"required", std::move(required)},
            {"additionalProperties", false}};
}

std::vector<member> common() {
    return {{"id", uuid()},
            {"kind", text()},
            {"version", integer()},
            {"status", task_status()},
            {"tenant_id", nullable(uuid())},
            {"undoing", boolean()},
            {"cancel_requested", boolean()},
            {"attempt", integer()},
            {"crashes", integer()},
            {"lock_key", nullable(text())},
            {"error_code", nullable(text())},
            {"held_because", nullable(text())},
            {"created_at", time()},
            {"finished_at", nullable(time())}};
}

}  // namespace

boost::json::object task_status() {
    return one_of({"ready", "running", "waiting", "held", "done", "failed", "cancelled"});
}
boost::json::object task_kind() {
    return {{"type", "string"}, {"pattern", "^[a-z0-9_.]{1,100}$"}};
}
boost::json::object task_page() {
    return page_of(of_members(common()));
}
boost::json::object task() {
    auto members = common();
    members.insert(
        members.end(),
        {{"error_detail", nullable(text())},
         {"error_internal", nullable(text())},
         {"held_step", nullable(text())},
         {"due", nullable(time())},
         {"retried_as", nullable(uuid())},
         {"steps",
          array_of(of({{"name", text()},
                       {"status", one_of({"pending", "running", "done", "failed", "undone"})},
                       {"attempts", integer()}}))},
         {"errors", array_of(of({{"step", text()},
                                 {"undoing", boolean()},
                                 {"attempt", integer()},
                                 {"at", time()},
                                 {"code", text()},
                                 {"detail", text()},
                                 {"internal", nullable(text())}}))}});
    return of_members(members);
}
boost::json::object task_operated() {
    return of({{"task_id", uuid()}, {"task_url", text()}, {"note", text()}});
}

}  // namespace schema

}  // namespace insula::api
