// What happens between two steps, and at the limits of one: batches, cancelling, deadlines,
// timeouts, blame.

#include "special.hpp"

#include "insula/queue/fault.hpp"
#include "insula/queue/operate.hpp"

namespace insula::queue::test_support {
namespace {

class queue_boundaries : public testing::TestWithParam<runtime::backend> {
protected:
    void SetUp() override {
        fault::clear();
        set_call_conninfo(world_.worker_conninfo());
        calls_begun = 0;
        calls_ended = 0;
    }
    void TearDown() override { fault::clear(); }

    std::unique_ptr<process> start(const registry& known, engine_options options = quick()) {
        return std::make_unique<process>(world_.worker_conninfo(), known, std::move(options),
                                         GetParam());
    }
    template <class W>
    run_id enqueue(const journey_input& in) {
        return world_.enqueue(request_for<W>(in));
    }
    std::string failures_of(run_id id) {
        return world_.text(
            "select coalesce(string_agg(step || ':' || attempt || ':' || code, ' ' order by n), '')"
            " from queue.failed_attempt where run = '" +
            id.str() + "'");
    }
    void cancel(run_id id, const std::string& outcome = "0") {
        EXPECT_EQ(world_.text("select outcome from queue.cancel_run('" + id.str() + "')"), outcome);
    }

    world world_;
};

TEST_P(queue_boundaries, again_commits_each_batch_and_stays_at_the_step) {
    const registry known = knowing(heaps());
    auto p = start(known);
    const run_id id = enqueue<heaps>({});
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.notes_of(id), "first heap1 heap2 heap3 last after heap3");
    EXPECT_EQ(world_.text("select count(distinct xmin::text) from t.note"), "5");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_boundaries,
       again_gives_every_batch_its_attempts_and_repeats_only_the_one_that_failed) {
    const registry known = knowing(heaps());
    auto p = start(known);
    const run_id id = enqueue<heaps>({.fail_at = "heap2", .fail_times = 3, .how = {}, .child = {}});
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.notes_of(id), "first heap1 heap2 heap3 last after heap3");
    EXPECT_EQ(failures_of(id), "heap:1:slipped heap:2:slipped heap:3:slipped");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_boundaries, G31_again_survives_a_death_in_every_batch) {
    const registry known = knowing(heaps());
    for (const char* place : {"queue.before_commit", "queue.after_commit"}) {
        for (unsigned arrival = 1; arrival <= 5; ++arrival) {
            SCOPED_TRACE(place + std::to_string(arrival));
            // An exception outside of a step kills the run's task: nobody works on it until the
            // audit finds it, and then it goes on from its rows alone.
            fault::arm(place, arrival, fault::action::throws);
            auto p = start(known, quick(200ms));
            const run_id id = enqueue<heaps>({});
            ASSERT_TRUE(world_.ends(id, "done"));
            EXPECT_EQ(world_.notes_of(id), "first heap1 heap2 heap3 last after heap3");
            fault::clear();
        }
    }
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_boundaries, a_drain_between_two_batches_repeats_none) {
    const registry known = knowing(pile());
    const run_id id = enqueue<pile>({});
    for (int batch = 1; batch <= 2; ++batch) {
        fault::arm("queue.after_commit", 1, fault::action::hold);
        auto p = start(known);
        while (!fault::holding("queue.after_commit")) {
            std::this_thread::yield();
        }
        // Both are posted to the loop, so the drain has begun when the run goes on.
        std::promise<void> drained;
        boost::asio::co_spawn(p->thread().loop().get_executor(),
                              p->engine().drain(runtime::deadline::after(10s)),
                              [&](const std::exception_ptr&, bool) { drained.set_value(); });
        fault::release("queue.after_commit");
        drained.get_future().get();
        EXPECT_EQ(world_.text("select count(*) from t.note"), std::to_string(batch));
    }
    fault::clear();
    auto p = start(known);
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.notes_of(id), "1 2 3");
    EXPECT_EQ(world_.text("select crashes from queue.history"), "0");
}

