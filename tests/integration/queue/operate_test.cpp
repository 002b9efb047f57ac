// What operators see and do, in every state a run can be in.

#include "insula/queue/operate.hpp"

#include "special.hpp"

#include "insula/queue/fault.hpp"

namespace insula::queue::test_support {
namespace {

class queue_operate : public testing::TestWithParam<runtime::backend> {
protected:
    void SetUp() override {
        fault::clear();
        set_call_conninfo(world_.worker_conninfo());
    }
    void TearDown() override { fault::clear(); }

    std::unique_ptr<process> start(engine_options options = quick()) {
        return std::make_unique<process>(world_.worker_conninfo(), test_workflows(),
                                         std::move(options), GetParam());
    }
    run_id enqueue(const journey_input& in, std::optional<std::string> lock_key = {},
                   std::chrono::microseconds delay = {}) {
        enqueue_request what = request_for<journey>(in);
        what.lock_key = std::move(lock_key);
        what.delay = delay;
        return world_.enqueue(what);
    }
    /// The statement of an operator, sent by the login of the API.
    operation act(void (*add)(pg::unit&, run_id), run_id id) {
        pg::unit work;
        add(work, id);
        auto got = desk_.thread.run(desk_.pool->run(std::move(work), soon()));
        if (!got) {
            ADD_FAILURE() << got.error().message;
            return {};
        }
        return parse_operation(got->front());
    }
    operation retry(run_id id) {
        return act([](pg::unit& work, run_id run) { add_retry(work, run); }, id);
    }
    operation cancel(run_id id) { return act(&add_cancel, id); }
    operation skip(run_id id) { return act(&add_skip, id); }
    operation resume(run_id id) { return act(&add_resume, id); }
    run_status status(run_id id) {
        auto got = desk_.thread.run(read_status(*desk_.pool, test_workflows(), id, soon()));
        return got && *got ? **got : run_status{};
    }
    std::vector<run_summary> list(run_filter which) {
        auto got = desk_.thread.run(list_runs(*desk_.pool, std::move(which), soon()));
        return got ? *got : std::vector<run_summary>{};
    }
    static runtime::deadline soon() { return runtime::deadline::after(5s); }
    /// A run held because the undo of b always fails.
    run_id held_undo() {
        world_.db().query_admin(
            "create or replace function t.no_undo() returns trigger language plpgsql as $$ begin"
            " if new.step = 'b' and new.direction = -1 then"
            " raise exception 'no' using errcode = 'IT001'; end if; return new; end $$;"
            "create or replace trigger no_undo before insert on t.effect for each row"
            " execute function t.no_undo()");
        const run_id id = enqueue({.fail_at = "d", .fail_times = 0, .how = "final", .child = {}});
        EXPECT_TRUE(world_.ends(id, "held"));
        return id;
    }

