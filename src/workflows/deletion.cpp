// The end of a tenant whose grace is over. There is no way back behind the first step, so every
// other is tried for ever; and because a schema may hold more tables than the server has locks, it
// is emptied in batches, each a transaction of its own.

#include "add.hpp"

#include "insula/audit/audit.hpp"
#include "insula/identity/jobs.hpp"
#include "insula/queue/enqueue.hpp"
#include "insula/queue/fault.hpp"
#include "insula/queue/workflow.hpp"

#include <algorithm>

namespace insula::workflows {
namespace {

using queue::database_step;
using queue::step_result;

constexpr pg::statement begin_deletion{"deletion.begin", "select control.begin_deletion($1, $2)"};
// Under the row's lock like every step about a tenant; the status can only be `deleting` here.
constexpr pg::statement lock_deleting{"deletion.lock",
                                      "select control.lock_tenant($1, 'deleting')"};
constexpr pg::statement empty_schema{"deletion.empty",
                                     "select provision.empty_tenant_schema($1, $2)"};
constexpr pg::statement drop_tenant{"deletion.drop", "select provision.drop_tenant($1)"};
constexpr pg::statement finish_deletion{"deletion.finish", "select control.finish_deletion($1)"};
constexpr pg::statement still_ours{
    "deletion.still_ours",
    "select greatest(extract(epoch from purge_at - clock_timestamp()), 0)::bigint"
    " from control.tenant where id = $1 and deletion_run = $2"
    " and status in ('pending_deletion', 'deleting') for no key update"};
constexpr pg::statement name_next{"deletion.name_next",
                                  "update control.tenant set deletion_run = $2 where id = $1"};

constexpr std::string_view nothing_to_do = R"({"skip":true})";

/// What hangs on the objects of one batch, roughly its locks: some 25 tables with indexes and
/// constraints, of 6,400 locks that a server has room for by default. After a failure less, down to
/// one object.
std::int32_t batch_weight(int attempt) {
    return std::max(500 >> std::min(attempt - 1, 9), 1);
}

/// Never final: there is nothing else that could become of a tenant that is half gone.
queue::failure again_later(const pg::pg_error& error) {
    const queue::failure why(error);
    return queue::failure::retryable(why.code(), why.detail(), why.internal());
}

class deletion : public identity::deletion_job {
public:
    runtime::awaitable<step_result<>> begin(database_step& step, const input& in) const {
        INSULA_FAULT_POINT("deletion.before_begin");
        pg::unit work;
        work.add(begin_deletion, in.tenant, step.run());
        const auto begun = co_await step.exec(std::move(work));
        if (!begun) {
            co_return again_later(begun.error());
        }
        if (!begun->front().scalar<bool>()) {
            step.set_result(std::string(nothing_to_do));  // restored, or another run's by now
        }
        co_return step_result<>();
    }

    runtime::awaitable<step_result<>> drop_objects(database_step& step, const input& in) const {
        if (skipped(step)) {
            co_return step_result<>();
        }
        INSULA_FAULT_POINT("deletion.before_batch");
        pg::unit work;
        work.add(lock_deleting, in.tenant);
        work.add(empty_schema, in.tenant, batch_weight(step.attempt()));
        const auto dropped = co_await step.exec(std::move(work));
        if (!dropped) {
            co_return again_later(dropped.error());
        }
        INSULA_FAULT_POINT("deletion.after_batch");
        if (dropped->back().scalar<std::int32_t>() > 0) {
            step.again();
        }
        co_return step_result<>();
    }

    runtime::awaitable<step_result<>> drop_schema(database_step& step, const input& in) const {
        if (skipped(step)) {
            co_return step_result<>();
        }
        INSULA_FAULT_POINT("deletion.before_drop");
        pg::unit work;
        work.add(lock_deleting, in.tenant);
        work.add(drop_tenant, in.tenant);
        const auto done = co_await step.exec(std::move(work));
        INSULA_FAULT_POINT("deletion.after_drop");
        co_return done ? step_result<>() : step_result<>(again_later(done.error()));
    }

    runtime::awaitable<step_result<>> forget(database_step& step, const input& in) const {
        if (skipped(step)) {
            co_return step_result<>();
        }
        pg::unit work;
        work.add(finish_deletion, in.tenant);
        audit::entry entry;
        entry.action = "tenant.delete";
        entry.entity_type = "tenant";
        entry.entity_id = in.tenant.str();
        entry.changes = R"({"status":"gone"})";
        audit::add(work, entry, in.tenant);
        const auto done = co_await step.exec(std::move(work));
        co_return done ? step_result<>() : step_result<>(again_later(done.error()));
    }

    runtime::awaitable<step_result<>> on_finish(database_step& step, const input& in,
                                                const queue::ending& how) const {
        if (how.what == queue::ending::outcome::done) {
            co_return step_result<>();
        }
        co_return co_await hand_over(step, in.tenant);
    }

    runtime::awaitable<step_result<>> on_unreadable(database_step& step,
                                                    const queue::failure&) const {
        if (!step.tenant()) {
            co_return step_result<>();
        }
        co_return co_await hand_over(step, *step.tenant());
    }

    static constexpr auto steps() {
        constexpr queue::retry_policy for_ever{.attempts_max = 0,
                                               .base = std::chrono::milliseconds(200),
                                               .cap = std::chrono::minutes(5)};
        return queue::steps<deletion>({
            {.name = "begin",
             .run = &deletion::begin,
             .retry = for_ever,
             .point_of_no_return = true},
            {.name = "drop_objects", .run = &deletion::drop_objects, .retry = for_ever},
            {.name = "drop_schema", .run = &deletion::drop_schema, .retry = for_ever},
            {.name = "forget", .run = &deletion::forget, .retry = for_ever},
        });
    }

private:
    static bool skipped(const database_step& step) {
        return step.result_of("begin") == nothing_to_do;
    }

    /// A deletion is taken back by restoring the tenant, not by cancelling its task: a tenant that
    /// still waits for this run gets another.
    static runtime::awaitable<step_result<>> hand_over(database_step& step, tenant_id tenant) {
        pg::unit look;
        look.add(still_ours, tenant, step.run());
        const auto found = co_await step.exec(std::move(look));
        if (!found) {
            co_return again_later(found.error());
        }
        if (!found->front().empty()) {
            const auto next = run_id::make();
            const std::chrono::seconds left(found->front().scalar<std::int64_t>() + 1);
            step.deferred().add(name_next, tenant, next);
            queue::add_enqueue(step.deferred(), next, identity::deletion_request(tenant, left));
        }
        co_return step_result<>();
    }
};

}  // namespace

void add_deletion(queue::registry& to, const services&) {
    to.add(deletion());
}

}  // namespace insula::workflows