TEST_P(queue_boundaries, a_step_in_batches_is_undone_also_when_it_was_cancelled_half_way) {
    fault::arm("queue.after_commit", 2, fault::action::hold);  // behind heap1
    const registry known = knowing(heaps());
    auto p = start(known);
    const run_id id = enqueue<heaps>({});
    while (!fault::holding("queue.after_commit")) {
        std::this_thread::yield();
    }
    cancel(id);
    fault::release("queue.after_commit");
    ASSERT_TRUE(world_.ends(id, "cancelled"));
    EXPECT_EQ(world_.notes_of(id), "first heap1 unheap1 unheap2 unfirst");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_boundaries, cancelling_stops_a_running_run_before_its_next_step) {
    for (const auto& [place, arrival, effects] :
         {std::tuple{"queue.after_effect", 1U, "a+ a-"},
          std::tuple{"queue.after_commit", 1U, "a+ a-"},
          std::tuple{"queue.after_intent", 1U, "a+ b+ b- a-"},
          std::tuple{"queue.after_call", 1U, "a+ b+ b- a-"}}) {
        SCOPED_TRACE(place);
        fault::arm(place, arrival, fault::action::hold);
        auto p = start(test_workflows());
        const run_id id = enqueue<journey>({});
        while (!fault::holding(place)) {
            std::this_thread::yield();
        }
        cancel(id);
        fault::release(place);
        ASSERT_TRUE(world_.ends(id, "cancelled"));
        EXPECT_EQ(world_.effects_of(id), effects);
        EXPECT_EQ(
            world_.text("select what || ' ' || code from t.ended where run = '" + id.str() + "'"),
            "undone cancelled");
        fault::clear();
    }
    EXPECT_TRUE(world_.in_order());
    auto sweeper = start(test_workflows());
    EXPECT_TRUE(world_.becomes("select count(*) from queue.cancellation", "0"));
}

TEST_P(queue_boundaries, behind_the_point_of_no_return_cancelling_changes_nothing) {
    fault::arm("queue.after_commit", 1, fault::action::hold);
    auto p = start(test_workflows());
    const run_id id = enqueue<tour>({});
    while (!fault::holding("queue.after_commit")) {
        std::this_thread::yield();
    }
    cancel(id);
    fault::release("queue.after_commit");
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.effects_of(id), "make+ open+ book+");
}

TEST_P(queue_boundaries, the_overall_deadline_is_seen_between_two_steps) {
    fault::arm("queue.after_commit", 2, fault::action::hold);
    auto p = start(test_workflows());
    const run_id id = enqueue<journey>({});
    while (!fault::holding("queue.after_commit")) {
        std::this_thread::yield();
    }
    world_.db().query_admin("update queue.run set deadline = clock_timestamp()");
    fault::release("queue.after_commit");
    ASSERT_TRUE(world_.ends(id, "failed"));
    EXPECT_EQ(world_.effects_of(id), "a+ b+ b- a-");
    EXPECT_EQ(world_.text("select error_code from queue.history"), "deadline_passed");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_boundaries, the_overall_deadline_ends_a_waiting_run) {
    const registry known = knowing(patient(), journey());
    auto p = start(known);
    // One waits for its time, the other for its next attempt; both for an hour.
    const auto enqueue_for = [&](std::string_view kind, const std::string& delay) {
        const run_id id = run_id::make();
        world_.db().query_admin(
            "with e as (select queue.enqueue($1, $2, 1, 0::smallint, 0::smallint, null, null, null,"
            " '1 day', null, null, $3::interval, clock_timestamp() + interval '300 ms', $4) as id)"
            " select count(*) from e",
            {id.str(), std::string(kind), delay, encode_input(journey_input{})});
        return id;
    };
    const run_id asleep = enqueue_for(journey::kind, "1 hour");
    const run_id failing = enqueue_for(patient::kind, "0");
    for (const run_id id : {asleep, failing}) {
        ASSERT_TRUE(world_.ends(id, "failed", 5s));
        EXPECT_EQ(world_.text("select error_code from queue.history where id = '" + id.str() + "'"),
                  "deadline_passed");
    }
    EXPECT_EQ(failures_of(failing), "fail:1:later");
    EXPECT_EQ(world_.effects_of(asleep), "");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_boundaries, a_call_that_hangs_is_cut_off_and_tried_again) {
    const registry known = knowing(hanging<false>(), hanging<true>());
    auto p = start(known);
    const run_id soft =
        enqueue<hanging<false>>({.fail_at = {}, .fail_times = 2, .how = {}, .child = {}});
    ASSERT_TRUE(world_.ends(soft, "done", 5s));
    EXPECT_EQ(failures_of(soft), "wait:1:timeout wait:2:timeout");
    EXPECT_EQ(calls_begun, 3);
    EXPECT_EQ(calls_ended, 3);
    // One that cannot be cancelled is left behind; its late success changes nothing.
    const run_id hard =
        enqueue<hanging<true>>({.fail_at = {}, .fail_times = 9, .how = {}, .child = {}});
    ASSERT_TRUE(world_.ends(hard, "failed", 5s));
    EXPECT_EQ(failures_of(hard), "wait:1:timeout wait:2:timeout wait:3:timeout");
    EXPECT_EQ(
        world_.text("select error_code || ' ' || error_detail from queue.history where id = '" +
                    hard.str() + "'"),
        "timeout No answer in time.");
    EXPECT_TRUE(p->drain());
    while (calls_ended < 6) {
        std::this_thread::yield();
    }
}

