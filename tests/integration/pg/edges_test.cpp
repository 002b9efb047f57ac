// What seldom happens to a pool, a lease or a value: read off the lines that nothing else ran.
#include "pg_fixture.hpp"

#include "insula/runtime/cpu_pool.hpp"

#include <fmt/format.h>
#include <signal.h>

namespace insula::pg::test_support {
namespace {

constexpr statement doze{"test.doze", "select pg_sleep(0.2)"};
constexpr statement one{"test.one", "select 1"};

class pg_edges : public pg_test {
public:
    awaitable<void> doze_once(pool& p, int& done) {
        unit u;
        u.add(doze);
        const auto answer = co_await p.run(std::move(u), soon());
        EXPECT_TRUE(answer) << describe(answer.error());
        ++done;
    }
    awaitable<int> pid_of(lease& on) {
        unit u;
        u.add_once("select pg_backend_pid()");
        const auto answer = co_await on.exec(std::move(u));
        EXPECT_TRUE(answer) << describe(answer.error());
        co_return answer ? answer->at(0).scalar<std::int32_t>() : 0;
    }
    awaitable<pg_result<results>> ask(pool& p) {
        unit u;
        u.add(one);
        co_return co_await p.run(std::move(u), soon());
    }
};

INSULA_PG_ON_EVERY_BACKEND(pg_edges);

// What an administrator makes the default is not what a transaction asked for.
TEST_P(pg_edges, a_transaction_of_one_unit_has_its_own_isolation_too) {
    world own{0};
    own.admin("alter database " + own.db().name() +
              " set default_transaction_isolation = 'repeatable read'");
    pool p(home(), options(own), budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto on = co_await p.acquire(soon());
        for (const auto& [level, seen] : {std::pair{isolation::read_committed, "read committed"},
                                          std::pair{isolation::serializable, "serializable"}}) {
            (void)co_await on->begin(level);
            unit u;
            u.add_once("select current_setting('transaction_isolation')");
            const auto got = co_await on->exec_and_commit(std::move(u));
            EXPECT_TRUE(got) << describe(got.error());
            EXPECT_EQ(got->at(0).scalar<std::string>(), seen);
            EXPECT_FALSE(on->in_transaction());
        }
        *on = lease();
        co_await p.close(soon());
    });
}

TEST_P(pg_edges, a_transaction_has_the_isolation_that_was_asked_for) {
    pool p(home(), options(shared_world()), budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto on = co_await p.acquire(soon());
        using asked = std::pair<isolation, std::string>;
        for (const auto& [level, name] : {asked{isolation::read_committed, "read committed"},
                                          asked{isolation::repeatable_read, "repeatable read"},
                                          asked{isolation::serializable, "serializable"}}) {
            for (const bool read_only : {false, true}) {
                (void)co_await on->begin(level, read_only);
                unit u;
                u.add_once(
                    "select current_setting('transaction_isolation') || ' ' || "
                    "current_setting('transaction_read_only')");
                const auto seen = co_await on->exec_and_commit(std::move(u));
                EXPECT_EQ(seen->at(0).scalar<std::string>(), name + (read_only ? " on" : " off"));
            }
        }
        (void)co_await on->begin();
        EXPECT_THROW((void)co_await on->begin(), std::logic_error);
        EXPECT_TRUE(co_await on->commit()) << "nothing was sent, nothing is to be committed";
        EXPECT_FALSE(on->in_transaction());
        *on = lease();
        co_await p.close(soon());
    });
}

