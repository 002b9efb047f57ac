#pragma once
// Every statement the queue sends. The functions are in
// src/migrations/control/000[456]_queue_*.sql.

#include "insula/pg/statement.hpp"

namespace insula::queue::sql {

inline constexpr pg::statement enqueue{
    "queue.enqueue",
    "select queue.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"};
inline constexpr pg::statement enqueue_batch{
    "queue.enqueue_batch",
    "select queue.enqueue_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"};
inline constexpr pg::statement pause{"queue.pause", "select queue.pause($1)"};
inline constexpr pg::statement unpause{"queue.unpause", "select queue.unpause($1)"};
inline constexpr pg::statement status{"queue.status", "select * from queue.status($1)"};
inline constexpr pg::statement list_runs{"queue.list_runs",
                                         "select * from queue.list_runs($1, $2, $3, $4, $5)"};
inline constexpr pg::statement retry_run{"queue.retry_run",
                                         "select * from queue.retry_run($1, $2)"};
inline constexpr pg::statement resume_run{"queue.resume_run", "select * from queue.resume_run($1)"};
inline constexpr pg::statement cancel_run{"queue.cancel_run", "select * from queue.cancel_run($1)"};
inline constexpr pg::statement skip_step{"queue.skip_step", "select * from queue.skip_step($1)"};

inline constexpr pg::statement fire_timers{"queue.fire_timers", "select queue.fire_timers($1)"};
inline constexpr pg::statement claim{"queue.claim",
                                     "select * from queue.claim($1, $2, $3, $4, $5, $6)"};
inline constexpr pg::statement complete_batch{"queue.complete_batch",
                                              "select queue.complete_batch($1, $2, $3, $4, $5)"};

inline constexpr pg::statement fence{"queue.fence",
                                     "select queue.fence($1, $2, $3, $4, $5, $6, $7)"};
inline constexpr pg::statement insert_step{"queue.insert_step",
                                           "insert into queue.step (run, direction, seq, name, "
                                           "state, token, attempts, result, compensation)"
                                           " values ($1, $2, $3, $4, 1, $5, $6, $7, $8)"};
inline constexpr pg::statement step_alone{
    "queue.step_alone", "select queue.step_alone($1, $2, $3, $4, $5, $6, $7, $8, $9)"};
inline constexpr pg::statement end_alone{
    "queue.end_alone", "select queue.end_alone($1, $2, $3, $4, $5, $6, $7, $8, $9)"};
inline constexpr pg::statement stay{"queue.stay",
                                    "select queue.stay($1, $2, $3, $4, $5, $6, $7, $8, $9)"};
inline constexpr pg::statement adopt{"queue.adopt", "select queue.adopt($1, $2, $3)"};
inline constexpr pg::statement intend{"queue.intend",
                                      "select queue.intend($1, $2, $3, $4, $5, $6, $7, $8, $9)"};
inline constexpr pg::statement complete_step{
    "queue.complete_step",
    "update queue.step set state = 1, token = $4, attempts = $5, result = $6, at = "
    "clock_timestamp()"
    " where run = $1 and direction = $2 and seq = $3 and state = 0"};
inline constexpr pg::statement insert_failed_step{
    "queue.insert_failed_step",
    "insert into queue.step (run, direction, seq, name, state, token, attempts)"
    " values ($1, 1, $2, $3, 2, $4, $5)"
    " on conflict (run, direction, seq) do update set state = 2, attempts = excluded.attempts"};
inline constexpr pg::statement retry_later{
    "queue.retry_later", "select queue.retry_later($1, $2, $3, $4, $5, $6, $7, $8, $9)"};
inline constexpr pg::statement turn_back{
    "queue.turn_back", "select queue.turn_back($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"};
inline constexpr pg::statement note_failure{
    "queue.note_failure", "select queue.note_failure($1, $2, $3, $4, $5, $6, $7, $8)"};
inline constexpr pg::statement hold{"queue.hold", "select queue.hold($1, $2, $3, $4, $5)"};
inline constexpr pg::statement finish{"queue.finish",
                                      "select queue.finish($1, $2, $3, $4, $5, $6, $7, $8)"};
inline constexpr pg::statement give_back{"queue.give_back", "select queue.give_back($1, $2, $3)"};

inline constexpr pg::statement steps_of{
    "queue.steps_of",
    "select direction, seq, name, state, result, compensation from queue.step where run = $1"
    " order by direction desc, seq"};
/// Where a run stands: at most one row, `alive` false when it is in history.
inline constexpr pg::statement position{
    "queue.position",
    "select true as alive, direction, step, attempt, token, coalesce(deadline <= "
    "clock_timestamp(), false) as overdue, exists (select from queue.cancellation k where k.run = "
    "$1) as cancel_requested from queue.run where id = $1"
    " union all"
    " select false, direction, step, attempt, token, false, false from queue.history where id = "
    "$1"};

inline constexpr pg::statement enlist{
    "queue.enlist",
    "insert into queue.worker (id, boot_id, label) values (nextval('queue.worker_id'), $1, $2)"
    " returning id"};
inline constexpr pg::statement beat{
    "queue.beat",
    "update queue.worker set beat = beat + 1 where id = $1 and not dead returning beat"};
inline constexpr pg::statement beats{"queue.beats",
                                     "select id, beat from queue.worker where not dead"};
inline constexpr pg::statement bury{"queue.bury", "select queue.bury($1, $2)"};
inline constexpr pg::statement sweep{"queue.sweep", "select queue.sweep()"};
inline constexpr pg::statement abandon{"queue.abandon", "select queue.abandon($1, $2)"};
inline constexpr pg::statement owned{
    "queue.owned", "select id, token from queue.run where owner = $1 and state = 1"};
inline constexpr pg::statement declare_recurring{
    "queue.declare_recurring",
    "select queue.declare_recurring($1, $2, $3, $4, $5, $6, $7, $8, $9)"};
inline constexpr pg::statement fire_recurring{"queue.fire_recurring",
                                              "select * from queue.fire_recurring($1, $2)"};
inline constexpr pg::statement clean_up{"queue.clean_up", "select queue.clean_up($1, $2)"};
inline constexpr pg::statement depths{
    "queue.depths",
    "select queue, state, count(*) as runs, extract(epoch from clock_timestamp() - "
    "min(ready_at))::float8 as oldest from queue.run group by queue, state"};
inline constexpr pg::statement paused{"queue.paused", "select queue from queue.paused"};
/// The oldest snapshot that anybody holds: what died after it cannot be removed.
inline constexpr pg::statement horizon{
    "queue.horizon",
    "select xmin::text as oldest, age(xmin)::bigint as transactions from ("
    "select backend_xmin as xmin from pg_stat_activity where backend_xmin is not null and pid <> "
    "pg_backend_pid()"
    " union all select xmin from pg_replication_slots where xmin is not null"
    " union all select transaction from pg_prepared_xacts) held"
    " order by age(xmin) desc limit 1"};
/// Commits asynchronously: a notification that a crash loses is found by polling.
inline constexpr pg::statement notify{
    "queue.notify",
    "select set_config('synchronous_commit', 'off', true), pg_notify('insula_queue', $1)"};

}  // namespace insula::queue::sql
