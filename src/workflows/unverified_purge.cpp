// A registration whose mail was never verified gives mail and slug back. Runs every now and then;
// the tenants themselves are deleted by the workflow that deletes all others.

#include "unverified_purge.hpp"

#include "add.hpp"

#include "insula/audit/audit.hpp"
#include "insula/identity/jobs.hpp"
#include "insula/queue/enqueue.hpp"
#include "insula/queue/workflow.hpp"

namespace insula::workflows {
namespace {

using queue::database_step;
using queue::step_result;

constexpr std::int32_t batch_max = 50;

constexpr pg::statement lock_unverified{"unverified.lock",
                                        "select * from control.lock_unverified($1, $2)"};
constexpr pg::statement release_account{"unverified.release", "select control.release_account($1)"};
constexpr pg::statement release_orphans{"unverified.orphans",
                                        "select control.release_orphans($1, $2)"};
constexpr pg::statement request_deletion{"unverified.delete",
                                         "select control.request_deletion($1, $2, '0', true)"};

class unverified_purge : public unverified_purge_job {
public:
    runtime::awaitable<step_result<>> delete_tenants(database_step& step, const input& in) const {
        pg::unit look;
        look.add(lock_unverified, age(in), batch_max);
        const auto found = co_await step.exec(std::move(look));
        if (!found) {
            co_return found.error();
        }
        const auto& unverified = found->front();
        for (const auto row : unverified) {
            add_purge(step.deferred(), row.get<tenant_id>(0), row.get<user_id>(1));
        }
        if (unverified.size() == static_cast<std::size_t>(batch_max)) {
            step.again();
        }
        co_return step_result<>();
    }

    runtime::awaitable<step_result<>> release_accounts(database_step& step, const input& in) const {
        pg::unit work;
        work.add(release_orphans, age(in), batch_max);
        const auto released = co_await step.exec(std::move(work));
        if (!released) {
            co_return released.error();
        }
        if (released->front().scalar<std::int32_t>() == batch_max) {
            step.again();
        }
        co_return step_result<>();
    }

    static constexpr auto steps() {
        return queue::steps<unverified_purge>({
            {.name = "delete_tenants", .run = &unverified_purge::delete_tenants},
            {.name = "release_accounts", .run = &unverified_purge::release_accounts},
        });
    }

private:
    static std::chrono::microseconds age(const input& in) {
        return std::chrono::seconds(in.ttl_seconds);
    }

    static void add_purge(pg::unit& work, tenant_id tenant, user_id owner) {
        const auto run = run_id::make();
        work.add(request_deletion, tenant, run);
        work.add(release_account, owner);
        queue::add_enqueue(work, run, identity::deletion_request(tenant, std::chrono::seconds(0)));
        audit::entry entry;
        entry.action = "tenant.delete";
        entry.entity_type = "tenant";
        entry.entity_id = tenant.str();
        entry.changes = R"({"status":"pending_deletion","reason":"never_verified"})";
        audit::add(work, entry, tenant);
    }
};

}  // namespace

void add_unverified_purge(queue::registry& to, const services&) {
    to.add(unverified_purge());
}

}  // namespace insula::workflows
