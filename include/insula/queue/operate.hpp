#pragma once
// What operators see of the queue and do to its runs. Each act is one statement: alone, or inside
// somebody's transaction, for the logins app and worker. After the commit call engine::wake().

#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"
#include "insula/pg/pool.hpp"
#include "insula/pg/statement.hpp"
#include "insula/queue/status.hpp"

#include <optional>
#include <string>
#include <vector>

namespace insula::queue {

/// Which runs to list; what is not set does not restrict.
struct run_filter {
    std::optional<std::string> kind;
    std::optional<run_state> state;
    std::optional<tenant_id> tenant;
    /// Cursor: only runs older than this one, the last of the page before.
    std::optional<run_id> before;
    int limit = 50;  ///< 1 to 500
};

struct run_summary {
    run_id id;
    std::string kind;
    int version = 1;
    std::optional<tenant_id> tenant;
    run_state state = run_state::ready;
    bool undoing = false;
    bool cancel_requested = false;
    /// Forward, how many steps are done; when undoing, how many are still to be undone.
    int step = 0;
    int attempt = 0;
    int crashes = 0;
    std::string lock_key;    ///< empty: none
    std::string error_code;  ///< of the last failure; empty: none
    std::string held_because;
    timestamp created_at{};
    std::optional<timestamp> finished_at;
};

/// Alive and finished runs, newest first by id (UUIDv7: by age, to the millisecond). Walks primary
/// keys, so a page costs the same however many runs there are; a filter that matches few of many
/// runs costs the walk past the others.
void add_list_runs(pg::unit& work, const run_filter& which);
std::vector<run_summary> parse_runs(const pg::result_set& answer);
runtime::awaitable<pg::pg_result<std::vector<run_summary>>> list_runs(pg::pool& connections,
                                                                      run_filter which,
                                                                      runtime::deadline until);

/// What an operator's act came to. `not_possible`: the run is in no state for it; nothing changed.
enum class operated { done, not_found, not_possible };

struct operation {
    operated what = operated::not_found;
    /// As it was found; meaningless when not found.
    run_state state = run_state::ready;
    /// The run that goes on: the one named, or the new one made by a retry of a finished run.
    run_id run;
    /// A sentence for operators: what happens now, or why not.
    std::string note;
};

/// Held: goes on where it stopped, with all its attempts. Waiting for its next attempt: now. Failed
/// or cancelled: a new run (`fresh`) of the same kind, version, input, tenant, queue, priority and
/// lock key, once; not possible again then, the answer names the run that was made.
void add_retry(pg::unit& work, run_id run, run_id fresh = run_id::make());
/// The run is undone instead of continued, and ends as cancelled. Waiting for a time: at once.
/// Running: before its next step (or next batch of database_step::again()). Waiting for its lock
/// key: when it gets it. Held going forward: it is tried again only to be undone; when nothing can
/// read its steps or its input, it ends as it is. Behind its point of no return a run goes on to
/// its end. Not possible: undoing already, or finished.
void add_cancel(pg::unit& work, run_id run);
/// Of a held run: the operator has dealt with the step (or undo, or on_finish) that it is held at;
/// it goes on behind it. Not possible when the whole run is held.
void add_skip(pg::unit& work, run_id run);
/// As add_retry, for held runs only.
void add_resume(pg::unit& work, run_id run);
/// The answer of any of the four.
operation parse_operation(const pg::result_set& answer);

}  // namespace insula::queue
