#pragma once
// Putting a run into the queue, inside somebody's transaction. QUEUE.md section 3.

#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"
#include "insula/pg/statement.hpp"
#include "insula/pg/value.hpp"
#include "insula/queue/encode.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace insula::queue {

/// What shall be run, and how. Made for a workflow by request_for<W>(input).
struct enqueue_request {
    std::string kind;
    int version = 1;  ///< of the definition; the run keeps it for its whole life
    std::string input =
        "{}";  ///< JSON text of the workflow's input. No secrets: operators can read it
    std::optional<tenant_id> tenant;
    /// Idempotency: a second enqueue of the same tenant, kind and key within `key_lifetime` makes
    /// no run and answers the first one's id.
    std::optional<std::string> key;
    std::chrono::microseconds key_lifetime = std::chrono::hours(24);
    /// Runs with the same lock key exclude each other from their first step to their end.
    std::optional<std::string> lock_key;
    std::int16_t priority = 0;  ///< lower goes first
    std::int16_t queue = 0;     ///< engines serve the queues they are told to
    int weight = 1;  ///< share of a busy queue: 2 gets twice as much as 1. Of the tenant's plan
    /// Not before this time of the database's clock; or after a delay counted by the database.
    std::optional<timestamp> run_at;
    std::chrono::microseconds delay{0};
    /// Overall deadline, from which on the run is undone instead of continued.
    std::optional<timestamp> deadline;
};

/// Appends one statement that enqueues the run when the unit commits, and not otherwise. Tenants
/// with many waiting runs leave room between them for others' (see queue/fair_clock.hpp). The id is
/// the caller's, so that it can be stored in the same unit and looked up after a lost COMMIT. Works
/// for the logins app and worker. Afterwards call engine::wake() (or nothing: polling finds the run
/// within a second). The statement's result is one row with one uuid: see enqueued_run.
void add_enqueue(pg::unit& work, run_id id, const enqueue_request& what);

/// The run that does the work: the id given to add_enqueue, or the older run's when `key` was used
/// before.
run_id enqueued_run(const pg::result_set& answer);

constexpr std::size_t enqueue_batch_max = 20'000;

/// The same for many runs by one statement: each as add_enqueue would, in their order. A key that
/// comes twice makes one run, the first. Throws std::length_error above enqueue_batch_max.
void add_enqueue_batch(pg::unit& work, std::span<const std::pair<run_id, enqueue_request>> runs);

/// The runs that do the work, in the order of the batch; see enqueued_run.
std::vector<run_id> enqueued_runs(const pg::result_set& answer);

/// A request with kind, version and input filled in from a workflow (see workflow.hpp).
template <class W>
enqueue_request request_for(const typename W::input& input) {
    enqueue_request request;
    request.kind = std::string(W::kind);
    request.version = workflow_version<W>;
    request.input = encode_input(input);
    return request;
}

}  // namespace insula::queue
