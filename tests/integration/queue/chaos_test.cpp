// Processes that die, stop or lose their connection at every named place; what must hold afterwards
// is scanned in the tables (QUEUE.md section 9).

#include "child.hpp"
#include "journey.hpp"
#include "world.hpp"

#include "insula/queue/fault.hpp"

#include <csignal>
#include <cstdlib>
#include <future>
#include <map>
#include <set>

namespace insula::queue::test_support {
namespace {

class queue_chaos : public testing::TestWithParam<runtime::backend> {
protected:
    void SetUp() override {
        fault::clear();
        set_call_conninfo(world_.worker_conninfo());
    }
    void TearDown() override { fault::clear(); }

    run_id enqueue(const journey_input& in, std::string_view kind = journey::kind) {
        enqueue_request what;
        what.kind = std::string(kind);
        what.input = encode_input(in);
        return world_.enqueue(what);
    }
    std::unique_ptr<process> start(engine_options options = quick(lease)) {
        return std::make_unique<process>(world_.worker_conninfo(), test_workflows(),
                                         std::move(options), GetParam());
    }

    /// Lets a child die at a fault, then another process finish; true when that took at most the
    /// lease and a second (I6), counted from the death.
    void dies_then_recovers(const std::string& fault, const journey_input& in,
                            std::string_view kind, const std::string& state,
                            const std::string& effects) {
        SCOPED_TRACE(fault);
        const run_id id = last_ = enqueue(in, kind);
        child_process child(world_, GetParam(), fault);
        ASSERT_EQ(child.wait(), SIGKILL) << "the fault was never reached";
        const auto died = std::chrono::steady_clock::now();
        auto rescuer = start();
        ASSERT_TRUE(world_.ends(id, state));
        const auto took = std::chrono::steady_clock::now() - died;
        EXPECT_LT(took, lease + 1'000ms);
        EXPECT_EQ(world_.effects_of(id), effects);
        worst_ = std::max(worst_, std::chrono::duration_cast<std::chrono::milliseconds>(took));
    }

    world world_;
    run_id last_;
    std::chrono::milliseconds worst_{0};
};

TEST_P(queue_chaos, G31_killed_at_every_place_going_forward) {
    for (const char* place :
         {"queue.after_claim:1", "queue.before_effect:1", "queue.before_effect:2",
          "queue.before_effect:3", "queue.after_effect:1", "queue.after_effect:2",
          "queue.after_effect:3", "queue.after_commit:1", "queue.after_commit:2",
          "queue.after_commit:3", "queue.after_intent:1", "queue.after_call:1",
          "queue.before_commit:1", "queue.before_commit:3", "queue.after_commit:4"}) {
        dies_then_recovers(std::string(place) + ":kill", {}, journey::kind, "done", "a+ b+ d+");
    }
    for (const char* place :
         {"queue.commit_on_wire:1", "queue.commit_on_wire:2", "queue.commit_on_wire:3"}) {
        dies_then_recovers(std::string(place) + ":kill_next_turn", {}, journey::kind, "done",
                           "a+ b+ d+");
    }
    for (const char* place :
         {"queue.after_effect:1", "queue.after_effect:2", "queue.after_commit:1"}) {
        dies_then_recovers(std::string(place) + ":kill", {}, tour::kind, "done",
                           "make+ open+ book+");
    }
    EXPECT_TRUE(world_.in_order());
    RecordProperty("worst_recovery_ms", static_cast<int>(worst_.count()));
}

TEST_P(queue_chaos, G31_killed_at_every_place_going_back) {
    const journey_input fails{.fail_at = "d", .fail_times = 0, .how = "final", .child = {}};
    for (const char* place :
         {"queue.before_turn:1", "queue.after_turn:1", "queue.before_undo:1", "queue.before_undo:2",
          "queue.after_undo:1", "queue.after_undo:2", "queue.after_undo_commit:1",
          "queue.after_undo_commit:2", "queue.after_undo_intent:1", "queue.after_undo_call:1",
          "queue.before_finish:1", "queue.after_finish:1"}) {
        dies_then_recovers(std::string(place) + ":kill", fails, journey::kind, "failed",
                           "a+ b+ b- a-");
    }
    for (const char* place : {"queue.undo_commit_on_wire:1", "queue.undo_commit_on_wire:2"}) {
        dies_then_recovers(std::string(place) + ":kill_next_turn", fails, journey::kind, "failed",
                           "a+ b+ b- a-");
    }
    const journey_input slips{.fail_at = "b", .fail_times = 1, .how = "retryable", .child = {}};
    dies_then_recovers("queue.before_retry:1:kill", slips, journey::kind, "done", "a+ b+ d+");
    EXPECT_TRUE(world_.in_order());
    RecordProperty("worst_recovery_ms", static_cast<int>(worst_.count()));
}

TEST_P(queue_chaos, G31_killed_in_every_batch_of_a_step) {
    const auto check = [&](const char* place, const journey_input& in, const std::string& state,
                           const std::string& notes) {
        dies_then_recovers(std::string(place) + ":kill", in, "test.heaps", state, "");
        EXPECT_EQ(world_.notes_of(last_), notes);
    };
    const std::string forward = "first heap1 heap2 heap3 last after heap3";
    for (const char* place :
         {"queue.after_effect:2", "queue.after_effect:4", "queue.after_commit:2",
          "queue.after_commit:4", "queue.after_commit:5"}) {
        check(place, {}, "done", forward);
    }
    for (const char* place : {"queue.after_undo:1", "queue.after_undo:2",
                              "queue.after_undo_commit:1", "queue.after_undo_commit:2"}) {
        check(place, {"last", 0, "", ""}, "failed",
              "first heap1 heap2 heap3 unheap1 unheap2 unfirst");
    }
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_chaos, G36_a_run_that_kills_its_process_is_set_aside) {
    // Every child dies at the effect of this run's first step; four attempts are all it has.
    const run_id id = enqueue({});
    for (int i = 0; i < 4; ++i) {
        child_process child(world_, GetParam(), "queue.before_effect:1:kill");
        ASSERT_EQ(child.wait(), SIGKILL);
    }
    auto p = start();
    ASSERT_TRUE(world_.ends(id, "failed"));
    EXPECT_EQ(world_.text("select concat_ws(' ', error_code, crashes, error_detail) from"
                          " queue.history"),
              "attempts_exhausted 4 Tried too often.");
    EXPECT_EQ(world_.effects_of(id), "");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_chaos, G32_a_process_that_wakes_after_its_lease_commits_nothing) {
    // before_commit: behind the effect, with the transaction open; before_effect: in front of it.
    for (const char* place : {"queue.before_commit:1:stop", "queue.before_effect:2:stop"}) {
        SCOPED_TRACE(place);
        const run_id id = enqueue({});
        child_process zombie(world_, GetParam(), place);
        ASSERT_TRUE(zombie.stopped());
        auto rescuer = start();
        ASSERT_TRUE(world_.ends(id, "done"));
        EXPECT_EQ(world_.effects_of(id), "a+ b+ d+");
        zombie.signal(SIGCONT);
        // It registers anew when it has understood; until then it may try what it likes.
        EXPECT_TRUE(world_.becomes("select count(*) >= 2 from queue.worker where not dead", "t"));
        EXPECT_EQ(world_.effects_of(id), "a+ b+ d+");
        zombie.signal(SIGKILL);
        zombie.wait();
    }
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_chaos, G32_a_stolen_claim_is_refused_by_the_fence_and_counted) {
    fault::arm("queue.after_effect", 2,
               fault::action::hold);  // step b only defers: its fence is not sent yet
    auto options = quick(60'000ms);
    auto p = start(options);
    const run_id id = enqueue({});
    while (!fault::holding("queue.after_effect")) {
        std::this_thread::yield();
    }
    world_.db().query_admin("update queue.run set token = token + 1");  // as another claim would
    fault::release("queue.after_effect");
    ASSERT_TRUE(counts(p->engine(), &engine_stats::stale_refused, 1U));
    EXPECT_EQ(world_.effects_of(id), "a+");
    EXPECT_EQ(world_.text("select step from queue.run"), "1");
}

/// The same theft without the fence: the effects commit. It shows that the test above can fail.
TEST_P(queue_chaos, G32_negative_control_without_the_fence_a_stolen_claim_commits) {
    fault::arm("queue.after_effect", 2, fault::action::hold);
    auto options = quick(60'000ms);
    options.unfenced_for_negative_control = true;
    auto p = start(options);
    enqueue({});
    while (!fault::holding("queue.after_effect")) {
        std::this_thread::yield();
    }
    world_.db().query_admin("update queue.run set token = token + 1");
    fault::release("queue.after_effect");
    EXPECT_TRUE(world_.becomes("select count(*) from t.effect where step = 'b'", "1"));
}

TEST_P(queue_chaos, G41_connection_cut_before_commit_means_again) {
    fault::arm("queue.before_commit", 1, fault::action::hold);
    auto p = start(quick(60'000ms));
    const run_id id = enqueue({});
    while (!fault::holding("queue.before_commit")) {
        std::this_thread::yield();
    }
    ASSERT_EQ(
        world_.text("select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity"
                    " where state = 'idle in transaction' and datname = current_database()) k"),
        "1");
    fault::release("queue.before_commit");
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.effects_of(id), "a+ b+ d+");
    EXPECT_EQ(p->engine().stats().lost_commits_landed, 0U);
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_chaos, each_kind_of_connection_may_be_cut_at_any_time) {
    auto a = start(quick(2'000ms));
    auto b = start(quick(2'000ms));
    std::vector<run_id> ids;
    for (int i = 0; i < 60; ++i) {
        ids.push_back(enqueue({}));
        if (i % 3 == 0) {
            world_.db().query_admin(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = '" +
                world_.db().role_prefix() + "_worker' order by random() limit 2");
        }
    }
    for (const run_id id : ids) {
        ASSERT_TRUE(world_.ends(id, "done"));
        EXPECT_EQ(world_.effects_of(id), "a+ b+ d+");
    }
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_chaos, a_driver_that_dies_of_an_exception_loses_nothing) {
    fault::arm("queue.after_claim", 1, fault::action::throws);
    auto p = start(quick(300ms));
    const run_id id = enqueue({});
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.text("select crashes from queue.history"), "1");
    EXPECT_TRUE(world_.in_order());
}

INSTANTIATE_TEST_SUITE_P(both, queue_chaos, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

/// COMMIT waits for a standby that does not exist: terminated there, the backend has committed and
/// cannot say so.
TEST(queue_lost_commit, G41_a_commit_that_landed_unseen_is_found_in_the_row) {
    auto own = test::cluster::start();
    {
        test::sql_connection admin(own->admin_conninfo());
        admin.query("alter system set wal_level = 'replica'");
        admin.query("alter system set max_wal_senders = 1");
    }
    own->stop_server();
    own->start_server();
    world w(*own);
    set_call_conninfo(w.worker_conninfo());
    fault::clear();
    fault::arm("queue.before_commit", 2, fault::action::hold);
    auto options = quick(60'000ms);
    process p(w.worker_conninfo(), test_workflows(), options, runtime::backend::epoll);
    enqueue_request what = request_for<journey>({});
    const run_id id = w.enqueue(what);
    while (!fault::holding("queue.before_commit")) {
        std::this_thread::yield();
    }
    test::sql_connection admin(own->admin_conninfo());
    admin.query("alter system set synchronous_standby_names = 'nobody'");
    admin.query("select pg_reload_conf()");
    const auto waiting = [](const std::string& query) {
        return "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and query ilike "
               "'" +
               query + "%'";
    };
    // The setting is live when somebody's commit waits.
    test::sql_connection probe(w.db().admin_conninfo());
    ASSERT_EQ(PQsendQuery(probe.native(), "create table t.probe ()"), 1);
    ASSERT_TRUE(w.becomes(waiting("create table"), "1"));
    fault::release("queue.before_commit");
    ASSERT_TRUE(w.becomes(waiting("commit"), "1"));
    admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where wait_event = 'SyncRep' and query ilike 'commit%'");
    ASSERT_TRUE(w.becomes(waiting("commit"), "0"));
    admin.query("alter system reset synchronous_standby_names");
    admin.query("select pg_reload_conf()");
    ASSERT_TRUE(w.ends(id, "done"));
    EXPECT_EQ(w.effects_of(id), "a+ b+ d+");
    EXPECT_EQ(p.engine().stats().lost_commits_landed, 1U);
    EXPECT_EQ(p.engine().stats().stale_refused, 0U);
    EXPECT_TRUE(w.in_order());
    fault::clear();
}

TEST(queue_restart, G52_postgres_may_die_and_come_back) {
    auto own = test::cluster::start();
    world w(*own);
    set_call_conninfo(w.worker_conninfo());
    fault::clear();
    process p(w.worker_conninfo(), test_workflows(), quick(1'000ms), runtime::backend::io_uring);
    enqueue_request what = request_for<tour>({});
    std::vector<run_id> ids;
    for (int i = 0; i < 40; ++i) {
        ids.push_back(w.enqueue(what));
    }
    own->kill_server();
    own->start_server();
    for (int tries = 0; tries < 100; ++tries) {
        try {
            w.text("select 1");  // the world's own connection died with the server
            break;
        } catch (const std::exception&) {
            // The next look makes a new one.
        }
    }
    for (const run_id id : ids) {
        ASSERT_TRUE(w.ends(id, "done"));
        EXPECT_EQ(w.effects_of(id), "make+ open+ book+");
    }
    EXPECT_TRUE(w.in_order());
}

}  // namespace
}  // namespace insula::queue::test_support
