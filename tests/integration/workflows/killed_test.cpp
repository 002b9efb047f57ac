// kill -9 of the process that works for a tenant, at every place: what another process makes of it
// is what nobody's death would have made (G31).

#include "life.hpp"

#include "insula/identity/jobs.hpp"

#include <csignal>

namespace insula::test {
namespace {

using testing::IsEmpty;

/// The engine's own gaps, and those of the workflows; arrivals counted from the start of a process
/// that has one run to do.
constexpr const char* provisioning_faults[] = {"queue.after_claim:1:kill",
                                               "queue.before_effect:1:kill",
                                               "provisioning.before_create:1:kill",
                                               "provisioning.after_create:1:kill",
                                               "queue.after_effect:1:kill",
                                               "provisioning.before_open:1:kill",
                                               "queue.after_effect:2:kill",
                                               "queue.before_commit:1:kill",
                                               "queue.commit_on_wire:1:kill_next_turn",
                                               "queue.after_commit:1:kill"};
constexpr const char* deletion_faults[] = {
    "queue.after_claim:1:kill",    "deletion.before_begin:1:kill",
    "queue.after_effect:1:kill",   "queue.commit_on_wire:1:kill_next_turn",
    "queue.after_commit:1:kill",   "deletion.before_batch:1:kill",
    "deletion.after_batch:1:kill", "deletion.before_batch:2:kill",
    "deletion.before_drop:1:kill", "deletion.after_drop:1:kill",
    "queue.before_effect:4:kill",  "queue.before_commit:3:kill"};

struct killed : life {
    run_id enqueue(const queue::enqueue_request& what) {
        const auto id = run_id::make();
        sql_connection worker(database.conninfo(database.roles().worker()));
        worker.query(
            "select queue.enqueue($1, $2, $3, 0::smallint, 0::smallint, 0::bigint, $4,"
            " null, '1 day', $5, null, '0', null, $6)",
            {id.str(), what.kind, std::to_string(what.version), what.tenant->str(), what.lock_key,
             what.input});
        return id;
    }
    /// A registration nobody works on yet, by SQL as identity does it.
    installed_database::tenant registered(const std::string& slug) {
        installed_database::tenant made{tenant_id::make(), 0, slug, user_id::make(), {}};
        sql_connection app(database.conninfo(database.roles().app()));
        app.query(
            "insert into control.account (id, email, email_canonical, full_name,"
            " password_hash) values ($1, $2, $2, 'Owner', 'x')",
            {made.owner.str(), slug + "@example.org"});
        app.query("insert into control.tenant (id, slug, name, cell) values ($1, $2, $2, 0)",
                  {made.id.str(), slug});
        app.query(
            "insert into control.membership (tenant_id, user_id, role)"
            " values ($1, $2, 'owner')",
            {made.id.str(), made.owner.str()});
        const auto run = enqueue(identity::provision_request(
            {.tenant = made.id, .owner = made.owner, .cell = 0, .new_account = true}));
        app.query(
            "insert into control.registration (id_hash, tenant_id, user_id, run_id,"
            " new_account) values (sha256($1::text::bytea), $2, $3, $4, true)",
            {slug, made.id.str(), made.owner.str(), run.str()});
        return made;
    }
    void survivor_finishes(tenant_id tenant, const std::string& wanted) {
        life_process survivor(database);
        ASSERT_TRUE(gets(tenant, wanted));
        ASSERT_TRUE(
            becomes("select count(*) from queue.run where tenant = '" + tenant.str() + "'", "0"));
    }
};

TEST_F(killed, G31_provisioning_ends_ready_wherever_the_process_dies) {
    const auto smooth = registered("smooth");
    survivor_finishes(smooth.id, "ready");
    const auto expected = fingerprint(smooth.id);
    int n = 0;
    for (const auto* fault : provisioning_faults) {
        SCOPED_TRACE(fault);
        const auto who = registered("killed-" + std::to_string(++n));
        life_child child(database, fault);
        ASSERT_EQ(child.died_of(), SIGKILL) << "the place was never reached";
        survivor_finishes(who.id, "ready");
        EXPECT_EQ(fingerprint(who.id), expected);
        EXPECT_EQ(
            sql("select count(*) from control.audit_log where tenant_id = '" + who.id.str() + "'"),
            "1")
            << "no effect twice";
        EXPECT_EQ(
            sql("select status from control.membership where tenant_id = '" + who.id.str() + "'"),
            "active");
    }
    EXPECT_THAT(queue_violations(database.raw()), IsEmpty());
}

TEST_F(killed, G31_deletion_ends_gone_wherever_the_process_dies) {
    int n = 0;
    for (const auto* fault : deletion_faults) {
        SCOPED_TRACE(fault);
        const auto who = database.make_tenant(0, "killed-" + std::to_string(++n));
        const auto run_made = run_id::make();
        sql_connection app(database.conninfo(database.roles().app()));
        const auto request = identity::deletion_request(who.id, 0s);
        app.query("begin");
        app.query("select control.request_deletion($1, $2, '0', false)",
                  {who.id.str(), run_made.str()});
        app.query(
            "select queue.enqueue($1, $2, $3, 0::smallint, 0::smallint, 0::bigint, $4,"
            " null, '1 day', $5, null, '0', null, $6)",
            {run_made.str(), request.kind, std::to_string(request.version), who.id.str(),
             request.lock_key, request.input});
        app.query("commit");
        life_child child(database, fault);
        ASSERT_EQ(child.died_of(), SIGKILL) << "the place was never reached";
        survivor_finishes(who.id, "gone");
        EXPECT_THAT(leftovers(who.id), IsEmpty());
        EXPECT_EQ(
            sql("select count(*) from control.audit_log where tenant_id = '" + who.id.str() + "'"),
            "1")
            << "no effect twice";
    }
    EXPECT_THAT(queue_violations(database.raw()), IsEmpty());
}

}  // namespace
}  // namespace insula::test
