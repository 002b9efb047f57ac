// What nobody needs any more goes, in batches, by one process at a time; everything else stays.

#include "journey.hpp"
#include "world.hpp"

#include <thread>

namespace insula::queue::test_support {
namespace {

class queue_retention : public testing::TestWithParam<runtime::backend> {
protected:
    std::unique_ptr<process> start(std::chrono::milliseconds upkeep = 50ms) {
        engine_options options = quick(5'000ms);
        options.upkeep = upkeep;
        options.history_retention = std::chrono::hours(7 * 24);
        return std::make_unique<process>(world_.worker_conninfo(), test_workflows(),
                                         std::move(options), GetParam());
    }
    /// Finished runs with what belongs to them, that old.
    void finished(int count, const std::string& age) {
        world_.db().query_admin(
            "with made as (insert into queue.history (id, kind, version, queue, priority, state,"
            " direction, step, attempt, crashes, token, input, created_at, finished_at)"
            " select gen_random_uuid(), 'k', 1, 0, 0, 4, 1, 1, 1, 0, 1, '{}', now(),"
            " clock_timestamp() - interval '" +
            age + "' from generate_series(1, " + std::to_string(count) +
            ") returning id), proof as (insert into queue.step (run, direction, seq, name, state,"
            " token, attempts) select id, 1, 0, 'a', 1, 1, 1 from made)"
            " insert into queue.failed_attempt (run, direction, seq, step, attempt, code, detail,"
            " internal) select id, 1, 0, 'a', 1, 'c', '', '' from made");
    }
    std::string counts() {
        return world_.text(
            "select (select count(*) from queue.history) || ' ' || (select count(*) from "
            "queue.step) || ' ' || (select count(*) from queue.failed_attempt) || ' ' || (select "
            "count(*) from queue.idempotency) || ' ' || (select count(*) from queue.worker where "
            "dead)");
    }

    world world_;
};

TEST_P(queue_retention, what_is_old_goes_and_what_is_not_stays) {
    finished(2'500, "8 days");
    finished(10, "6 days");
    // Of a run that lives: its steps are old, and needed.
    enqueue_request what;
    what.kind = "test.nobody_knows";
    what.delay = std::chrono::hours(1);
    const run_id alive = world_.enqueue(what);
    world_.db().query_admin(
        "insert into queue.step (run, direction, seq, name, state, token, attempts, at) values ('" +
        alive.str() +
        "', 1, 0, 'a', 1, 1, 1, now() - interval '1 year');"
        "insert into queue.idempotency (tenant, kind, key, run, expires) select gen_random_uuid(),"
        " 'k', i::text, gen_random_uuid(), now() + (i || ' hours')::interval from "
        "generate_series(-4, 5) i;"
        "insert into queue.worker (id, boot_id, label, dead, started_at) values"
        " (-1, gen_random_uuid(), 'x', true, now() - interval '2 days'),"
        " (-2, gen_random_uuid(), 'x', true, now())");
    EXPECT_EQ(counts(), "2510 2511 2510 10 2");
    auto p = start();
    EXPECT_TRUE(world_.becomes(
        "select (select count(*) from queue.history) || ' ' || (select count(*) from queue.step) "
        "|| ' ' || (select count(*) from queue.failed_attempt) || ' ' || (select count(*) from "
        "queue.idempotency) || ' ' || (select count(*) from queue.worker where dead)",
        "10 11 10 5 1"));
    // The rows are gone for everybody before the process has read how many there were.
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (p->engine().stats().cleaned_up < 2'500U && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    EXPECT_GE(p->engine().stats().cleaned_up, 2'500U);
}

TEST_P(queue_retention, each_batch_is_bounded_and_one_process_is_at_it) {
    finished(250, "8 days");
    test::sql_connection a(world_.worker_conninfo());
    test::sql_connection b(world_.worker_conninfo());
    a.query("begin");
    EXPECT_EQ(a.query("select queue.clean_up('7 days', 100)").at(0).at(0), "100");
    b.query("set lock_timeout = '2s'");
    EXPECT_EQ(b.query("select queue.clean_up('7 days', 100)").at(0).at(0), test::null_text);
    a.query("commit");
    EXPECT_EQ(counts(), "150 150 150 0 0");
    EXPECT_EQ(b.query("select queue.clean_up('7 days', 100)").at(0).at(0), "100");
    EXPECT_EQ(b.query("select queue.clean_up('7 days', 100)").at(0).at(0), "50");
}

INSTANTIATE_TEST_SUITE_P(both, queue_retention, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
