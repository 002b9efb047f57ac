// Steps whose transaction is one statement: fence, proof and perhaps the end together. What the
// fence refuses as a statement of its own they refuse too, and leave nothing.

#include "journey.hpp"
#include "world.hpp"

namespace insula::queue::test_support {
namespace {

/// Two steps that leave nothing but their results.
class stroll {
public:
    static constexpr std::string_view kind = "test.stroll";
    using input = journey_input;
    runtime::awaitable<step_result<>> walk(database_step& step, const input&) const {
        step.set_result("{}");
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<stroll>(
            {{.name = "out", .run = &stroll::walk}, {.name = "home", .run = &stroll::walk}});
    }
};

/// One whose steps have SQL of their own.
class errand {
public:
    static constexpr std::string_view kind = "test.errand";
    using input = journey_input;
    runtime::awaitable<step_result<>> walk(database_step& step, const input&) const {
        pg::unit work;
        work.add_once("select 1");
        auto done = co_await step.exec(std::move(work));
        if (!done) {
            co_return failure(done.error());
        }
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<errand>(
            {{.name = "out", .run = &errand::walk}, {.name = "home", .run = &errand::walk}});
    }
};

class queue_alone : public testing::Test {
protected:
    std::string claimed(const std::string& deadline = "null") {
        enqueue_request what;
        what.kind = "test.none";
        const std::string id = "'" + world_.enqueue(what).str() + "'";
        worker_.query(
            "insert into queue.worker (id, boot_id, label) values (1, gen_random_uuid(), 'test')"
            " on conflict do nothing");
        worker_.query("select * from queue.claim(1, 77, 0::smallint, 100)");
        world_.db().query_admin("update queue.run set deadline = " + deadline +
                                " where id = " + id);
        return id;
    }
    static std::string call(const std::string& function, const std::string& id,
                            const std::string& token, const std::string& step,
                            const std::string& heed) {
        return "select queue." + function + "(" + id + ", " + token + ", " + step + ", " + heed +
               ", 1000, 'a', 1, '1', null)";
    }
    void expect_nothing_done(const std::string& id) {
        EXPECT_EQ(world_.text("select token || ' ' || step from queue.run where id = " + id),
                  "77 0");
        EXPECT_EQ(world_.text("select count(*) from queue.step"), "0");
        EXPECT_EQ(world_.text("select count(*) from queue.history"), "0");
    }

    world world_;
    test::sql_connection worker_{world_.worker_conninfo()};
};

TEST_F(queue_alone, G32_a_stale_claim_or_step_is_refused) {
    const std::string id = claimed();
    for (const std::string function : {"step_alone", "end_alone"}) {
        EXPECT_EQ(worker_.outcome(call(function, id, "78", "0", "false")), "IQ001") << function;
        EXPECT_EQ(worker_.outcome(call(function, id, "77", "1", "false")), "IQ001") << function;
    }
    expect_nothing_done(id);
}

TEST_F(queue_alone, a_cancelled_or_overdue_run_goes_no_further_when_it_is_to_heed_that) {
    const std::string late = claimed("clock_timestamp()");
    for (const std::string function : {"step_alone", "end_alone"}) {
        EXPECT_EQ(worker_.outcome(call(function, late, "77", "0", "true")), "IQ001") << function;
    }
    expect_nothing_done(late);
    const std::string cancelled = claimed();
    world_.db().query_admin("insert into queue.cancellation (run) values (" + cancelled + ")");
    for (const std::string function : {"step_alone", "end_alone"}) {
        EXPECT_EQ(worker_.outcome(call(function, cancelled, "77", "0", "true")), "IQ001")
            << function;
    }
    expect_nothing_done(cancelled);
    EXPECT_EQ(worker_.outcome(call("step_alone", cancelled, "77", "0", "false")), "00000");
}

TEST_F(queue_alone, G31_a_step_and_the_end_leave_what_the_longer_way_leaves) {
    const std::string id = claimed();
    EXPECT_EQ(worker_.outcome(call("step_alone", id, "77", "0", "true")), "00000");
    EXPECT_EQ(world_.text("select step || ' ' || attempt from queue.run"), "1 1");
    EXPECT_EQ(worker_.outcome(call("end_alone", id, "77", "1", "true")), "00000");
    EXPECT_EQ(world_.text("select count(*) from queue.run"), "0");
    EXPECT_EQ(world_.text("select state || ' ' || step || ' ' || token from queue.history"),
              "4 2 77");
    EXPECT_EQ(world_.text("select string_agg(seq || name || state || result || token, ' ' order by"
                          " seq) from queue.step"),
              "0a1177 1a1177");
}

// They were half of the texts that PostgreSQL ran for a durable step (docs/decisions/0015).
TEST_F(queue_alone, a_step_without_sql_of_its_own_travels_without_begin_and_commit) {
    registry known;
    known.add(stroll{}).add(errand{});
    for (const std::string_view kind : {stroll::kind, errand::kind}) {
        test::gate between(test::shared_cluster());
        between.set_needle("begin isolation level");  // sent by whoever begins a transaction
        between.set(test::gate::mode::cut_before_sync);
        process p(between.conninfo(world_.db().name(), world_.db().role_prefix() + "_worker"),
                  known, quick(60s), runtime::backend::epoll);
        enqueue_request what;
        what.kind = kind;
        what.input = encode_input(journey_input{});
        ASSERT_TRUE(world_.ends(world_.enqueue(what), "done"));
        EXPECT_EQ(between.sprung(), kind == errand::kind) << kind;
    }
}

// No COMMIT of their own says where such a transaction ends; lost answers mean what they meant.
TEST_F(queue_alone, G41_an_answer_that_was_lost_is_found_in_the_row) {
    registry known;
    known.add(stroll{});
    enqueue_request what;
    what.kind = stroll::kind;
    what.input = encode_input(journey_input{});
    for (const std::string function : {"step_alone", "end_alone"}) {
        for (const bool landed : {false, true}) {
            SCOPED_TRACE(function + (landed ? " landed" : " never arrived"));
            test::gate between(test::shared_cluster());
            between.set(landed ? test::gate::mode::cut_after_sync
                               : test::gate::mode::cut_before_sync);
            between.set_needle("queue." + function + "(");  // of its Parse, in the same unit
            process p(between.conninfo(world_.db().name(), world_.db().role_prefix() + "_worker"),
                      known, quick(60s), runtime::backend::epoll);
            const run_id id = world_.enqueue(what);
            ASSERT_TRUE(world_.ends(id, "done"));
            EXPECT_TRUE(between.sprung());
            EXPECT_TRUE(counts(p.engine(), &engine_stats::lost_commits_landed, landed ? 1 : 0));
            EXPECT_TRUE(counts(p.engine(), &engine_stats::lost_commits_repeated, landed ? 0 : 1));
            EXPECT_TRUE(counts(p.engine(), &engine_stats::finished, 1));
            EXPECT_EQ(p.engine().stats().stale_refused, 0U);
            EXPECT_EQ(world_.text("select string_agg(seq || name || state, ' ' order by seq)"
                                  " from queue.step where run = '" +
                                  id.str() + "'"),
                      "0out1 1home1");
            EXPECT_EQ(
                world_.text("select crashes from queue.history where id = '" + id.str() + "'"),
                "0");
            EXPECT_TRUE(world_.in_order());
        }
    }
}

}  // namespace
}  // namespace insula::queue::test_support
