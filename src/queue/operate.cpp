#include "insula/queue/operate.hpp"

#include "queue/statements.hpp"

#include <algorithm>
#include <utility>

namespace insula::queue {

void add_list_runs(pg::unit& work, const run_filter& which) {
    std::optional<std::int16_t> state;
    if (which.state) {
        state = static_cast<std::int16_t>(*which.state);
    }
    work.add(sql::list_runs, which.kind, state, which.tenant, which.before,
             static_cast<std::int32_t>(std::clamp(which.limit, 1, 500)));
}

std::vector<run_summary> parse_runs(const pg::result_set& answer) {
    std::vector<run_summary> all;
    for (const pg::row r : answer) {
        run_summary one;
        one.id = run_id(r.get<uuid>("id"));
        one.kind = r.get<std::string>("kind");
        one.version = r.get<std::int32_t>("version");
        one.tenant = r.get<std::optional<tenant_id>>("tenant");
        one.state = static_cast<run_state>(r.get<std::int16_t>("state"));
        one.undoing = r.get<std::int16_t>("direction") < 0 && one.state < run_state::done;
        one.cancel_requested = r.get<bool>("cancel_requested");
        one.step = r.get<std::int32_t>("step");
        one.attempt = r.get<std::int32_t>("attempt");
        one.crashes = r.get<std::int32_t>("crashes");
        one.lock_key = r.get<std::optional<std::string>>("lock_key").value_or("");
        one.error_code = r.get<std::optional<std::string>>("error_code").value_or("");
        one.held_because = r.get<std::optional<std::string>>("held_because").value_or("");
        one.created_at = r.get<timestamp>("created_at");
        one.finished_at = r.get<std::optional<timestamp>>("finished_at");
        all.push_back(std::move(one));
    }
    return all;
}

runtime::awaitable<pg::pg_result<std::vector<run_summary>>> list_runs(pg::pool& connections,
                                                                      run_filter which,
                                                                      runtime::deadline until) {
    pg::unit work;
    add_list_runs(work, which);
    auto got = co_await connections.run(std::move(work), until);
    if (!got) {
        co_return got.error();
    }
    co_return parse_runs(got->front());
}

void add_retry(pg::unit& work, run_id run, run_id fresh) {
    work.add(sql::retry_run, run, fresh);
}
void add_cancel(pg::unit& work, run_id run) {
    work.add(sql::cancel_run, run);
}
void add_skip(pg::unit& work, run_id run) {
    work.add(sql::skip_step, run);
}
void add_resume(pg::unit& work, run_id run) {
    work.add(sql::resume_run, run);
}

operation parse_operation(const pg::result_set& answer) {
    const pg::row r = answer.only();
    constexpr operated outcomes[] = {operated::done, operated::not_found, operated::not_possible};
    operation out;
    out.what = outcomes[r.get<std::int16_t>("outcome")];
    out.state = static_cast<run_state>(r.get<std::optional<std::int16_t>>("state").value_or(0));
    out.run = run_id(r.get<uuid>("run"));
    out.note = out.what == operated::not_found ? "There is no such task."
                                               : "The task " + r.get<std::string>("note") + ".";
    return out;
}

}  // namespace insula::queue