TEST_P(pg_edges, G65_units_that_wait_for_a_shared_connection_are_bounded) {
    auto o = options(shared_world());
    o.pipeline_max = 1;
    o.waiters_max = 3;
    pool p(home(), o, budget_, metrics_);
    run([&]() -> awaitable<void> {
        EXPECT_TRUE(co_await ask(p));
        int done = 0;
        for (int i = 0; i < 4; ++i) {  // one travels, three wait
            background(doze_once(p, done));
        }
        const auto late = co_await ask(p);
        EXPECT_EQ(late.error().state, sqlstate::pool_exhausted);
        co_await all_ended();
        EXPECT_EQ(done, 4) << "who was in time is served";
        EXPECT_TRUE(co_await ask(p));
        unit u;
        u.add(one);
        const auto units = p.stats().round_trips;
        const auto expired = co_await p.run(std::move(u), deadline::after(-1ms));
        EXPECT_EQ(expired.error().state, sqlstate::deadline_passed);
        EXPECT_FALSE(expired.error().maybe_committed);
        EXPECT_EQ(p.stats().round_trips, units) << "whose time is over is not sent";
        co_await p.close(soon());
    });
}

// Cut off at the deadline, the transaction has failed and the lease goes on.
TEST_P(pg_edges, after_a_unit_that_was_cut_off_the_lease_can_be_used) {
    pool p(home(), options(shared_world(), 1), budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto on = co_await p.acquire(soon());
        const auto until = deadline::after(50ms);
        on->expires_at(until);
        EXPECT_EQ(on->expires().at, until.at);
        (void)co_await on->begin();
        unit slow;
        slow.add_once("select pg_sleep(20)");
        const auto over =
            co_await on->exec(std::move(slow), {.lock_timeout = 0ms, .statement_timeout = 30s});
        EXPECT_EQ(over.error().state, sqlstate::query_canceled);
        on->expires_at(soon());
        unit again;
        again.add(one);
        const auto refused = co_await on->exec(std::move(again));
        EXPECT_EQ(refused.error().state, sqlstate::in_failed_transaction);
        EXPECT_EQ((co_await on->commit()).error().state, sqlstate::query_canceled);
        EXPECT_FALSE(on->in_transaction());
        EXPECT_TRUE(co_await on->exec_script("select 1"));
        *on = lease();
        co_await p.close(soon());
    });
}

// A unit whose end nobody knows spoils its lease: whatever is asked of it hears that first, so that
// no second unit can be mistaken for the first one's end.
TEST_P(pg_edges, G41_a_lease_whose_last_unit_was_not_answered_refuses_everything_else) {
    pool p(home(), options(shared_world(), 1), budget_, metrics_);
    run([&]() -> awaitable<void> {
        auto on = co_await p.acquire(soon());
        const auto pid = co_await pid_of(*on);
        on->expires_at(deadline::after(100ms));
        (void)co_await on->begin();
        ::kill(pid, SIGSTOP);
        unit work;
        work.add(one);
        const auto over = co_await on->exec_and_commit(std::move(work));
        EXPECT_EQ(over.error().state, sqlstate::query_canceled);
        EXPECT_TRUE(over.error().maybe_committed);
        EXPECT_EQ(over.error().backend.pid, pid);
        on->expires_at(soon());
        unit again;
        again.add(one);
        EXPECT_TRUE((co_await on->exec(std::move(again))).error().maybe_committed);
        EXPECT_TRUE((co_await on->commit()).error().maybe_committed);
        EXPECT_TRUE((co_await on->rollback()).error().maybe_committed);
        EXPECT_TRUE((co_await on->exec_script("select 1")).error().maybe_committed);
        *on = lease();
        ::kill(pid, SIGCONT);
        EXPECT_TRUE(co_await ask(p));
        auto other = co_await p.acquire(soon());
        EXPECT_TRUE(other) << describe(other.error());
        *other = lease();
        co_await p.close(soon());
    });
}

