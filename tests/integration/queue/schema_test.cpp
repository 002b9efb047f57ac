// The migration by itself: who may do what, and that each function refuses a claim that is not the
// caller's.

#include "world.hpp"

namespace insula::queue::test_support {
namespace {

class queue_schema : public testing::Test {
protected:
    run_id enqueued() {
        enqueue_request what;
        what.kind = "test.none";
        return world_.enqueue(what);
    }
    /// A worker that has claimed what is there, with token 77.
    void claim() {
        worker_.query(
            "insert into queue.worker (id, boot_id, label) values (1, gen_random_uuid(), 'test')");
        worker_.query("select * from queue.claim(1, 77, 0::smallint, 100)");
    }

    world world_;
    test::sql_connection app_{world_.app_conninfo()};
    test::sql_connection worker_{world_.worker_conninfo()};
};

TEST_F(queue_schema, the_api_may_enqueue_and_look_and_nothing_else) {
    const run_id id = enqueued();
    EXPECT_EQ(app_.query("select state from queue.status('" + id.str() + "')").at(0).at(0), "0");
    for (const char* sql :
         {"select * from queue.run", "delete from queue.ready",
          "insert into queue.timer values (now(), gen_random_uuid())",
          "select * from queue.claim(1, 1, 0::smallint, 1)", "select queue.bury(1, 1)",
          "select queue.sweep()", "select nextval('queue.worker_id')", "create table queue.mine ()",
          "select * from queue.history"}) {
        EXPECT_EQ(app_.outcome(sql), "42501") << sql;
    }
    EXPECT_EQ(worker_.outcome("create table queue.mine ()"), "42501");
    EXPECT_EQ(worker_.outcome("truncate queue.run"), "42501");
}

TEST_F(queue_schema, G05_functions_that_run_as_the_owner_pin_their_search_path) {
    EXPECT_EQ(
        world_.text("select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
                    " where n.nspname = 'queue' and p.prosecdef"
                    " and (p.proconfig is null or not 'search_path=pg_catalog, pg_temp' = any "
                    "(p.proconfig))"),
        "0");
    EXPECT_EQ(
        world_.text(
            "select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            " where n.nspname = 'queue' and has_function_privilege('public', p.oid, 'execute')"),
        "0");
}

TEST_F(queue_schema, G32_every_change_of_a_run_wants_the_claims_token) {
    const std::string id = "'" + enqueued().str() + "'";
    claim();
    const std::string before = world_.text("select r::text from queue.run r");
    for (const std::string& call :
         {"select queue.fence(" + id + ", 78, 1::smallint, 0, 1, 1000, true)",
          "select queue.fence(" + id + ", 77, 1::smallint, 1, 2, 1000, true)",
          "select queue.fence(" + id + ", 77, (-1)::smallint, 0, 0, 1000, true)",
          "select queue.intend(" + id + ", 78, 1::smallint, 0, 0, 'a', 1, null, true)",
          "select queue.retry_later(" + id + ", 78, 1::smallint, 0, '1 s', 'c', 'd', 'i', true)",
          "select queue.turn_back(" + id + ", 78, 0, 0, 0, 'a', 1, 'c', 'd', 'i')",
          "select queue.hold(" + id + ", 78, 'why', null, null)",
          "select queue.adopt(" + id + ", 78, 2)",
          "select queue.finish(" + id + ", 78, 1::smallint, 0, 4::smallint, null, null, null)"}) {
        EXPECT_EQ(worker_.outcome(call), "IQ001") << call;
    }
    worker_.query("select queue.give_back(" + id + ", 78, '0'), queue.abandon(" + id + ", 78)");
    EXPECT_EQ(world_.text("select r::text from queue.run r"), before);
    EXPECT_EQ(world_.text("select count(*) from queue.step"), "0");
    EXPECT_EQ(worker_.outcome("select queue.finish(" + id +
                              ", 77, 1::smallint, 0, 4::smallint, null, null, null)"),
              "00000");
    EXPECT_EQ(world_.text("select count(*) from queue.history"), "1");
}

TEST_F(queue_schema, a_dead_worker_claims_nothing_and_its_runs_come_back_once) {
    enqueued();
    claim();
    EXPECT_EQ(worker_.query("select queue.bury(1, 5)").at(0).at(0), "-1");  // it has beaten since
    EXPECT_EQ(worker_.query("select queue.bury(1, 0)").at(0).at(0), "1");
    EXPECT_EQ(worker_.query("select queue.bury(1, 0)").at(0).at(0), "-1");
    EXPECT_TRUE(worker_.query("select * from queue.claim(1, 78, 0::smallint, 100)").empty());
    EXPECT_TRUE(
        worker_
            .query("update queue.worker set beat = beat + 1 where id = 1 and not dead returning 1")
            .empty());
    EXPECT_EQ(world_.text("select state || ' ' || crashes || ' ' || attempt from queue.run"),
              "0 1 1");
}

TEST_F(queue_schema, burial_does_not_wait_for_a_transaction_of_the_dead) {
    const std::string locked = enqueued().str();
    enqueued();
    claim();
    test::sql_connection stopped(world_.worker_conninfo());
    stopped.query("begin; select queue.fence('" + locked +
                  "', 77, 1::smallint, 0, 1, 60000, true)");
    EXPECT_EQ(worker_.query("set lock_timeout = '1s'; select queue.bury(1, 0)").at(0).at(0), "1");
    stopped.query("rollback");
    EXPECT_EQ(worker_.query("select queue.sweep()").at(0).at(0), "1");
    EXPECT_EQ(world_.text("select count(*) from queue.ready"), "2");
}

TEST_F(queue_schema, a_claim_does_not_wait_for_a_key_that_is_being_released) {
    enqueue_request keyed;
    keyed.kind = "test.none";
    keyed.lock_key = "k";
    const std::string first = world_.enqueue(keyed).str();
    claim();
    test::sql_connection ending(world_.worker_conninfo());
    ending.query("begin; select queue.finish('" + first +
                 "', 77, 1::smallint, 0, 4::smallint, null, null, null)");
    world_.enqueue(keyed);
    EXPECT_TRUE(
        worker_.query("set lock_timeout = '1s'; select * from queue.claim(1, 78, 0::smallint, 100)")
            .empty());
    ending.query("commit");
    EXPECT_TRUE(world_.becomes(
        "select queue.fire_timers(10) is null and exists (select from queue.ready)", "t"));
    EXPECT_EQ(worker_.query("select * from queue.claim(1, 79, 0::smallint, 100)").size(), 1U);
    EXPECT_EQ(world_.text("select count(*) from queue.key_lock k join queue.run r on r.id = k.run"),
              "1");
}

TEST_F(queue_schema, priorities_and_age_order_the_claims) {
    enqueue_request what;
    what.kind = "late";
    world_.enqueue(what);
    what.kind = "later";
    world_.enqueue(what);
    what.kind = "urgent";
    what.priority = -1;
    world_.enqueue(what);
    worker_.query(
        "insert into queue.worker (id, boot_id, label) values (1, gen_random_uuid(), 'test')");
    std::string order;
    for (int i = 0; i < 3; ++i) {
        order +=
            worker_
                .query("select kind from queue.claim(1, " + std::to_string(i) + ", 0::smallint, 1)")
                .at(0)
                .at(0) +
            " ";
    }
    EXPECT_EQ(order, "urgent late later ");
}

TEST_F(queue_schema, a_key_is_free_again_when_it_has_expired_or_its_enqueue_rolled_back) {
    const std::string ask =
        "select queue.enqueue(gen_random_uuid(), 'k', 1, 0::smallint, 0::smallint, null, null, "
        "'key',"
        " '1 hour', null, null, '0', null, '{}')";
    app_.query("begin; " + ask + "; rollback");
    const std::string first = app_.query(ask).at(0).at(0);
    EXPECT_EQ(app_.query(ask).at(0).at(0), first);
    world_.db().query_admin("update queue.idempotency set expires = clock_timestamp()");
    EXPECT_NE(app_.query(ask).at(0).at(0), first);
    EXPECT_EQ(world_.text("select count(*) from queue.run"), "2");
}

TEST_F(queue_schema, plans_made_while_the_tables_were_empty_do_not_read_all_of_queue_run_later) {
    worker_.query(
        "insert into queue.worker (id, boot_id, label) values (1, gen_random_uuid(), 'test')");
    const std::string claim = "select count(*) from queue.claim(1, 77, 0::smallint, 16)";
    const std::string complete =
        "with mine as (select id, token from queue.run where token = 77 order by id limit 1)"
        " select cardinality(queue.complete_batch(array(select id from mine), array(select token"
        " from mine), array(select 'go' from mine), array(select 1 from mine), array(select"
        " null::text from mine)))";
    // So often that PostgreSQL keeps its plans, for whatever values.
    for (int i = 0; i < 12; ++i) {
        enqueued();
        worker_.query("select queue.fire_timers(1000)");
        worker_.query(claim);
        worker_.query(complete);
    }
    world_.db().query_admin(
        "insert into queue.run (id, kind, version, vt, state, input) select"
        " gen_random_uuid(), 'k', 1, 0, 2, '{}' from generate_series(1, 20000)");
    world_.db().query_admin("insert into queue.timer select now(), id from queue.run limit 5");
    world_.db().query_admin(
        "update queue.run set token = 77 where id in (select id from queue.run"
        " where token is null order by id desc limit 1)");
    const std::string ids = world_.text("select array_agg(id) from queue.run where token = 77");
    for (const std::string& look :
         {std::string("select queue.fire_timers(1000)"), claim,
          "select queue.complete_batch('" + ids + "', '{77}', '{go}', '{1}', '{null}')"}) {
        const auto read = [&] {
            return std::stol(worker_
                                 .query("select seq_tup_read from pg_stat_xact_user_tables"
                                        " where relid = 'queue.run'::regclass")
                                 .at(0)
                                 .at(0));
        };
        worker_.query("begin");
        const long before = read();
        worker_.query(look);
        EXPECT_EQ(read(), before) << look;
        worker_.query("rollback");
    }
    // Nor all that is ready, for one claim.
    world_.db().query_admin(
        "insert into queue.ready (queue, priority, vt, id) select 0, 0, row_number() over (), id"
        " from queue.run where state = 2");
    const auto fetched = [&] {
        return std::stol(
            worker_
                .query("select seq_tup_read + idx_tup_fetch from"
                       " pg_stat_xact_user_tables where relid = 'queue.ready'::regclass")
                .at(0)
                .at(0));
    };
    worker_.query("begin");
    const long before = fetched();
    EXPECT_EQ(worker_.query("select count(*) from queue.claim(1, 78, 0::smallint, 1)").at(0).at(0),
              "1");
    EXPECT_LT(fetched() - before, 20);
    worker_.query("rollback");
}

// Planning a call for its own values costs more than a small call (docs/decisions/0015). No view
// tells which plan a function ran, so this looks at what decides it.
TEST_F(queue_schema, functions_with_limits_and_arrays_keep_their_plans) {
    EXPECT_EQ(world_.text("select string_agg(proname, ' ' order by proname) from pg_proc where"
                          " pronamespace = 'queue'::regnamespace"
                          " and proconfig @> '{plan_cache_mode=force_generic_plan}'"),
              "claim complete_batch fire_timers");
}

TEST_F(queue_schema, G37_a_very_long_line_for_a_key_does_not_stand_before_everybody_else) {
    enqueue_request what;
    what.kind = "keyed";
    what.lock_key = "K";
    world_.enqueue(what);
    claim();
    world_.db().query_admin(
        "update queue.key_lock set waiters = array(select gen_random_uuid() from"
        " generate_series(1, 1000))");
    world_.enqueue(what);
    world_.enqueue(what);
    EXPECT_TRUE(worker_.query("select * from queue.claim(1, 78, 0::smallint, 100)").empty());
    EXPECT_EQ(world_.text("select count(*) from queue.timer where wake_at > clock_timestamp() +"
                          " interval '2 s'"),
              "2");
    enqueued();
    world_.db().query_admin("update queue.timer set wake_at = clock_timestamp()");
    worker_.query("select queue.fire_timers(100)");
    EXPECT_EQ(world_.text("select count(*) from queue.ready"), "3");
    EXPECT_EQ(worker_.query("select kind from queue.claim(1, 79, 0::smallint, 1)").at(0).at(0),
              "test.none");
}

}  // namespace
}  // namespace insula::queue::test_support
