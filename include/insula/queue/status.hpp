#pragma once
// What became of a run, for people and HTTP.

#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"
#include "insula/pg/pool.hpp"
#include "insula/pg/statement.hpp"
#include "insula/queue/registry.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::queue {

enum class run_state : std::int16_t {
    ready = 0,
    running = 1,
    waiting = 2,  ///< for a time or for its lock key
    held = 3,     ///< needs an operator: an undo that always fails, a definition that does not fit
    done = 4,     ///< from here on final
    failed = 5,
    cancelled = 6,
};
std::string_view name(run_state state) noexcept;

enum class step_state : std::int16_t {
    pending,
    running,  ///< being tried, or waiting for its next attempt
    done,
    failed,
    undone,
    skipped,  ///< an operator has dealt with it (or with its undo)
};
std::string_view name(step_state state) noexcept;

struct step_status {
    std::string name;
    step_state state = step_state::pending;
    int attempts = 0;
};

/// An attempt that failed. Code and detail are safe for clients, `internal` is for operators.
struct failed_attempt {
    std::string step;      ///< or "on_finish"
    bool undoing = false;  ///< it was the step's undo that failed
    int attempt = 0;
    timestamp at{};
    std::string code;
    std::string detail;
    std::string internal;
};

struct run_status {
    run_id id;
    std::string kind;
    int version = 1;
    std::optional<tenant_id> tenant;
    run_state state = run_state::ready;
    bool undoing = false;
    std::vector<step_status> steps;  ///< in the definition's order, pending ones too
    /// The last failure: final when state is failed, else what the next attempt follows. Safe for
    /// clients.
    std::string error_code;  ///< empty: none
    std::string error_detail;
    std::string error_internal;  ///< for operators only
    int attempt = 0;             ///< of the present step
    int crashes = 0;             ///< processes that died while they had it
    std::string lock_key;        ///< empty: none
    bool cancel_requested = false;
    std::string held_because;          ///< empty: not held
    std::string held_step;             ///< what skip would skip; empty: the whole run is held
    std::optional<timestamp> due;      ///< when a waiting run goes on; none: it waits for its key
    std::optional<run_id> retried_as;  ///< of a finished run: the run an operator made of it
    std::vector<failed_attempt> failures;  ///< oldest first, at most the newest 100
    timestamp created_at{};
    std::optional<timestamp> finished_at;

    [[nodiscard]] bool final() const noexcept { return state >= run_state::done; }
};

/// Appends the one statement that reads a run, its steps and its history. Works for app and worker.
void add_status(pg::unit& work, run_id id);
/// The answer of add_status; nullopt when no such run was ever committed (or its history has been
/// removed). A kind that `known` does not know has only the steps that were tried.
std::optional<run_status> parse_status(const pg::result_set& answer, const registry& known);

/// The two above in one round trip.
runtime::awaitable<pg::pg_result<std::optional<run_status>>> read_status(pg::pool& connections,
                                                                         const registry& known,
                                                                         run_id id,
                                                                         runtime::deadline until);

}  // namespace insula::queue
