// Runs through a real PostgreSQL, on both runtime backends: the ordinary life of a run.

#include "journey.hpp"
#include "world.hpp"

#include "insula/queue/fault.hpp"

#include <future>
#include <map>
#include <set>

namespace insula::queue::test_support {
namespace {

class queue_engine : public testing::TestWithParam<runtime::backend> {
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
    run_id enqueue(const journey_input& in, std::string_view kind = journey::kind) {
        enqueue_request what;
        what.kind = std::string(kind);
        what.input = encode_input(in);
        return world_.enqueue(what);
    }
    std::string ended(run_id id) {
        std::string all;
        for (const auto& r : world_.db().query_admin(
                 "select what || ' ' || step || ' ' || code from t.ended where run = '" + id.str() +
                 "'")) {
            all += all.empty() ? r[0] : "; " + r[0];
        }
        return all;
    }
    std::string steps(process& p, run_id id) {
        auto got = p.thread().run(
            read_status(p.pool(), test_workflows(), id, runtime::deadline::after(5s)));
        std::string all;
        for (const step_status& s : (*got)->steps) {
            all += (all.empty() ? "" : " ") + s.name + ":" + std::string(name(s.state)) + ":" +
                   std::to_string(s.attempts);
        }
        return all;
    }

    world world_;
};

TEST_P(queue_engine, G40_enqueue_is_part_of_the_callers_transaction) {
    auto p = start();
    const run_id kept = run_id::make();
    const run_id dropped = run_id::make();
    enqueue_request what = request_for<journey>({});
    pg::unit good, bad;
    add_enqueue(good, kept, what);
    add_enqueue(bad, dropped, what);
    bad.add_once("select 1 / 0");
    const auto done = p->thread().run(p->pool().run(std::move(good), runtime::deadline::after(5s)));
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(enqueued_run(done->front()), kept);
    EXPECT_FALSE(p->thread().run(p->pool().run(std::move(bad), runtime::deadline::after(5s))));
    EXPECT_TRUE(world_.ends(kept, "done"));
    EXPECT_EQ(world_.state_of(dropped), "none");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, a_run_goes_through_its_steps_once) {
    auto p = start();
    const run_id id = enqueue({});
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.effects_of(id), "a+ b+ d+");
    EXPECT_EQ(world_.text("select count(*) from t.call where run = '" + id.str() + "'"), "1");
    EXPECT_EQ(world_.text("select key from t.call"), id.str() + "/c/run");
    EXPECT_EQ(ended(id), "done  ");
    EXPECT_EQ(steps(*p, id), "a:done:1 b:done:1 c:done:1 d:done:1");
    EXPECT_TRUE(world_.in_order());
    EXPECT_TRUE(counts(p->engine(), &engine_stats::finished, 1U));
}

TEST_P(queue_engine, steps_that_join_share_one_transaction_with_the_end) {
    auto p = start();
    const run_id id = enqueue({}, tour::kind);
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(
        world_.text(
            "select count(distinct s.xmin::text) from queue.step s where name in ('make','open')"),
        "1");
    EXPECT_EQ(world_.text("select count(*) from queue.step s join queue.history h on h.id = s.run"
                          " and h.xmin::text = s.xmin::text where s.name = 'book'"),
              "1");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G30_transient_failures_are_retried_with_backoff) {
    auto p = start();
    for (const char* step : {"a", "b", "c", "d", "on_finish"}) {
        for (const char* how : {"retryable", "throw"}) {
            const run_id id = enqueue({.fail_at = step, .fail_times = 2, .how = how, .child = {}});
            ASSERT_TRUE(world_.ends(id, "done")) << step << " " << how;
            EXPECT_EQ(world_.effects_of(id), "a+ b+ d+") << step << " " << how;
            if (std::string_view(step) != "on_finish") {
                EXPECT_NE(steps(*p, id).find(std::string(step) + ":done:3"), std::string::npos)
                    << steps(*p, id);
            }
        }
    }
    EXPECT_GE(p->engine().stats().retried, 20U);
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G30_final_failure_undoes_in_reverse) {
    auto p = start();
    const std::map<std::string, std::string> wanted{
        {"a", ""}, {"b", "a+ a-"}, {"c", "a+ b+ b- a-"}, {"d", "a+ b+ b- a-"}};
    for (const auto& [step, effects] : wanted) {
        const run_id id = enqueue({.fail_at = step, .fail_times = 0, .how = "final", .child = {}});
        ASSERT_TRUE(world_.ends(id, "failed")) << step;
        EXPECT_EQ(world_.effects_of(id), effects) << step;
        EXPECT_EQ(ended(id), "undone " + step + " no_good");
        auto got = p->thread().run(
            read_status(p->pool(), test_workflows(), id, runtime::deadline::after(5s)));
        EXPECT_NE(steps(*p, id).find(step + ":failed:1"), std::string::npos) << steps(*p, id);
        EXPECT_EQ((*got)->error_code, "no_good");
        EXPECT_EQ((*got)->error_detail, "it will never work");
    }
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G30_exhausted_attempts_and_wrong_sql_are_final) {
    auto p = start();
    const run_id tired =
        enqueue({.fail_at = "d", .fail_times = 0, .how = "retryable", .child = {}});
    ASSERT_TRUE(world_.ends(tired, "failed"));
    EXPECT_EQ(steps(*p, tired), "a:undone:1 b:undone:1 c:undone:1 d:failed:4");
    const run_id wrong = enqueue({.fail_at = "a", .fail_times = 0, .how = "sql", .child = {}});
    ASSERT_TRUE(world_.ends(wrong, "failed"));
    EXPECT_EQ(steps(*p, wrong), "a:failed:1 b:pending:0 c:pending:0 d:pending:0");
    EXPECT_EQ(ended(wrong), "undone a database_error");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G33_behind_the_point_of_no_return_nothing_is_undone) {
    auto p = start();
    const run_id late =
        enqueue({.fail_at = "book", .fail_times = 0, .how = "final", .child = {}}, tour::kind);
    ASSERT_TRUE(world_.ends(late, "failed"));
    EXPECT_EQ(world_.effects_of(late), "make+ open+");
    EXPECT_EQ(ended(late), "incomplete book no_good");
    EXPECT_EQ(steps(*p, late), "make:done:1 open:done:1 book:failed:1");
    const run_id early =
        enqueue({.fail_at = "open", .fail_times = 0, .how = "final", .child = {}}, tour::kind);
    ASSERT_TRUE(world_.ends(early, "failed"));
    EXPECT_EQ(world_.effects_of(early), "");  // the shared transaction took `make` with it
    EXPECT_EQ(ended(early), "undone open no_good");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G33_failing_undo_is_retried_then_held_then_resumed) {
    auto p = start();
    const run_id retried =
        enqueue({.fail_at = "undo b", .fail_times = 2, .how = "retryable", .child = {}});
    ASSERT_TRUE(world_.ends(retried, "done"));  // it never had to undo
    // The step d fails by sql, and then its undo path meets an undo that fails for ever.
    world_.db().query_admin(
        "create function t.no_d() returns trigger language plpgsql as $$ begin"
        " if new.step = 'd' or (new.step = 'b' and new.direction = -1) then"
        " raise exception 'no' using errcode = 'IT001'; end if; return new; end $$;"
        "create trigger no_d before insert on t.effect for each row execute function t.no_d()");
    const run_id stuck = enqueue({});
    ASSERT_TRUE(world_.ends(stuck, "held"));
    EXPECT_EQ(world_.effects_of(stuck), "a+ b+");
    EXPECT_TRUE(counts(p->engine(), &engine_stats::held, 1U));
    EXPECT_TRUE(world_.in_order());
    world_.db().query_admin("drop trigger no_d on t.effect");
    EXPECT_EQ(world_.text("select outcome from queue.resume_run('" + stuck.str() + "')"), "0");
    ASSERT_TRUE(world_.ends(stuck, "failed"));
    EXPECT_EQ(world_.effects_of(stuck), "a+ b+ b- a-");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G33_an_end_that_cannot_be_written_undoes_nothing) {
    world_.db().query_admin(
        "create function t.no_end() returns trigger language plpgsql as $$ begin"
        " raise exception 'no' using errcode = 'IT001'; end $$;"
        "create trigger no_end before insert on t.ended for each row execute function t.no_end()");
    auto p = start();
    const run_id id = enqueue({});
    ASSERT_TRUE(world_.ends(id, "held"));
    EXPECT_EQ(world_.effects_of(id), "a+ b+ d+");
    EXPECT_EQ(steps(*p, id), "a:done:1 b:done:1 c:done:1 d:done:1");
    world_.db().query_admin("drop trigger no_end on t.ended");
    world_.db().query_admin("select queue.resume_run('" + id.str() + "')");
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(ended(id), "done  ");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G36_poison_input_and_unknown_kinds_hurt_nobody_else) {
    auto p = start();
    enqueue_request poison;
    poison.kind = std::string(journey::kind);
    poison.input = "{\"fail_at\": 7}";
    const run_id bad = world_.enqueue(poison);
    poison.input = "not json";
    const run_id worse = world_.enqueue(poison);
    enqueue_request strange;
    strange.kind = "test.nobody_knows";
    const run_id unknown = world_.enqueue(strange);
    const run_id good = enqueue({});
    EXPECT_TRUE(world_.ends(bad, "failed"));
    EXPECT_TRUE(world_.ends(worse, "failed"));
    EXPECT_TRUE(world_.ends(good, "done"));
    EXPECT_TRUE(world_.becomes(
        "select state || ' ' || attempt from queue.run where id = '" + unknown.str() + "'", "2 0"));
    EXPECT_EQ(world_.text("select count(*) from queue.timer where id = '" + unknown.str() + "'"),
              "1");
    EXPECT_EQ(world_.text("select error_code from queue.history where id = '" + worse.str() + "'"),
              "invalid_input");
    EXPECT_GE(p->engine().stats().postponed_unknown, 1U);
}

TEST_P(queue_engine, children_of_a_step_are_enqueued_with_its_checkpoint) {
    auto options = quick();
    options.poll = 60s;  // so that only the wake-up of the commit itself can find the child
    auto p = start(options);
    const run_id id = run_id::make();
    enqueue_request what =
        request_for<journey>({.fail_at = {}, .fail_times = 0, .how = {}, .child = "test.single"});
    pg::unit work;
    add_enqueue(work, id, what);
    ASSERT_TRUE(p->thread().run(p->pool().run(std::move(work), runtime::deadline::after(5s))));
    p->engine().wake();
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_TRUE(world_.becomes(
        "select count(*) from queue.history where kind = 'test.single' and state = 4", "1"));
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, a_key_makes_one_run_and_answers_its_id) {
    auto p = start();
    enqueue_request what = request_for<journey>({});
    what.key = "only once";
    std::vector<std::future<std::string>> clients;
    for (int i = 0; i < 16; ++i) {
        clients.push_back(std::async(std::launch::async, [&] {
            test::sql_connection app(world_.app_conninfo());
            return app.query(
                "select queue.enqueue($1, $2, 1, 0::smallint, 0::smallint, null, null, 'k',"
                " '1 day', null, null, '0', null, '" +
                    encode_input(journey_input{}) + "')",
                {run_id::make().str(), std::string(journey::kind)})[0][0];
        }));
    }
    std::set<std::string> ids;
    for (auto& c : clients) {
        ids.insert(c.get());
    }
    ASSERT_EQ(ids.size(), 1U);
    EXPECT_TRUE(world_.ends(*run_id::parse(*ids.begin()), "done"));
    EXPECT_EQ(world_.text("select count(*) from queue.history"), "1");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G34_runs_with_one_lock_key_never_overlap) {
    auto a = start();
    auto b = start();
    enqueue_request what = request_for<journey>({});
    what.lock_key = "tenant 1";
    std::vector<run_id> ids;
    for (int i = 0; i < 12; ++i) {
        ids.push_back(world_.enqueue(what));
    }
    for (const run_id id : ids) {
        ASSERT_TRUE(world_.ends(id, "done"));
    }
    // Their effects, in order of commit, come in blocks of one run each.
    EXPECT_EQ(world_.text("select count(*) from (select run, lag(run) over (order by n) as before "
                          "from t.effect) e"
                          " where run is distinct from before"),
              "12");
    EXPECT_EQ(world_.text("select count(*) from queue.key_lock"), "0");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, delayed_runs_start_when_they_are_due) {
    auto options = quick();
    options.poll = 60s;  // only the timer's own time can wake it
    auto p = start(options);
    enqueue_request what = request_for<single>({});
    what.delay = 300ms;
    const run_id id = run_id::make();
    pg::unit work;
    add_enqueue(work, id, what);
    ASSERT_TRUE(p->thread().run(p->pool().run(std::move(work), runtime::deadline::after(5s))));
    p->engine().wake();
    ASSERT_TRUE(world_.ends(id, "done", 5s));
    EXPECT_EQ(
        world_.text("select finished_at - created_at between interval '300 ms' and interval '2 s'"
                    " from queue.history"),
        "t");
}

TEST_P(queue_engine, polling_finds_what_no_notification_told) {
    auto p = start();
    while (p->engine().stats().wakes_polled == 0) {
        std::this_thread::yield();  // its first look is over
    }
    const run_id id = enqueue({}, single::kind);  // by plain SQL: nobody is woken
    EXPECT_TRUE(world_.ends(id, "done", 5s));
    EXPECT_EQ(p->engine().stats().wakes_local, 0U);
    EXPECT_EQ(p->engine().stats().wakes_notified, 0U);
}

// The pool's own conninfo of such an installation holds the name as well.
TEST_P(queue_engine, a_database_with_a_name_notifies_too) {
    const auto& server = test::shared_cluster();
    test::gate between(
        {}, {.path = server.socket_folder() + "/.s.PGSQL." + std::to_string(server.port())});
    auto listening = quick();
    listening.listen_conninfo = world_.named_worker_conninfo(between);
    auto worker = start(listening);
    EXPECT_TRUE(
        world_.becomes("select count(*) from pg_stat_activity where datname = current_database()"
                       " and query ilike 'listen%'",
                       "1"));
}

TEST_P(queue_engine, a_notification_wakes_another_process) {
    auto listening = quick();
    listening.poll = 60s;
    listening.listen_conninfo = world_.worker_conninfo();
    auto worker = start(listening);
    auto idle = quick();
    idle.workers = 0;
    auto front = start(idle);
    ASSERT_TRUE(
        world_.becomes("select count(*) from pg_stat_activity where datname = current_database()"
                       " and query ilike 'listen%'",
                       "1"));
    ASSERT_TRUE(world_.becomes("select count(*) from queue.worker", "1"));
    const run_id id = enqueue({}, single::kind);
    front->engine().wake();
    EXPECT_TRUE(world_.ends(id, "done", 5s));
}

TEST_P(queue_engine, G51_two_engines_share_the_work) {
    std::vector<run_id> ids;
    for (int i = 0; i < 100; ++i) {
        ids.push_back(enqueue({}));
    }
    auto options = quick(5'000ms);
    auto a = start(options);
    auto b = start(options);
    ASSERT_TRUE(world_.becomes("select count(*) from queue.history where state = 4", "100", 60s));
    while (a->engine().stats().finished + b->engine().stats().finished < 100) {
        std::this_thread::yield();  // the last is counted when its COMMIT's answer arrives
    }
    EXPECT_EQ(a->engine().stats().finished + b->engine().stats().finished, 100U);
    EXPECT_GT(a->engine().stats().finished, 0U);
    EXPECT_GT(b->engine().stats().finished, 0U);
    EXPECT_EQ(world_.text("select count(*) from t.effect"), "300");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, G53_drain_finishes_the_step_and_gives_the_rest_back) {
    fault::arm("queue.before_effect", 1, fault::action::hold);
    auto options = quick(60'000ms);  // nothing here may come from a lease running out
    options.workers = 2;
    auto p = start(options);
    const run_id id = enqueue({});
    while (!fault::holding("queue.before_effect")) {
        std::this_thread::yield();
    }
    auto drained = std::async(std::launch::async, [&] { return p->drain(); });
    while (drained.wait_for(20ms) != std::future_status::ready &&
           fault::holding("queue.before_effect")) {
        fault::release("queue.before_effect");
    }
    EXPECT_TRUE(drained.get());
    EXPECT_EQ(world_.state_of(id), "ready");
    EXPECT_EQ(world_.effects_of(id), "a+");
    EXPECT_EQ(world_.text("select step || ' ' || attempt || ' ' || crashes from queue.run"),
              "1 0 0");
    EXPECT_EQ(world_.text("select bool_and(dead) from queue.worker"), "t");
    fault::clear();
    auto next = start();
    EXPECT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.effects_of(id), "a+ b+ d+");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, a_run_past_its_deadline_is_undone_instead_of_continued) {
    auto p = start();
    enqueue_request what = request_for<journey>({});
    what.deadline = insula::now() - 1s;
    const run_id id = run_id::make();
    pg::unit work;
    add_enqueue(work, id, what);
    ASSERT_TRUE(p->thread().run(p->pool().run(std::move(work), runtime::deadline::after(5s))));
    ASSERT_TRUE(world_.ends(id, "failed"));
    EXPECT_EQ(world_.effects_of(id), "");
    EXPECT_EQ(ended(id), "undone a deadline_passed");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_engine, steps_on_record_that_are_not_the_definitions_are_held_not_guessed) {
    fault::arm("queue.before_effect", 2, fault::action::hold);
    run_id id;
    {
        auto p = start(quick(60'000ms));
        id = enqueue({});
        while (!fault::holding("queue.before_effect")) {
            std::this_thread::yield();
        }
        world_.db().query_admin("update queue.step set name = 'of another version'");
        world_.db().query_admin(
            "update queue.run set token = token + 1");  // this engine has lost it
        fault::release("queue.before_effect");
        while (p->engine().stats().stale_refused == 0) {
            std::this_thread::yield();
        }
    }
    auto next = start();
    world_.db().query_admin("select queue.abandon(id, token) from queue.run where state = 1");
    EXPECT_TRUE(world_.ends(id, "held"));
    EXPECT_EQ(world_.effects_of(id), "a+");
}

TEST_P(queue_engine, wait_final_is_told_of_the_end) {
    auto p = start();
    const run_id id = enqueue({});
    auto got = p->thread().run(
        p->engine().wait_final(p->thread().loop(), p->pool(), id, runtime::deadline::after(20s)));
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->state, run_state::done);
    auto none = p->thread().run(p->engine().wait_final(
        p->thread().loop(), p->pool(), run_id::make(), runtime::deadline::after(20s)));
    ASSERT_TRUE(none);
    EXPECT_FALSE(*none);
    EXPECT_EQ(p->engine().changes().watched(), 0U);
}

INSTANTIATE_TEST_SUITE_P(both, queue_engine, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
