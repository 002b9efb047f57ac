#pragma once
// Every statement the queue sends. The functions are in src/migrations/control/000[456]_queue_*.sql.

#include "insula/pg/statement.hpp"

namespace insula::queue::sql {

inline constexpr pg::statement enqueue{
    "queue.enqueue",
    "select queue.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"};
inline constexpr pg::statement status{"queue.status", "select * from queue.status($1)"};

inline constexpr pg::statement fire_timers{"queue.fire_timers", "select queue.fire_timers($1)"};
inline constexpr pg::statement claim{"queue.claim", "select * from queue.claim($1, $2, $3, $4)"};

inline constexpr pg::statement fence{"queue.fence", "select queue.fence($1, $2, $3, $4, $5, $6)"};
inline constexpr pg::statement insert_step{"queue.insert_step",
                                           "insert into queue.step (run, direction, seq, name, "
                                           "state, token, attempts, result, compensation)"
                                           " values ($1, $2, $3, $4, 1, $5, $6, $7, $8)"};
inline constexpr pg::statement intend{"queue.intend",
                                      "select queue.intend($1, $2, $3, $4, $5, $6, $7, $8)"};
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
    "queue.retry_later", "select queue.retry_later($1, $2, $3, $4, $5, $6, $7, $8)"};
inline constexpr pg::statement turn_back{
    "queue.turn_back", "select queue.turn_back($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"};
inline constexpr pg::statement hold{"queue.hold", "select queue.hold($1, $2, $3)"};
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
    "select true as alive, direction, step, attempt, token from queue.run where id = $1"
    " union all"
    " select false, direction, step, attempt, token from queue.history where id = $1"};

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
/// Commits asynchronously: a notification that a crash loses is found by polling.
inline constexpr pg::statement notify{
    "queue.notify",
    "select set_config('synchronous_commit', 'off', true), pg_notify('insula_queue', $1)"};

}  // namespace insula::queue::sql