TEST_P(pg_edges, a_script_that_cannot_be_run_costs_its_connection_and_no_more) {
    pool p(home(), options(shared_world(), 1), budget_, metrics_);
    run([&]() -> awaitable<void> {
        struct script {
            const char* text;
            bool ends;
        };
        for (const auto& one_of :
             {script{"select 1 / 0", false}, script{"copy (select 1) to stdout", true},
              script{"select pg_terminate_backend(pg_backend_pid())", true},
              script{"set statement_timeout = 0; select pg_sleep(30)", true}}) {
            auto on = co_await p.acquire(soon());
            EXPECT_TRUE(on) << describe(on.error());
            on->expires_at(deadline::after(500ms));
            const auto before = co_await pid_of(*on);
            const auto done = co_await on->exec_script(one_of.text);
            EXPECT_FALSE(done) << one_of.text;
            *on = lease();
            auto next = co_await p.acquire(soon());
            EXPECT_TRUE(next) << describe(next.error());
            EXPECT_EQ(co_await pid_of(*next) != before, one_of.ends) << one_of.text;
            *next = lease();
        }
        co_await p.close(soon());
    });
}

TEST_P(pg_edges, odd_values_are_read_as_what_they_are_or_refused) {
    pool p(home(), options(shared_world()), budget_, metrics_);
    run([&]() -> awaitable<void> {
        unit u;
        u.add_once("select 1.5::float4");
        u.add_once("select 'infinity'::timestamptz");
        u.add_once("select '-infinity'::timestamptz");
        u.add_once("select '1 month'::interval");
        u.add_once("select '1 day 1 second'::interval");
        u.add_once("select array[[1,2],[3,4]]");
        u.add_once("select array[1, null]");
        u.add_once("select 'text'");
        const auto got = co_await p.run(std::move(u), soon());
        EXPECT_TRUE(got) << describe(got.error());
        EXPECT_EQ(got->at(0).scalar<double>(), 1.5);
        EXPECT_EQ(got->at(1).scalar<timestamp>(), timestamp::max());
        EXPECT_EQ(got->at(2).scalar<timestamp>(), timestamp::min());
        EXPECT_THROW((void)got->at(3).scalar<std::chrono::microseconds>(), wrong_column);
        EXPECT_EQ(got->at(4).scalar<std::chrono::microseconds>(), 24h + 1s);
        EXPECT_THROW((void)got->at(5).scalar<std::vector<std::int32_t>>(), wrong_column);
        EXPECT_THROW((void)got->at(6).scalar<std::vector<std::int32_t>>(), wrong_column);
        EXPECT_THROW((void)got->at(7).scalar<std::vector<std::int32_t>>(), wrong_column);
        EXPECT_THROW((void)got->at(0)[1], wrong_column);
        EXPECT_THROW((void)got->at(0)[-1], wrong_column);
        co_await p.close(soon());
    });
}

// Of several hosts the first that answers is taken; names, addresses and sockets may be mixed.
TEST_P(pg_edges, hosts_of_every_kind_are_tried_in_turn) {
    world& where = shared_world();
    runtime::cpu_pool names(1, 8);
    auto o = options(where, 1);
    o.conninfo += fmt::format(" host=localhost,{0} port=1,{1}", where.db().home().socket_folder(),
                              where.db().home().port());
    pool p(home(), o, budget_, metrics_, &names);
    run([&]() -> awaitable<void> {
        const auto answer = co_await ask(p);
        EXPECT_TRUE(answer) << describe(answer.error());
        co_await p.close(soon());
    });
}

TEST_P(pg_edges, a_connection_string_that_cannot_be_read_is_not_quoted) {
    auto o = options(shared_world(), 1);
    o.conninfo = "host=localhost password=hunter2 =broken";
    pool p(home(), o, budget_, metrics_);
    run([&]() -> awaitable<void> {
        unit u;
        u.add(one);
        const auto answer = co_await p.run(std::move(u), deadline::after(300ms));
        EXPECT_FALSE(answer);
        EXPECT_EQ(answer.error().message.find("hunter2"), std::string::npos);
        EXPECT_EQ(describe(answer.error()).find("broken"), std::string::npos);
        co_await p.close(soon());
    });
}

}  // namespace
}  // namespace insula::pg::test_support
