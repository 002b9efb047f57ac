// Many runs by one statement: enqueued together, and ended together.

#include "child.hpp"
#include "journey.hpp"
#include "world.hpp"

#include "insula/queue/fault.hpp"

#include <future>
#include <stdexcept>
#include <thread>

namespace insula::queue::test_support {
namespace {

using runs = std::vector<std::pair<run_id, enqueue_request>>;

class queue_batch : public testing::TestWithParam<runtime::backend> {
protected:
    void SetUp() override {
        fault::clear();
        set_call_conninfo(world_.worker_conninfo());
    }
    void TearDown() override { fault::clear(); }

    std::unique_ptr<process> start(unsigned workers, engine_options options = quick()) {
        options.workers = workers;
        return std::make_unique<process>(world_.worker_conninfo(), test_workflows(),
                                         std::move(options), GetParam());
    }
    /// By the login of the API, from a process that runs nothing.
    pg::pg_result<pg::results> commit(pg::unit work) {
        if (!front_) {
            engine_options none = quick();
            none.workers = 0;
            front_ = std::make_unique<process>(world_.app_conninfo(), test_workflows(), none,
                                               GetParam());
        }
        return front_->thread().run(
            front_->pool().run(std::move(work), runtime::deadline::after(20s)));
    }
    std::vector<run_id> enqueue(const runs& what) {
        pg::unit work;
        add_enqueue_batch(work, what);
        auto got = commit(std::move(work));
        if (!got) {
            throw std::runtime_error(got.error().message);
        }
        return enqueued_runs(got->front());
    }
    static runs errands(int count, const journey_input& in = {}) {
        runs all;
        for (int i = 0; i < count; ++i) {
            all.emplace_back(run_id::make(), request_for<errand>(in));
        }
        return all;
    }
    std::string everything() {
        return world_.text(
            "select string_agg(x, E'\\n' order by x) from (select concat_ws(' ', r.kind, r.version,"
            " r.queue, r.priority, r.state, r.tenant, r.lock_key, r.deadline, r.input,"
            " (select count(*) from queue.ready q where q.id = r.id and q.priority = r.priority"
            "  and q.queue = r.queue and q.vt = r.vt),"
            " (select count(*) from queue.timer t where t.id = r.id and t.wake_at = r.ready_at),"
            " round(extract(epoch from r.ready_at - r.created_at)),"
            " (select string_agg(i.key || extract(epoch from i.expires - r.created_at)::int, ',')"
            "  from queue.idempotency i where i.run = r.id)) as x from queue.run r) y");
    }
    std::string count(const std::string& from) {
        return world_.text("select count(*) from " + from);
    }

