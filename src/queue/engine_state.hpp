#pragma once
#include "queue/claimed_run.hpp"
#include "queue/completer.hpp"
#include "queue/tallies.hpp"
#include "queue/watermark.hpp"

#include "insula/core/uuid.hpp"
#include "insula/queue/engine.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/task_group.hpp"

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>

namespace insula::queue {

/// Everything of an engine. Lives on `home` and outlives its tasks, by engine's contract. Split
/// over claiming.cpp, completer.cpp (ends in batches), engine_life.cpp (lease, rescue), upkeep.cpp
/// (recurring, retention, gauges) and driver*.cpp (one claimed run).
struct engine::state {
    state(runtime::loop& loop, pg::pool& pool, pg::connection_budget& connections,
          const registry& known, engine_options settings, observe::metrics& m,
          runtime::cpu_pool* names);

    // --- what a driver asks
    /// May a run of this epoch begin another step? Judged by the steady clock: half a lease of
    /// silence is too much, because the rescuers' whole lease may have begun before ours ended.
    bool owns(std::uint64_t claimed_in) const;
    bool draining() const noexcept { return draining_; }
    runtime::deadline call_deadline() const;
    void moved(run_id id);
    void committed(bool enqueued_children);
    /// An exclusive connection for a step's transaction. Under load it comes from the last step
    /// that ended instead of from the pool, which resets a connection on its way back: steps are
    /// our own code and leave no session state behind.
    runtime::awaitable<pg::pg_result<pg::lease>> borrow(runtime::deadline until);
    /// Takes a good connection back, between two transactions.
    void put_back(pg::lease connection);
    /// Ends a run of one step without database effects, together with others that end now. The run
    /// needs no slot while it waits for that.
    runtime::awaitable<detail::completion> complete(detail::completion what);

    // --- tasks
    runtime::awaitable<void> dispatch();
    runtime::awaitable<bool> claim_once();
    runtime::awaitable<void> hand_back();
    runtime::awaitable<void> heart();
    runtime::awaitable<bool> beat();
    runtime::awaitable<bool> enlist();
    runtime::awaitable<void> rescue();
    runtime::awaitable<void> look_for_dead();
    runtime::awaitable<void> sweep();
    runtime::awaitable<void> audit();
    runtime::awaitable<void> audit_once();
    runtime::awaitable<void> notify_others();
    runtime::awaitable<void> listen();
    runtime::awaitable<void> drive_one(detail::claimed_run run);
    runtime::awaitable<void> recur();
    runtime::awaitable<bool> declare_recurring();
    runtime::awaitable<void> clean_up();
    runtime::awaitable<void> measure();
    runtime::awaitable<void> measure_once();
    runtime::awaitable<bool> drain(runtime::deadline until);

    void lose_lease(const char* why);
    unsigned free_slots() const noexcept;
    unsigned room() const noexcept;
    unsigned read_claims(const pg::result_set& rows, std::int64_t token, std::uint64_t epoch);
    void start_waiting();
    void slot_freed();
    bool healthy() const;
    runtime::deadline jittered(std::chrono::milliseconds about);
    std::chrono::microseconds backoff(const retry_policy& policy, int attempt);

    runtime::loop& home_;
    pg::pool& pool_;
    pg::connection_budget& budget_;
    const registry& workflows_;
    engine_options options_;
    observe::metrics& metrics_;
    runtime::cpu_pool* resolver_;
    detail::tallies count_;
    run_changes changes_;
    runtime::task_group tasks_;    // heart, rescue, …: stopped at the end of a drain
    runtime::task_group drivers_;  // claimed runs: end by themselves
    runtime::event bell_;          // something may be ready
    runtime::event slot_free_;
    runtime::event others_;  // a NOTIFY is wanted
    runtime::event claiming_done_;
    std::unique_ptr<pg::listener_connection> listener_;
    std::vector<pg::lease> spare_;  // given to the pool when nothing runs
    std::mt19937_64 random_;
    uuid boot_id_;

    std::int64_t worker_id_ = 0;
    std::uint64_t epoch_ = 0;  // 0: not registered
    std::uint64_t epochs_ = 0;
    std::int64_t former_worker_ = 0;  // our own last registration, to be buried when we are back
    std::chrono::steady_clock::time_point
        beat_at_{};  // when the last beat that was answered was sent
    runtime::deadline next_timer_;
    runtime::deadline burial_watch_{
        runtime::steady_clock::time_point::min()};  // until then sweep often: runs of the dead may
                                                    // be locked still
    std::atomic<unsigned> running_{0};
    bool solo_ = false;     // a run suspected of killing its process is working
    unsigned leaving_ = 0;  // suspects being given back because of it
    // Outside calls that outlived their deadline and their cancellation.
    std::vector<std::unique_ptr<runtime::task_group>> abandoned_;
    unsigned completing_ = 0;  // of those, wait for their batch
    // Have no slot yet, in the order of the queue: what was claimed later may go first.
    std::deque<std::pair<detail::place, detail::claimed_run>> claimed_;
    std::vector<detail::watermark> watermarks_;  // one for each of options_.queues
    std::size_t first_queue_ = 0;                // who is asked first takes turns
    std::uint64_t freed_ = 0;                    // slots, ever
    double ahead_ = 0;                           // see claim_once()
    detail::completer completer_;
    detail::measured gauges_;
    std::string horizon_;  // the oldest snapshot at the last look
    std::chrono::steady_clock::time_point horizon_since_{};
    std::unordered_map<run_id, std::int64_t> in_hand_;  // runs with a driver, by token
    std::unordered_map<run_id, std::int64_t>
        unknown_;  // owned by us, but without a driver: last audit
    bool rung_local_ = false;
    bool rung_remote_ = false;
    bool started_ = false;
    bool draining_ = false;
    bool drained_ = false;

    struct sighting {
        std::int64_t beat = 0;
        std::chrono::steady_clock::time_point since;
    };
    std::chrono::steady_clock::time_point looked_at_{};
    std::map<std::int64_t, sighting> seen_;  // living workers, as the rescuer last saw them
};

}  // namespace insula::queue
