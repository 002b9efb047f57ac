#include "insula/queue/status.hpp"

#include "queue/statements.hpp"

#include <utility>

namespace insula::queue {

std::string_view name(run_state state) noexcept {
    switch (state) {
        case run_state::ready:
            return "ready";
        case run_state::running:
            return "running";
        case run_state::waiting:
            return "waiting";
        case run_state::held:
            return "held";
        case run_state::done:
            return "done";
        case run_state::failed:
            return "failed";
        case run_state::cancelled:
            return "cancelled";
    }
    return "unknown";
}

std::string_view name(step_state state) noexcept {
    switch (state) {
        case step_state::pending:
            return "pending";
        case step_state::running:
            return "running";
        case step_state::done:
            return "done";
        case step_state::failed:
            return "failed";
        case step_state::undone:
            return "undone";
        case step_state::skipped:
            return "skipped";
    }
    return "unknown";
}

void add_status(pg::unit& work, run_id id) {
    work.add(sql::status, id);
}

namespace {

/// The rows of queue.step for one run, as parallel arrays.
struct step_rows {
    std::vector<std::int16_t> directions;
    std::vector<std::int32_t> seqs;
    std::vector<std::string> names;
    std::vector<std::int16_t> states;
    std::vector<std::int32_t> attempts;

    explicit step_rows(const pg::row& r)
        : directions(r.get<std::vector<std::int16_t>>("step_directions")),
          seqs(r.get<std::vector<std::int32_t>>("step_seqs")),
          names(r.get<std::vector<std::string>>("step_names")),
          states(r.get<std::vector<std::int16_t>>("step_states")),
          attempts(r.get<std::vector<std::int32_t>>("step_attempts")) {}
};

step_status& at(std::vector<step_status>& steps, std::size_t index) {
    if (index >= steps.size()) {
        steps.resize(index + 1);
    }
    return steps[index];
}

void merge_rows(std::vector<step_status>& steps, const step_rows& rows) {
    for (std::size_t i = 0; i < rows.seqs.size(); ++i) {
        step_status& s = at(steps, static_cast<std::size_t>(rows.seqs[i]));
        s.name = rows.names[i];
        if (rows.directions[i] == 1) {
            s.attempts = rows.attempts[i];
            if (s.state == step_state::pending || rows.states[i] == 2) {
                constexpr step_state meaning[] = {step_state::running, step_state::done,
                                                  step_state::failed, step_state::skipped};
                s.state = meaning[rows.states[i]];
            }
        } else if (rows.states[i] == 3) {
            s.state = step_state::skipped;
        } else if (rows.states[i] == 1 && s.state != step_state::failed) {
            s.state = step_state::undone;
        }
    }
}

std::vector<failed_attempt> failures_of(const pg::row& r) {
    auto steps = r.get<std::vector<std::string>>("failed_steps");
    const auto directions = r.get<std::vector<std::int16_t>>("failed_directions");
    const auto attempts = r.get<std::vector<std::int32_t>>("failed_attempts");
    const auto at = r.get<std::vector<timestamp>>("failed_at");
    auto codes = r.get<std::vector<std::string>>("failed_codes");
    auto details = r.get<std::vector<std::string>>("failed_details");
    auto internals = r.get<std::vector<std::string>>("failed_internals");
    std::vector<failed_attempt> all;
    all.reserve(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
        all.push_back({.step = std::move(steps[i]),
                       .undoing = directions[i] < 0,
                       .attempt = attempts[i],
                       .at = at[i],
                       .code = std::move(codes[i]),
                       .detail = std::move(details[i]),
                       .internal = std::move(internals[i])});
    }
    return all;
}

}  // namespace

std::optional<run_status> parse_status(const pg::result_set& answer, const registry& known) {
    if (answer.empty()) {
        return std::nullopt;
    }
    const pg::row r = answer.only();
    run_status out;
    out.id = run_id(r.get<uuid>("id"));
    out.kind = r.get<std::string>("kind");
    out.version = r.get<std::int32_t>("version");
    out.tenant = r.get<std::optional<tenant_id>>("tenant");
    out.state = static_cast<run_state>(r.get<std::int16_t>("state"));
    out.undoing = r.get<std::int16_t>("direction") < 0 && !out.final();
    out.error_code = r.get<std::optional<std::string>>("error_code").value_or("");
    out.error_detail = r.get<std::optional<std::string>>("error_detail").value_or("");
    out.error_internal = r.get<std::optional<std::string>>("error_internal").value_or("");
    const auto undo = r.get<std::optional<std::string>>("undo_error");
    if (out.state == run_state::held) {
        out.held_because = undo.value_or("");
        out.held_step = r.get<std::optional<std::string>>("held_step").value_or("");
    } else if (undo) {
        out.error_internal += out.error_internal.empty() ? *undo : "; undo: " + *undo;
    }
    out.attempt = r.get<std::int32_t>("attempt");
    out.crashes = r.get<std::int32_t>("crashes");
    out.lock_key = r.get<std::optional<std::string>>("lock_key").value_or("");
    out.cancel_requested = r.get<bool>("cancel_requested");
    out.due = r.get<std::optional<timestamp>>("due");
    out.retried_as = r.get<std::optional<run_id>>("retried_as");
    out.failures = failures_of(r);
    out.created_at = r.get<timestamp>("created_at");
    out.finished_at = r.get<std::optional<timestamp>>("finished_at");

    if (const definition* d = known.find(out.kind, out.version)) {
        for (const step_info& s : d->steps()) {
            out.steps.push_back({.name = std::string(s.name)});
        }
    }
    const step_rows rows(r);
    // Whatever order the rows come in: failed stays failed though its intent was undone, undone
    // beats done.
    merge_rows(out.steps, rows);
    const auto current = static_cast<std::size_t>(r.get<std::int32_t>("step"));
    if (!out.final() && r.get<std::int16_t>("direction") > 0 && current < out.steps.size()) {
        step_status& now = out.steps[current];
        now.attempts = r.get<std::int32_t>("attempt");
        if (now.attempts > 0 && now.state == step_state::pending) {
            now.state = step_state::running;
        }
    }
    return out;
}

runtime::awaitable<pg::pg_result<std::optional<run_status>>> read_status(pg::pool& connections,
                                                                         const registry& known,
                                                                         run_id id,
                                                                         runtime::deadline until) {
    pg::unit work;
    add_status(work, id);
    auto got = co_await connections.run(std::move(work), until);
    if (!got) {
        co_return got.error();
    }
    co_return parse_status(got->front(), known);
}

}  // namespace insula::queue