    world world_;
    std::unique_ptr<process> front_;
};

/// One of each kind of wish.
runs mixed() {
    runs all;
    const tenant_id tenant = *tenant_id::parse("01900000-0000-7000-8000-000000000001");
    for (int i = 0; i < 8; ++i) {
        enqueue_request what = request_for<single>({});
        what.tenant = (i & 1) != 0 ? std::optional(tenant) : std::nullopt;
        what.priority = static_cast<std::int16_t>(i % 3 - 1);
        what.queue = static_cast<std::int16_t>(i % 2);
        what.lock_key = i == 3 ? std::optional<std::string>("a lock") : std::nullopt;
        what.key = i >= 5 ? std::optional<std::string>("key " + std::to_string(i)) : std::nullopt;
        what.key_lifetime = std::chrono::hours(i);
        what.delay = i == 4 ? std::chrono::seconds(600) : std::chrono::seconds(0);
        all.emplace_back(run_id::make(), what);
    }
    const timestamp later = insula::now() + std::chrono::hours(2);
    all[6].second.run_at = later;
    all[7].second.deadline = later;
    return all;
}

TEST_P(queue_batch, a_batch_enqueues_what_single_statements_would) {
    const runs what = mixed();
    EXPECT_EQ(enqueue(what).size(), what.size());
    const std::string together = everything();
    world_.db().query_admin("truncate queue.run, queue.ready, queue.timer, queue.idempotency");
    for (const auto& [id, request] : what) {
        pg::unit work;
        add_enqueue(work, id, request);
        ASSERT_TRUE(commit(std::move(work)));
    }
    EXPECT_EQ(together, everything());
    EXPECT_EQ(count("queue.run"), "8");
    EXPECT_EQ(count("queue.timer"), "2");
}

TEST_P(queue_batch, a_key_in_a_batch_makes_one_run_whoever_had_it_first) {
    runs first = errands(1);
    first[0].second.key = "old";
    enqueue(first);
    runs what = errands(5);
    what[0].second.key = "new";
    what[1].second.key = "old";
    what[2].second.key = "new";
    what[4].second.key = "late";
    const std::vector<run_id> ids = enqueue(what);
    EXPECT_EQ(ids, (std::vector<run_id>{what[0].first, first[0].first, what[0].first, what[3].first,
                                        what[4].first}));
    EXPECT_EQ(count("queue.run"), "4");
    what.erase(what.begin() + 3);  // all others have keys: the same batch again is harmless
    EXPECT_EQ(enqueue(what), (std::vector<run_id>{ids[0], ids[1], ids[2], ids[4]}));
    EXPECT_EQ(count("queue.run"), "4");
}

TEST_P(queue_batch, a_batch_waits_for_whoever_enqueues_the_same_key) {
    test::sql_connection other(world_.app_conninfo());
    const std::string ask =
        "select queue.enqueue(gen_random_uuid(), 'test.errand', 1, 0::smallint, 0::smallint, null,"
        " null, 'key', '1 hour', null, null, '0', null, '{}')";
    other.query("begin");
    const std::string kept = other.query(ask).at(0).at(0);
    runs what = errands(2);
    what[1].second.key = "key";
    auto ids = std::async(std::launch::async, [&] { return enqueue(what); });
    ASSERT_TRUE(
        world_.becomes("select count(*) from pg_stat_activity where wait_event_type = "
                       "'Lock' and datname = current_database()",
                       "1"));
    other.query("commit");
    EXPECT_EQ(ids.get().at(1).str(), kept);
    EXPECT_EQ(count("queue.run"), "2");
}

TEST_P(queue_batch, G40_a_batch_is_part_of_the_callers_transaction_and_bounded) {
    pg::unit bad;
    add_enqueue_batch(bad, errands(3));
    bad.add_once("select 1 / 0");
    EXPECT_FALSE(commit(std::move(bad)));
    EXPECT_EQ(count("queue.run"), "0");
    EXPECT_TRUE(enqueue({}).empty());
    pg::unit large;
    EXPECT_THROW(add_enqueue_batch(large, errands(enqueue_batch_max + 1)), std::length_error);
}

TEST_P(queue_batch, children_in_a_batch_are_seen_at_once) {
    auto options = quick();
    options.poll = 60s;
    auto p = start(4, options);
    enqueue(errands(20, {.fail_at = {}, .fail_times = 0, .how = "quiet", .child = {}}));
    p->engine().wake();
    EXPECT_TRUE(world_.becomes("select count(*) from queue.history where state = 4", "20", 5s));
}

TEST_P(queue_batch, runs_of_one_outside_step_end_together_with_their_witness) {
    runs what = errands(40);
    for (int i = 0; i < 12; ++i) {
        what[static_cast<std::size_t>(i)].second.lock_key = i % 2 == 0 ? "even" : "odd";
    }
    enqueue(what);
    auto p = start(8);
    ASSERT_TRUE(world_.becomes("select count(*) from queue.history where state = 4", "40"));
    EXPECT_TRUE(world_.in_order());
    EXPECT_EQ(count("t.call"), "40");
    EXPECT_EQ(count("queue.key_lock"), "0");
    EXPECT_EQ(count("queue.step where name = 'go' and state = 1 and direction = 1 and seq = 0"
                    " and result = '{\"sent\":1}'"),
              "40");
    EXPECT_LT(std::stoi(world_.text("select count(distinct xmin::text) from queue.history")), 40);
    EXPECT_TRUE(counts(p->engine(), &engine_stats::finished, 40U));
    auto got = p->thread().run(
        read_status(p->pool(), test_workflows(), what[0].first, runtime::deadline::after(5s)));
    EXPECT_EQ((*got)->steps.at(0).state, step_state::done);
}

TEST_P(queue_batch, G30_a_call_that_fails_is_retried_and_ends_as_any_other) {
    const runs twice =
        errands(1, {.fail_at = "go", .fail_times = 2, .how = "retryable", .child = {}});
    const runs never = errands(1, {.fail_at = "go", .fail_times = 0, .how = "final", .child = {}});
    enqueue(twice);
    enqueue(never);
    auto p = start(4);
    ASSERT_TRUE(world_.ends(twice[0].first, "done"));
    ASSERT_TRUE(world_.ends(never[0].first, "failed"));
    EXPECT_EQ(
        world_.text("select attempts from queue.step where run = '" + twice[0].first.str() + "'"),
        "3");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_batch, G32_a_batch_ends_only_the_claims_that_are_still_its_own) {
    fault::arm("queue.batch_on_wire", 1, fault::action::hold);
    const runs what = errands(6);
    enqueue(what);
    auto p = start(6, quick(60'000ms));
    while (!fault::holding("queue.batch_on_wire")) {
        std::this_thread::yield();
    }
    // Meanwhile the whole of it belongs to somebody else, who is at work on it.
    world_.db().query_admin(
        "update queue.run set token = token + 1 where id in (select id from"
        " queue.run where state = 1 order by id limit 3)");
    fault::release("queue.batch_on_wire");
    ASSERT_TRUE(world_.becomes("select count(*) from queue.history", "3"));
    ASSERT_TRUE(counts(p->engine(), &engine_stats::stale_refused, 3U));
    EXPECT_EQ(count("queue.run where state = 1"), "3");
    EXPECT_EQ(count("queue.step s join queue.run r on r.id = s.run"), "0");
}

TEST_P(queue_batch, G31_killed_at_every_place_of_a_batch) {
    for (const char* place :
         {"queue.after_call:1:kill", "queue.before_batch:1:kill",
          "queue.batch_on_wire:1:kill_next_turn", "queue.batch_on_wire:2:kill_next_turn",
          "queue.after_batch:1:kill", "queue.after_batch:2:kill"}) {
        SCOPED_TRACE(place);
        const runs what = errands(12);
        enqueue(what);
        child_process child(world_, GetParam(), place);
        ASSERT_EQ(child.wait(), SIGKILL) << "the fault was never reached";
        auto rescuer = start(4, quick(lease));
        for (const auto& r : what) {
            ASSERT_TRUE(world_.ends(r.first, "done"));
        }
    }
    EXPECT_TRUE(world_.in_order());  // among the rest: one key for each call, however often
    EXPECT_EQ(world_.text("select count(distinct run) from t.call"), "72");
    EXPECT_EQ(count("queue.history h join queue.step s on s.run = h.id and s.state = 1"), "72");
}

TEST_P(queue_batch, G41_a_connection_lost_in_a_batch_repeats_the_batch_and_not_the_calls) {
    fault::arm("queue.batch_on_wire", 1, fault::action::hold);
    enqueue(errands(6));
    auto p = start(6, quick(20'000ms));
    while (!fault::holding("queue.batch_on_wire")) {
        std::this_thread::yield();
    }
    world_.db().query_admin(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname ="
        " current_database() and usename like '%worker' and pid <> "
        "pg_backend_pid()");
    fault::release("queue.batch_on_wire");
    ASSERT_TRUE(world_.becomes("select count(*) from queue.history where state = 4", "6"));
    EXPECT_EQ(count("t.call"), "6");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_batch, G36_one_that_cannot_be_ended_does_not_stop_the_others) {
    const runs what = errands(6);
    enqueue(what);
    world_.db().query_admin(
        "create function t.no_end() returns trigger language plpgsql as $$ begin if new.id = '" +
        what[2].first.str() +
        "' then raise exception 'no' using errcode = 'IT001'; end if; return new; end $$;"
        "create trigger no_end before insert on queue.history for each row execute function"
        " t.no_end()");
    auto p = start(6, quick(5'000ms));
    ASSERT_TRUE(world_.becomes("select count(*) from queue.history where state = 4", "5"));
    // The others' calls were not made again for its sake.
    EXPECT_EQ(count("t.call where run <> '" + what[2].first.str() + "'"), "5");
    world_.db().query_admin("drop trigger no_end on queue.history");
    EXPECT_TRUE(world_.ends(what[2].first, "done"));
    EXPECT_TRUE(world_.in_order());
}

INSTANTIATE_TEST_SUITE_P(both, queue_batch, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
