// Pausing a queue, and what the engine shows of it and of everything else in /metrics.

#include "journey.hpp"
#include "world.hpp"

#include <thread>

namespace insula::queue::test_support {
namespace {

class queue_pause : public testing::TestWithParam<runtime::backend> {
protected:
    std::unique_ptr<process> start() {
        engine_options options = quick(5'000ms);
        options.upkeep = 50ms;
        options.queues = {0, 3};
        return std::make_unique<process>(world_.worker_conninfo(), test_workflows(),
                                         std::move(options), GetParam());
    }
    run_id enqueue(std::int16_t queue) {
        enqueue_request what =
            request_for<errand>({.fail_at = {}, .fail_times = 0, .how = "quiet", .child = {}});
        what.queue = queue;
        return world_.enqueue(what);
    }
    testing::AssertionResult shows(process& p, const std::string& line) {
        const auto until = std::chrono::steady_clock::now() + 10s;
        std::string text;
        do {
            text = p.metrics().serialize();
            if (text.find(line) != std::string::npos) {
                return testing::AssertionSuccess();
            }
            std::this_thread::sleep_for(10ms);  // between two looks
        } while (std::chrono::steady_clock::now() < until);
        return testing::AssertionFailure() << line << " is not in\n" << text;
    }

    world world_;
};

TEST_P(queue_pause, nothing_of_a_paused_queue_is_claimed_until_it_is_resumed) {
    auto p = start();
    const auto commit = [&](pg::unit work) {
        const auto done =
            p->thread().run(p->pool().run(std::move(work), runtime::deadline::after(5s)));
        ASSERT_TRUE(done) << done.error().message;
    };
    pg::unit pause;
    add_pause(pause, 3);
    commit(std::move(pause));
    const run_id waiting = enqueue(3);
    EXPECT_TRUE(world_.ends(enqueue(0), "done"));
    const auto polls = p->engine().stats().wakes_polled;
    while (p->engine().stats().wakes_polled < polls + 3) {
        std::this_thread::yield();
    }
    EXPECT_EQ(world_.state_of(waiting), "ready");
    EXPECT_TRUE(shows(*p, "insula_queue_paused{queue=\"3\"} 1"));
    EXPECT_TRUE(shows(*p, "insula_queue_depth{queue=\"3\",state=\"ready\"} 1"));
    pg::unit rolled_back;
    add_resume(rolled_back, 3);
    rolled_back.add_once("select 1 / 0");
    EXPECT_FALSE(
        p->thread().run(p->pool().run(std::move(rolled_back), runtime::deadline::after(5s))));
    EXPECT_EQ(world_.text("select count(*) from queue.paused"), "1");
    pg::unit resume;
    add_resume(resume, 3);
    commit(std::move(resume));
    p->engine().wake();
    EXPECT_TRUE(world_.ends(waiting, "done"));
    EXPECT_TRUE(shows(*p, "insula_queue_paused{queue=\"3\"} 0"));
    EXPECT_TRUE(shows(*p, "insula_queue_depth{queue=\"3\",state=\"ready\"} 0"));
}

TEST_P(queue_pause, the_login_of_the_api_may_pause_and_resume) {
    test::sql_connection app(world_.app_conninfo());
    app.query("select queue.pause(4::smallint), queue.pause(4::smallint)");
    EXPECT_EQ(world_.text("select queue from queue.paused"), "4");
    app.query("select queue.unpause(4::smallint)");
    EXPECT_EQ(world_.text("select count(*) from queue.paused"), "0");
}

TEST_P(queue_pause, metrics_show_what_the_queue_does) {
    enqueue_request strange;
    strange.kind = "test.nobody_knows";
    world_.enqueue(strange);
    const run_id id = enqueue(0);
    enqueue(9);  // nobody serves it
    test::sql_connection old(world_.db().admin_conninfo());
    old.query("begin isolation level repeatable read");
    old.query("select 1 from queue.run");
    world_.enqueue(strange);
    auto p = start();
    ASSERT_TRUE(world_.ends(id, "done"));
    for (const char* line : {"insula_queue_depth{queue=\"0\",state=\"waiting\"} 2",
                             "insula_queue_horizon_seconds ",
                             "insula_queue_horizon_transactions ",
                             "insula_queue_oldest_ready_seconds{queue=\"9\"} ",
                             "insula_queue_claimed_total ",
                             "insula_queue_claim_seconds_count ",
                             "insula_queue_pickup_seconds_count ",
                             "insula_queue_step_seconds_count ",
                             "insula_queue_run_seconds_count ",
                             "insula_queue_attempts_count ",
                             "insula_queue_completion_batch_count ",
                             "insula_queue_rescued_total ",
                             "insula_queue_stale_refused_total ",
                             "insula_queue_lost_commits_landed_total ",
                             "insula_queue_lost_commits_repeated_total ",
                             "insula_queue_held_total ",
                             "insula_queue_wakes_total{by=\"poll\"}",
                             "insula_queue_wakes_total{by=\"notify\"}",
                             "insula_queue_wakes_total{by=\"local\"}",
                             "insula_queue_running ",
                             "insula_queue_recurring_fired_total ",
                             "insula_queue_cleaned_up_total "}) {
        EXPECT_TRUE(shows(*p, line));
    }
    // The snapshot that is held is the same at every look.
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (p->metrics().gauge("insula_queue_horizon_seconds", "").value() < 0.2) {
        ASSERT_LT(std::chrono::steady_clock::now(), until) << "nobody sees it";
        std::this_thread::sleep_for(10ms);  // between two looks
    }
}

INSTANTIATE_TEST_SUITE_P(both, queue_pause, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