    struct desk {
        explicit desk(world& w) : thread(runtime::backend::epoll) {
            pg::pool_options options;
            options.name = "app";
            options.conninfo = w.app_conninfo();
            pool = std::make_unique<pg::pool>(thread.loop(), options, budget, metrics);
        }
        ~desk() { thread.run(pool->close(runtime::deadline::after(5s))); }
        observe::metrics metrics;
        pg::connection_budget budget{8};
        loop_thread thread;
        std::unique_ptr<pg::pool> pool;
    };
    world world_;
    desk desk_{world_};
};

TEST_P(queue_operate, what_is_not_there_is_not_found) {
    const run_id nobody = run_id::make();
    for (const operation& done : {retry(nobody), cancel(nobody), skip(nobody), resume(nobody)}) {
        EXPECT_EQ(done.what, operated::not_found) << done.note;
    }
}

TEST_P(queue_operate, ready_and_waiting_runs_are_cancelled_without_doing_anything) {
    const run_id ready = enqueue({});
    const run_id later = enqueue({}, {}, std::chrono::hours(1));
    EXPECT_EQ(retry(ready).what, operated::not_possible);
    EXPECT_EQ(retry(later).what, operated::not_possible);  // it would run before its time
    EXPECT_EQ(skip(ready).what, operated::not_possible);
    for (const run_id id : {ready, later}) {
        EXPECT_EQ(cancel(id).what, operated::done);
        EXPECT_TRUE(status(id).cancel_requested);
    }
    EXPECT_EQ(world_.text("select count(*) from queue.timer"), "0");
    auto p = start();
    for (const run_id id : {ready, later}) {
        ASSERT_TRUE(world_.ends(id, "cancelled"));
        EXPECT_EQ(world_.effects_of(id), "");
        EXPECT_EQ(cancel(id).what, operated::not_possible);
    }
    EXPECT_EQ(world_.text("select count(*) from t.ended where code = 'cancelled'"), "2");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_operate, a_run_that_waits_for_its_key_is_cancelled_when_it_gets_it) {
    fault::arm("queue.after_commit", 1, fault::action::hold);
    auto p = start();
    const run_id holder = enqueue({}, "k");
    while (!fault::holding("queue.after_commit")) {
        std::this_thread::yield();
    }
    const run_id waiter = enqueue({}, "k");
    ASSERT_TRUE(world_.becomes("select cardinality(waiters) from queue.key_lock", "1"));
    EXPECT_EQ(retry(waiter).what, operated::not_possible);
    const operation done = cancel(waiter);
    EXPECT_EQ(done.what, operated::done);
    EXPECT_EQ(done.state, run_state::waiting);
    EXPECT_EQ(world_.state_of(waiter), "waiting");
    fault::release("queue.after_commit");
    ASSERT_TRUE(world_.ends(waiter, "cancelled"));
    ASSERT_TRUE(world_.ends(holder, "done"));
    EXPECT_EQ(world_.effects_of(waiter), "");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_operate, nobody_waits_for_the_open_transaction_of_a_step) {
    fault::arm("queue.before_commit", 1, fault::action::hold);
    auto p = start(quick(60'000ms));
    const run_id id = enqueue({});
    while (!fault::holding("queue.before_commit")) {
        std::this_thread::yield();
    }
    EXPECT_EQ(retry(id).what, operated::not_possible);
    EXPECT_EQ(skip(id).what, operated::not_possible);
    EXPECT_EQ(resume(id).what, operated::not_possible);
    const operation done = cancel(id);
    EXPECT_EQ(done.what, operated::done);
    EXPECT_EQ(done.state, run_state::running);
    EXPECT_TRUE(status(id).cancel_requested);
    fault::release("queue.before_commit");
    ASSERT_TRUE(world_.ends(id, "cancelled"));
    EXPECT_EQ(world_.effects_of(id), "a+ a-");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_operate, a_run_in_its_backoff_is_retried_or_cancelled_at_once) {
    auto p = start();
    world_.db().query_admin(
        "create function t.slow() returns trigger language plpgsql as $$ begin"
        " new.wake_at := clock_timestamp() + interval '1 hour'; return new; end $$;"
        "create trigger slow before insert on queue.timer for each row execute function t.slow()");
    const run_id again =
        enqueue({.fail_at = "b", .fail_times = 1, .how = "retryable", .child = {}});
    const run_id stop = enqueue({.fail_at = "b", .fail_times = 1, .how = "retryable", .child = {}});
    ASSERT_TRUE(world_.becomes("select count(*) from queue.timer", "2"));
    EXPECT_TRUE(status(again).due.has_value());
    EXPECT_EQ(retry(again).what, operated::done);
    EXPECT_EQ(cancel(stop).what, operated::done);
    ASSERT_TRUE(world_.ends(again, "done"));
    ASSERT_TRUE(world_.ends(stop, "cancelled"));
    EXPECT_EQ(world_.effects_of(stop), "a+ a-");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_operate, a_timer_that_fires_at_that_moment_is_no_deadlock) {
    const run_id id = enqueue({}, {}, std::chrono::hours(1));
    world_.db().query_admin("update queue.timer set wake_at = clock_timestamp()");
    test::sql_connection firing(world_.worker_conninfo());
    firing.query("begin; select from queue.timer for update");  // as fire_timers' first half
    EXPECT_EQ(cancel(id).what, operated::done);
    EXPECT_EQ(firing.query("select queue.fire_timers(10) is null").at(0).at(0), "t");
    firing.query("commit");
    EXPECT_EQ(world_.text("select count(*) from queue.ready"), "1");
    auto p = start();
    ASSERT_TRUE(world_.ends(id, "cancelled"));
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_operate, G33_a_held_undo_is_retried_skipped_or_refused_to_cancel) {
    auto p = start();
    const run_id id = held_undo();
    const run_status held = status(id);
    EXPECT_EQ(held.held_step, "b");
    EXPECT_NE(held.held_because.find("undo of b"), std::string::npos) << held.held_because;
    ASSERT_FALSE(held.failures.empty());
    EXPECT_EQ(held.failures.front().step, "d");
    EXPECT_FALSE(held.failures.front().undoing);
    EXPECT_EQ(held.failures.back().step, "b");
    EXPECT_TRUE(held.failures.back().undoing);
    EXPECT_EQ(cancel(id).what, operated::not_possible);
    EXPECT_EQ(resume(id).what, operated::done);
    ASSERT_TRUE(world_.becomes("select state from queue.run", "3"));  // it failed once more
    EXPECT_EQ(skip(id).what, operated::done);
    ASSERT_TRUE(world_.ends(id, "failed"));
    EXPECT_EQ(world_.effects_of(id), "a+ b+ a-");
    std::string states;
    for (const step_status& s : status(id).steps) {
        states += s.name + ":" + std::string(name(s.state)) + " ";
    }
    EXPECT_EQ(states, "a:undone b:skipped c:undone d:failed ");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_operate, a_held_end_is_skipped) {
    world_.db().query_admin(
        "create function t.no_end() returns trigger language plpgsql as $$ begin"
        " raise exception 'no' using errcode = 'IT001'; end $$;"
        "create trigger no_end before insert on t.ended for each row execute function t.no_end()");
    auto p = start();
    const run_id well = enqueue({}, "k");
    const run_id badly = enqueue({.fail_at = "d", .fail_times = 0, .how = "final", .child = {}});
    ASSERT_TRUE(world_.ends(well, "held"));
    ASSERT_TRUE(world_.ends(badly, "held"));
    EXPECT_EQ(cancel(well).what, operated::not_possible);
    EXPECT_EQ(skip(well).what, operated::done);
    EXPECT_EQ(skip(badly).what, operated::done);
    EXPECT_EQ(world_.state_of(well), "done");
    EXPECT_EQ(world_.state_of(badly), "failed");
    EXPECT_EQ(world_.text("select count(*) from queue.key_lock"), "0");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_operate, a_run_held_as_a_whole_can_only_be_retried_or_ended_as_it_is) {
    const run_id id = enqueue({}, "k");
    world_.db().query_admin(
        "insert into queue.step (run, direction, seq, name, state, token, attempts)"
        " values ('" +
        id.str() +
        "', 1, 0, 'not a', 1, 1, 1);"
        "update queue.run set step = 1");
    auto p = start();
    ASSERT_TRUE(world_.ends(id, "held"));
    EXPECT_EQ(skip(id).what, operated::not_possible);
    EXPECT_EQ(retry(id).what, operated::done);
    ASSERT_TRUE(world_.becomes("select state from queue.run", "3"));
    EXPECT_EQ(cancel(id).what, operated::done);
    EXPECT_EQ(world_.state_of(id), "cancelled");
    EXPECT_EQ(world_.text("select count(*) from queue.key_lock"), "0");
    EXPECT_EQ(world_.effects_of(id), "");
}

TEST_P(queue_operate, a_failed_run_is_done_again_once_as_a_new_run) {
    auto p = start();
    const run_id old = enqueue({.fail_at = "d", .fail_times = 0, .how = "final", .child = {}}, "k");
    ASSERT_TRUE(world_.ends(old, "failed"));
    const operation first = retry(old);
    EXPECT_EQ(first.what, operated::done);
    EXPECT_NE(first.run, old);
    const operation second = retry(old);
    EXPECT_EQ(second.what, operated::not_possible);
    EXPECT_EQ(second.run, first.run);
    EXPECT_EQ(status(old).retried_as, first.run);
    ASSERT_TRUE(world_.ends(first.run, "failed"));
    EXPECT_EQ(world_.text(
                  "select count(distinct input || kind || version || lock_key) from queue.history"),
              "1");
    const run_id good = enqueue({});
    ASSERT_TRUE(world_.ends(good, "done"));
    EXPECT_EQ(retry(good).what, operated::not_possible);
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_operate, an_act_is_part_of_its_transaction) {
    const run_id id = enqueue({});
    pg::unit work;
    add_cancel(work, id);
    work.add_once("select 1 / 0");
    EXPECT_FALSE(desk_.thread.run(desk_.pool->run(std::move(work), soon())));
    auto p = start();
    EXPECT_TRUE(world_.ends(id, "done"));
}

TEST_P(queue_operate, lists_by_age_with_filters_and_a_cursor) {
    std::vector<run_id> ids;
    const tenant_id tenant = tenant_id::make();
    for (int i = 0; i < 6; ++i) {
        enqueue_request what = request_for<journey>({});
        if (i % 2 == 0) {
            what.tenant = tenant;
        }
        if (i == 5) {
            what.kind = "test.other";
        }
        ids.push_back(world_.enqueue(what));
    }
    const auto names = [&](const run_filter& which) {
        std::string all;
        for (const run_summary& r : list(which)) {
            for (std::size_t i = 0; i < ids.size(); ++i) {
                all += r.id == ids[i] ? std::to_string(i) : "";
            }
        }
        return all;
    };
    EXPECT_EQ(names({}), "543210");
    EXPECT_EQ(names({.limit = 2}), "54");
    EXPECT_EQ(names({.before = ids[4], .limit = 2}), "32");
    EXPECT_EQ(names({.tenant = tenant}), "420");
    EXPECT_EQ(names({.kind = "test.other"}), "5");
    EXPECT_EQ(names({.state = run_state::done}), "");
    auto p = start();
    ASSERT_TRUE(world_.becomes("select count(*) from queue.history", "5"));
    EXPECT_EQ(names({}), "543210");
    EXPECT_EQ(names({.state = run_state::done}), "43210");
    EXPECT_EQ(names({.state = run_state::waiting}), "5");
    EXPECT_EQ(list({.limit = 2})[1].finished_at.has_value(), true);
}

TEST_P(queue_operate, a_page_of_a_long_list_walks_the_primary_key) {
    world_.db().query_admin(
        "insert into queue.history (id, kind, version, queue, priority, state, direction, step, "
        "attempt,"
        " crashes, token, input, created_at) select gen_random_uuid(), 'k' || i % 7, 1, 0, 0, 4, "
        "1, 1, 1, 0,"
        " 1, '{}', now() from generate_series(1, 100000) i; analyze queue.history");
    const std::string page =
        "select count(*) from queue.list_runs(null, null, null, "
        "'80000000-0000-0000-0000-000000000000', 50)";
    world_.text(page);
    // Buffers tell what time on a busy machine cannot.
    world_.db().query_admin(
        "select pg_stat_reset_single_table_counters('queue.history'::regclass)");
    EXPECT_EQ(world_.text(page), "50");
    EXPECT_TRUE(
        world_.becomes("select coalesce(seq_scan, 0) = 0 and idx_tup_fetch between 50 and 200 from"
                       " pg_stat_user_tables where relid = 'queue.history'::regclass",
                       "t"));
}

INSTANTIATE_TEST_SUITE_P(both, queue_operate, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
