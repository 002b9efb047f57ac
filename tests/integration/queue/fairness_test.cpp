// Whose turn it is: a tenant's backlog does not stand in front of others, and what is urgent, late
// or in another queue is found although the engine is busy and looks from its watermark on.

#include "journey.hpp"
#include "world.hpp"

namespace insula::queue::test_support {
namespace {

constexpr int backlog = 100'000;

class queue_fairness : public testing::TestWithParam<runtime::backend> {
protected:
    void SetUp() override {
        engine_options none = quick();
        none.workers = 0;
        front_ =
            std::make_unique<process>(world_.app_conninfo(), test_workflows(), none, GetParam());
    }
    std::unique_ptr<process> start(engine_options options = quick(20'000ms)) {
        options.workers = 2;
        options.poll = 1'000ms;
        return std::make_unique<process>(world_.worker_conninfo(), test_workflows(),
                                         std::move(options), GetParam());
    }
    static enqueue_request task(std::optional<tenant_id> tenant) {
        enqueue_request what =
            request_for<errand>({.fail_at = {}, .fail_times = 0, .how = "quiet", .child = {}});
        what.tenant = tenant;
        return what;
    }
    void commit(pg::unit work) {
        auto got = front_->thread().run(
            front_->pool().run(std::move(work), runtime::deadline::after(60s)), 61s);
        ASSERT_TRUE(got) << got.error().message;
    }
    void enqueue_many(int count, tenant_id tenant) {
        for (int done = 0; done < count;) {
            std::vector<std::pair<run_id, enqueue_request>> batch;
            while (done < count && batch.size() < 10'000) {
                batch.emplace_back(run_id::make(), task(tenant));
                ++done;
            }
            pg::unit work;
            add_enqueue_batch(work, batch);
            commit(std::move(work));
        }
    }
    run_id enqueue(const enqueue_request& what) {
        const run_id id = run_id::make();
        pg::unit work;
        add_enqueue(work, id, what);
        commit(std::move(work));
        return id;
    }
    /// The engine is in the middle of it.
    testing::AssertionResult busy(int with_at_least = 1'000) {
        const auto waiting = std::stoi(world_.text("select count(*) from queue.ready"));
        return waiting >= with_at_least
                   ? testing::AssertionSuccess()
                   : testing::AssertionFailure() << "only " << waiting << " are waiting";
    }
    void wait_for_work() {
        ASSERT_TRUE(world_.becomes("select count(*) >= 2000 from queue.history", "t"));
    }

    world world_;
    std::unique_ptr<process> front_;
};

TEST_P(queue_fairness, G37_a_backlog_of_100000_delays_nobody_else_by_more_than_a_second) {
    enqueue_many(backlog, tenant_id::make());
    auto p = start();
    wait_for_work();
    for (int i = 0; i < 3; ++i) {
        const run_id id = enqueue(task(tenant_id::make()));
        EXPECT_TRUE(world_.ends(id, "done", 1s));
        EXPECT_TRUE(busy());
    }
}

/// The negative control: the same rows without their leads.
TEST_P(queue_fairness, G37_without_virtual_time_the_same_backlog_does_delay) {
    enqueue_many(backlog, tenant_id::make());
    world_.db().query_admin(
        "update queue.run set vt = (select min(vt) from queue.ready);"
        "update queue.ready set vt = (select min(vt) from queue.ready)");
    world_.db().query_admin("vacuum analyze");
    auto p = start();
    wait_for_work();
    const run_id id = enqueue(task(tenant_id::make()));
    EXPECT_FALSE(world_.ends(id, "done", 1s));
    EXPECT_TRUE(busy());
}

TEST_P(queue_fairness, G37_urgent_late_and_other_queues_runs_are_found_by_a_busy_engine) {
    enqueue_many(60'000, tenant_id::make());
    // Its virtual time is of now, and it commits when the claims are far behind that.
    test::sql_connection late(world_.app_conninfo());
    const run_id slow = run_id::make();
    late.query("begin");
    late.query("select queue.enqueue('" + slow.str() +
               "', 'test.errand', 1, 0::smallint, 0::smallint, 0, null, null, '1 day', null, null,"
               " '0', null, '" +
               task(std::nullopt).input + "')");
    engine_options options = quick(20'000ms);
    options.queues = {0, 7};
    auto p = start(options);
    wait_for_work();
    enqueue_request urgent = task(tenant_id::make());
    urgent.priority = -5;
    EXPECT_TRUE(world_.ends(enqueue(urgent), "done", 1s));
    enqueue_request elsewhere = task(tenant_id::make());
    elsewhere.queue = 7;
    EXPECT_TRUE(world_.ends(enqueue(elsewhere), "done", 1s));
    late.query("commit");
    EXPECT_TRUE(world_.ends(slow, "done", 1s));
    EXPECT_TRUE(busy());
}

TEST_P(queue_fairness, a_claim_from_the_watermark_does_not_read_what_is_dead) {
    enqueue_many(30'000, tenant_id::make());
    world_.db().query_admin("vacuum analyze queue.ready");
    test::sql_connection pin(world_.db().admin_conninfo());
    pin.query("begin isolation level repeatable read");
    pin.query("select 1 from queue.ready limit 1");  // nothing can be removed from now on
    test::sql_connection worker(world_.worker_conninfo());
    worker.query(
        "insert into queue.worker (id, boot_id, label) values (1, gen_random_uuid(), 'test')");
    worker.query("select * from queue.claim(1, 77, 0::smallint, 25000)");
    const auto blocks = [&](const std::string& from) {
        const auto plan = world_.text(
            "explain (analyze, buffers, format json) select r.ctid from queue.ready r"
            " where r.queue = 0 and (r.priority, r.vt) >= " +
            from + " order by r.queue, r.priority, r.vt, r.id limit 16");
        const auto at = plan.find("\"Shared Hit Blocks\": ");
        return std::stoi(plan.substr(at + 21));
    };
    const int all = blocks("((-32768)::smallint, 0::bigint)");
    const int few = blocks("(0::smallint, " +
                           world_.text("select max(vt) from queue.run where state = 1") + ")");
    EXPECT_GT(all, 100);
    EXPECT_LT(few, 20);
}

TEST_P(queue_fairness, watermarks_and_claims_ahead_leave_nothing_behind) {
    enqueue_many(5'000, tenant_id::make());
    auto a = start();
    auto b = start();
    enqueue_many(2'000, tenant_id::make());
    ASSERT_TRUE(world_.becomes("select count(*) from queue.history where state = 4", "7000", 60s));
    EXPECT_TRUE(world_.in_order());
    EXPECT_EQ(a->engine().stats().stale_refused + b->engine().stats().stale_refused, 0U);
}

INSTANTIATE_TEST_SUITE_P(both, queue_fairness, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