TEST_P(queue_boundaries, stopping_while_a_call_hangs_leaves_the_run_to_others) {
    const registry known = knowing(hanging<false>());
    auto options = quick();
    auto p = start(known, options);
    const run_id id =
        enqueue<hanging<false>>({.fail_at = {}, .fail_times = 1, .how = {}, .child = {}});
    while (calls_begun == 0) {
        std::this_thread::yield();
    }
    EXPECT_FALSE(p->drain(20ms));  // it had to be left
    EXPECT_EQ(calls_ended, 1);
    auto other = start(known);
    ASSERT_TRUE(world_.ends(id, "done", 5s));
}

TEST_P(queue_boundaries, a_database_step_is_bounded_by_its_timeout) {
    const registry known = knowing(sleeper());
    auto p = start(known);
    for (const char* how : {"", "deferred"}) {
        const run_id id =
            enqueue<sleeper>({.fail_at = {}, .fail_times = 2, .how = how, .child = {}});
        ASSERT_TRUE(world_.ends(id, "done", 8s)) << how;
        EXPECT_EQ(failures_of(id), "sleep:1:timeout sleep:2:timeout") << how;
        EXPECT_EQ(world_.notes_of(id), "slept") << how;
    }
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_boundaries, deferred_sql_is_blamed_on_the_step_that_deferred_it) {
    const registry known = knowing(debtors());
    auto p = start(known);
    for (const char* sender : {"", "two", "three"}) {  // with COMMIT, or with another step's SQL
        for (const char* guilty : {"one", "two", "three"}) {
            const run_id id =
                enqueue<debtors>({.fail_at = guilty, .fail_times = 0, .how = {}, .child = sender});
            ASSERT_TRUE(world_.ends(id, "failed"));
            EXPECT_EQ(failures_of(id), std::string(guilty) + ":1:database_error") << sender;
            EXPECT_EQ(world_.notes_of(id), "");
        }
    }
    const run_id late =
        enqueue<debtors>({.fail_at = "on_finish", .fail_times = 0, .how = {}, .child = {}});
    ASSERT_TRUE(world_.ends(late, "held"));
    EXPECT_EQ(world_.notes_of(late), "one two three");
    EXPECT_EQ(world_.text("select held_step from queue.run"), "on_finish");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_boundaries, G36_unreadable_input_is_a_failed_run_with_its_bookkeeping) {
    const registry known = knowing(reader());
    auto p = start(known);
    enqueue_request poison;
    poison.kind = std::string(reader::kind);
    poison.input = "{\"fail_at\": []}";
    poison.tenant = tenant_id::make();
    const run_id id = world_.enqueue(poison);
    ASSERT_TRUE(world_.ends(id, "failed"));
    EXPECT_EQ(world_.notes_of(id), "invalid_input of " + poison.tenant->str());
    EXPECT_TRUE(world_.in_order());
}

INSTANTIATE_TEST_SUITE_P(both, queue_boundaries, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
