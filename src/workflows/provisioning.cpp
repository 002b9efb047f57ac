// A new tenant: its role, schema and tables, then its door opens. Both steps share one transaction,
// because PostgreSQL's DDL is transactional: nobody ever sees half a tenant.

#include "add.hpp"

#include "insula/audit/audit.hpp"
#include "insula/core/json_writer.hpp"
#include "insula/identity/jobs.hpp"
#include "insula/queue/fault.hpp"
#include "insula/queue/workflow.hpp"

namespace insula::workflows {
namespace {

using queue::database_step;
using queue::step_result;

// First of all: what else happens to this tenant waits for this step, or this step for it.
constexpr pg::statement lock_provisioning{"provisioning.lock",
                                          "select control.lock_tenant($1, 'provisioning')"};
constexpr pg::statement create_tenant{"provisioning.create",
                                      "select provision.create_tenant($1, $2)"};
constexpr pg::statement drop_tenant{"provisioning.drop", "select provision.drop_tenant($1)"};
constexpr pg::statement mark_ready{
    "provisioning.ready",
    "update control.tenant set status = 'ready', failure_code = null,"
    " failure_detail = null, version = version + 1 where id = $1"};
constexpr pg::statement activate_owner{
    "provisioning.owner",
    "update control.membership set status = 'active'"
    " where tenant_id = $1 and user_id = $2 and status = 'pending'"};
constexpr pg::statement fail{"provisioning.fail", "select control.fail_provisioning($1, $2, $3)"};

class provisioning : public identity::provision_job {
public:
    runtime::awaitable<step_result<>> create_schema(database_step& step, const input& in) const {
        INSULA_FAULT_POINT("provisioning.before_create");
        pg::unit work;
        work.add(lock_provisioning, in.tenant);
        work.add(create_tenant, in.tenant, in.cell);
        const auto done = co_await step.exec(std::move(work));
        INSULA_FAULT_POINT("provisioning.after_create");
        co_return done ? step_result<>() : step_result<>(done.error());
    }

    runtime::awaitable<step_result<>> drop_schema(database_step& step, const input& in) const {
        INSULA_FAULT_POINT("provisioning.before_drop");
        step.deferred().add(lock_provisioning, in.tenant);
        step.deferred().add(drop_tenant, in.tenant);
        co_return step_result<>();
    }

    runtime::awaitable<step_result<>> open_tenant(database_step& step, const input& in) const {
        INSULA_FAULT_POINT("provisioning.before_open");
        auto& work = step.deferred();
        work.add(mark_ready, in.tenant);
        work.add(activate_owner, in.tenant, in.owner);
        audit::entry entry;
        entry.action = "tenant.create";
        entry.entity_type = "tenant";
        entry.entity_id = in.tenant.str();
        entry.user = in.owner;
        entry.changes = R"({"status":"ready"})";
        audit::add(work, entry, in.tenant);
        co_return step_result<>();
    }

    /// What the registrant reads when it failed; mail and slug are free again.
    runtime::awaitable<step_result<>> on_finish(database_step& step, const input& in,
                                                const queue::ending& how) const {
        if (how.what != queue::ending::outcome::undone) {
            co_return step_result<>();
        }
        static const auto cancelled = queue::failure::final("cancelled");
        add_failure(step, in.tenant, how.reason != nullptr ? *how.reason : cancelled);
        co_return step_result<>();
    }

    runtime::awaitable<step_result<>> on_unreadable(database_step& step,
                                                    const queue::failure& why) const {
        if (step.tenant()) {
            add_failure(step, *step.tenant(), why);
        }
        co_return step_result<>();
    }

    static constexpr auto steps() {
        return queue::steps<provisioning>({
            {.name = "create_schema",
             .run = &provisioning::create_schema,
             .undo = &provisioning::drop_schema,
             .retry = {.attempts_max = 8}},
            {.name = "open_tenant",
             .run = &provisioning::open_tenant,
             .joins_previous = true,
             .point_of_no_return = true},
        });
    }

private:
    static void add_failure(database_step& step, tenant_id tenant, const queue::failure& why) {
        const std::string_view detail =
            why.detail().empty() ? "Setting the tenant up failed; nothing of it is left. Try again "
                                   "with POST to this registration's /retry."
                                 : std::string_view(why.detail());
        step.deferred().add(fail, tenant, why.code(), detail);
    }
};

}  // namespace

void add_provisioning(queue::registry& to, const services&) {
    to.add(provisioning());
}

}  // namespace insula::workflows
