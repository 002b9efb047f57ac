// Recurring tasks: one firing for each time, whoever is there to fire.

#include "journey.hpp"
#include "world.hpp"

#include <future>

namespace insula::queue::test_support {
namespace {

class queue_recurring : public testing::TestWithParam<runtime::backend> {
protected:
    static recurring_task tick(schedule when) {
        recurring_task task = recurring<errand>(
            "tick", std::move(when), {.fail_at = {}, .fail_times = 0, .how = "quiet", .child = {}});
        task.may_overlap = true;
        return task;
    }
    std::unique_ptr<process> start(recurring_task task) {
        engine_options options = quick(2'000ms);
        options.recurring.push_back(std::move(task));
        return std::make_unique<process>(world_.worker_conninfo(), test_workflows(),
                                         std::move(options), GetParam());
    }
    void declare(const std::string& schedule, bool may_overlap = true) {
        worker_.query(
            "select queue.declare_recurring('tick', $1, 'test.errand', 1, 0::smallint,"
            " 0::smallint, null, '{}', $2)",
            {schedule, may_overlap ? "true" : "false"});
    }
    static std::string fire(test::sql_connection& on) {
        return on
            .query("select fired from queue.fire_recurring('{tick}', array[gen_random_uuid()])")
            .at(0)
            .at(0);
    }
    std::string runs() {
        return world_.text(
            "select (select count(*) from queue.run) + (select count(*) from "
            "queue.history)");
    }

    world world_;
    test::sql_connection worker_{world_.worker_conninfo()};
};

TEST_P(queue_recurring, many_processes_fire_each_time_once) {
    const auto begun = std::chrono::steady_clock::now();
    auto a = start(tick(schedule::every(100ms)));
    auto b = start(tick(schedule::every(100ms)));
    auto c = start(tick(schedule::every(100ms)));
    ASSERT_TRUE(world_.becomes("select count(*) >= 10 from queue.history where state = 4", "t"));
    for (auto* p : {&a, &b, &c}) {
        EXPECT_TRUE((*p)->drain());
    }
    const auto took = std::chrono::steady_clock::now() - begun;
    EXPECT_LE(std::stoi(runs()), took / 100ms + 1);
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_recurring, two_that_see_the_same_time_fire_it_once) {
    declare("every 3600000 ms");
    world_.db().query_admin("update queue.recurring set next_due = clock_timestamp()");
    worker_.query("begin");
    EXPECT_EQ(fire(worker_), "1");
    test::sql_connection other(world_.worker_conninfo());
    auto second = std::async(std::launch::async, [&] { return fire(other); });
    ASSERT_TRUE(
        world_.becomes("select count(*) from pg_stat_activity where wait_event_type = "
                       "'Lock' and datname = current_database()",
                       "1"));
    worker_.query("commit");
    EXPECT_EQ(second.get(), "0");
    EXPECT_EQ(runs(), "1");
}

TEST_P(queue_recurring, a_firing_that_rolls_back_did_not_happen) {
    declare("every 3600000 ms");
    world_.db().query_admin("update queue.recurring set next_due = clock_timestamp()");
    worker_.query("begin");
    EXPECT_EQ(fire(worker_), "1");
    worker_.query("rollback");
    EXPECT_EQ(runs(), "0");
    EXPECT_EQ(fire(worker_), "1");
    EXPECT_EQ(runs(), "1");
}

TEST_P(queue_recurring, missed_times_collapse_into_one) {
    declare("every 60000 ms");
    world_.db().query_admin(
        "update queue.recurring set next_due = clock_timestamp() - interval '10 hours 20 seconds'");
    EXPECT_EQ(fire(worker_), "1");
    EXPECT_EQ(fire(worker_), "0");
    EXPECT_EQ(runs(), "1");
    // On the grid it was on: 40 seconds from now, not 60.
    EXPECT_EQ(world_.text("select next_due - clock_timestamp() between interval '30 s' and interval"
                          " '40 s' from queue.recurring"),
              "t");
}

TEST_P(queue_recurring, a_clock_that_was_set_back_does_not_silence_it) {
    declare("every 1000 ms");
    world_.db().query_admin(
        "update queue.recurring set next_due = clock_timestamp() + interval '1 "
        "hour', last_fired = clock_timestamp() + interval '1 hour'");
    fire(worker_);
    EXPECT_TRUE(
        world_.becomes("select fired from queue.fire_recurring('{tick}', "
                       "array[gen_random_uuid()])",
                       "1", 5s));
}

TEST_P(queue_recurring, it_goes_on_when_the_process_that_fired_is_gone) {
    {
        auto first = start(tick(schedule::every(50ms)));
        ASSERT_TRUE(world_.becomes("select count(*) >= 2 from queue.history", "t"));
    }
    const int before = std::stoi(runs());
    auto second = start(tick(schedule::every(50ms)));
    EXPECT_TRUE(world_.becomes(
        "select count(*) >= " + std::to_string(before + 3) + " from queue.history", "t"));
    EXPECT_GE(second->engine().stats().recurring_fired, 3U);
}

TEST_P(queue_recurring, a_run_that_still_lives_stands_in_for_the_next) {
    declare("every 3600000 ms", false);
    for (const char* fired : {"1", "0"}) {
        world_.db().query_admin("update queue.recurring set next_due = clock_timestamp()");
        EXPECT_EQ(fire(worker_), fired);
    }
    world_.db().query_admin("update queue.run set state = 3");  // held: nobody knows for how long
    world_.db().query_admin("update queue.recurring set next_due = clock_timestamp()");
    EXPECT_EQ(fire(worker_), "1");
}

TEST_P(queue_recurring, schedules_say_when) {
    const auto next = [&](const std::string& schedule, const std::string& due,
                          const std::string& now) {
        return world_.text("select queue.next_due('" + schedule + "', '" + due + "+00', '" + now +
                           "+00') at time zone 'UTC'");
    };
    EXPECT_EQ(next("every 300000 ms", "2026-01-01 10:00", "2026-01-01 10:00"),
              "2026-01-01 10:05:00");
    EXPECT_EQ(next("every 300000 ms", "2026-01-01 10:00", "2026-01-01 10:17"),
              "2026-01-01 10:20:00");
    EXPECT_EQ(next("daily 03:30", "2026-01-01 03:30", "2026-01-01 03:29:59"),
              "2026-01-01 03:30:00");
    EXPECT_EQ(next("daily 03:30", "2026-01-01 03:30", "2026-01-01 03:30"), "2026-01-02 03:30:00");
    EXPECT_EQ(next("daily 03:30", "2026-01-01 03:30", "2026-01-05 23:00"), "2026-01-06 03:30:00");
}

TEST_P(queue_recurring, a_new_schedule_replaces_the_old_one_and_the_same_keeps_its_time) {
    declare("every 3600000 ms");
    const std::string due = world_.text("select next_due from queue.recurring");
    declare("every 3600000 ms");
    EXPECT_EQ(world_.text("select next_due from queue.recurring"), due);
    declare("every 1000 ms");
    EXPECT_EQ(world_.text("select next_due < clock_timestamp() + interval '2 s' from "
                          "queue.recurring"),
              "t");
}

INSTANTIATE_TEST_SUITE_P(both, queue_recurring, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
