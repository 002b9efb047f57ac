#include "insula/queue/enqueue.hpp"

#include "queue/statements.hpp"

namespace insula::queue {

void add_enqueue(pg::unit& work, run_id id, const enqueue_request& what) {
    // No virtual time from here: the database's clock orders what nobody has weighted.
    const std::optional<std::int64_t> virtual_time;
    work.add(sql::enqueue, id, what.kind, what.version, what.queue, what.priority, virtual_time,
             what.tenant, what.key, what.key_lifetime, what.lock_key, what.run_at, what.delay,
             what.deadline, what.input);
}

run_id enqueued_run(const pg::result_set& answer) {
    return run_id(answer.scalar<uuid>());
}

}  // namespace insula::queue
