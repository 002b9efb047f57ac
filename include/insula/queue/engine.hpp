#pragma once
// Runs what is in the queue. QUEUE.md sections 4 to 8.

#include "insula/core/ids.hpp"
#include "insula/pg/listen.hpp"
#include "insula/pg/pool.hpp"
#include "insula/queue/changes.hpp"
#include "insula/queue/recurring.hpp"
#include "insula/queue/registry.hpp"
#include "insula/queue/status.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace insula::observe {
class metrics;
}
namespace insula::runtime {
class loop;
class cpu_pool;
}  // namespace insula::runtime

namespace insula::queue {

/// Units: milliseconds.
struct engine_options {
    unsigned workers = 16;  ///< runs at once; 0: this process only enqueues, notifies and watches
    std::chrono::milliseconds lease{10'000};        ///< how long a silent process keeps its runs
    std::chrono::milliseconds poll{1'000};          ///< looking without being woken, with jitter
    std::chrono::milliseconds lock_timeout{5'000};  ///< of a step's statements; 0: none
    std::chrono::milliseconds notify_gap{
        20};  ///< at most one NOTIFY in this time; the first goes at once
    std::chrono::milliseconds unknown_kind_delay{5'000};  ///< before another process may try it
    std::chrono::milliseconds upkeep{60'000};  ///< between looks for what has had its time
    std::vector<std::int16_t> queues{0};
    /// Conninfo of the worker login for a LISTEN connection of the engine's own; empty: polling
    /// only.
    std::string listen_conninfo;
    /// The clock that ownership is judged by; for tests.
    std::function<std::chrono::steady_clock::time_point()> steady_now =
        &std::chrono::steady_clock::now;
    std::vector<recurring_task> recurring{};  ///< fired by processes with workers
    /// How long finished runs and their steps can be looked up.
    std::chrono::hours history_retention{30 * 24};
#ifdef INSULA_FAULT_POINTS
    /// Tests only: effects run without the fence, to show that the checks can fail.
    bool unfenced_for_negative_control = false;
#endif
};

/// Counters since the start, readable from any thread.
struct engine_stats {
    std::uint64_t claimed = 0;
    std::uint64_t steps = 0;  ///< committed, undos included
    std::uint64_t finished = 0;
    std::uint64_t retried = 0;
    std::uint64_t undone = 0;
    std::uint64_t held = 0;
    std::uint64_t stale_refused = 0;  ///< the fence raised: somebody else owns the run
    std::uint64_t lost_commits_landed =
        0;  ///< COMMIT's answer was lost; the row proved that it landed
    std::uint64_t lost_commits_repeated = 0;  ///< … that it did not
    std::uint64_t rescued = 0;
    std::uint64_t postponed_unknown = 0;
    std::uint64_t wakes_local = 0;
    std::uint64_t wakes_notified = 0;
    std::uint64_t wakes_polled = 0;
    std::uint64_t recurring_fired = 0;
    std::uint64_t cleaned_up = 0;     ///< finished runs, or used-up keys, removed
    std::uint64_t registrations = 0;  ///< as a worker; more than one: a lease was lost
    unsigned running = 0;
};

/// Nothing of a paused queue is claimed by any engine from the next look on (what runs goes on, and
/// its next steps with it); timers fire and new runs wait. In somebody's transaction, like
/// add_enqueue; after the commit of a resume call engine::wake(). For the logins app and worker.
void add_pause(pg::unit& work, std::int16_t queue);
void add_resume(pg::unit& work, std::int16_t queue);

/// One per process. Lives on one loop, where every step runs as well; wake(), stats() and changes()
/// may be used from any thread, everything else on that loop. Needs a pool of the login `worker`
/// with at least one exclusive connection for each run whose transaction shall be open at the same
/// time. `resolver` looks up host names in options.listen_conninfo, as a pool's.
class engine {
public:
    engine(runtime::loop& home, pg::pool& workers, pg::connection_budget& budget,
           const registry& workflows, engine_options options, observe::metrics& metrics,
           runtime::cpu_pool* resolver = nullptr);
    ~engine();  ///< drain() must have finished, or the loop must have stopped for good
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;

    /// Spawns the engine's tasks. A database that is away is waited for.
    void start();
    /// After a commit that enqueued something: looks at once, and tells other processes.
    void wake();
    /// Stops claiming, gives back what has not started, lets running steps end until the deadline,
    /// marks this worker dead and stops all tasks. True when nothing had to be left to the
    /// rescuers. Idempotent.
    runtime::awaitable<bool> drain(runtime::deadline until);

    [[nodiscard]] run_changes& changes() noexcept;
    [[nodiscard]] engine_stats stats() const noexcept;
    [[nodiscard]] const registry& workflows() const noexcept;

    /// Waits until the run is final (or held), reading through `connections` on the caller's loop;
    /// at the deadline answers the state as it is then. nullopt: there is no such run.
    runtime::awaitable<pg::pg_result<std::optional<run_status>>> wait_final(
        runtime::loop& here, pg::pool& connections, run_id id, runtime::deadline until);

    struct state;  ///< this module's own

private:
    std::shared_ptr<state> state_;
};

}  // namespace insula::queue
