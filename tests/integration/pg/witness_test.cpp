// A COMMIT whose answer is lost: what it did is found out, never guessed.
#include "insula/pg/witness.hpp"

#include "pg_fixture.hpp"
#include "support/gate.hpp"

#include <csignal>

namespace insula::pg::test_support {
namespace {

using insula::test::gate;

constexpr statement bump{"test.bump", "update public.gate set n = n + 1 where id = $1"};
constexpr statement sign{"test.sign", "insert into public.signed (id) values ($1)"};
constexpr statement find{"test.find", "select id from public.signed where id = $1"};

class pg_witness : public pg_test {
protected:
    pg_witness() {
        w.admin(
            "create table if not exists public.signed (id uuid primary key);"
            "grant all on public.signed to public; update public.gate set n = 0 where id = 50");
        auto o = options(w);
        o.conninfo = between.conninfo(w.db().name(), w.login());
        pool_ = std::make_unique<pool>(home(), o, budget_, metrics_);
    }

    /// Something that would be seen if it happened twice, and its witness.
    unit work() const {
        unit u;
        u.add(bump, 50).add(sign, id_);
        return u;
    }
    unit witness() const {
        unit u;
        u.add(find, id_);
        return u;
    }
    awaitable<void> run_it(deadline until) {
        answer_ = co_await run_with_witness(*pool_, work(), witness(), until);
        ended_ = true;
    }
    std::string effects() { return w.text("select n from public.gate where id = 50"); }

    /// The process id of a backend of the service that waits for a lock.
    std::string stuck() {
        return w.text("select coalesce(min(pid), 0) from pg_stat_activity where usename = '" +
                      w.login() + "' and wait_event_type = 'Lock'");
    }
    /// The unit waits for `holder`'s lock where it may wait as long as it likes.
    awaitable<std::string> until_stuck() {
        while (pool_->stats().lock_retries == 0 || stuck() == "0") {
            co_await runtime::sleep_for(1ms);
        }
        co_return stuck();
    }
    awaitable<void> cut_everything() {
        between.set(gate::mode::refuse);
        while (between.carried() != 0) {
            co_await runtime::sleep_for(1ms);
        }
        between.set(gate::mode::pass);
    }

    world& w = shared_world();
    gate between{insula::test::shared_cluster()};
    std::unique_ptr<pool> pool_;
    const uuid id_ = make_uuid_v7();
    pg_result<witnessed> answer_{witnessed{}};
    bool ended_ = false;
};

INSULA_PG_ON_EVERY_BACKEND(pg_witness);

TEST_P(pg_witness, G41_committed_is_found_and_not_done_again) {
    run([this]() -> awaitable<void> {
        between.set_needle("update public.gate set n = n + 1");
        between.set(gate::mode::cut_after_sync);
        co_await run_it(soon());
        EXPECT_TRUE(between.sprung());
        EXPECT_TRUE(answer_) << describe(answer_.error());
        if (answer_) {
            EXPECT_TRUE(answer_->looked_up);
            EXPECT_EQ(answer_->answers.at(0).scalar<uuid>(), id_);
        }
        EXPECT_EQ(effects(), "1");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_witness, G41_not_committed_is_certain_when_the_backend_is_gone_and_then_done) {
    run([this]() -> awaitable<void> {
        between.set_needle("update public.gate set n = n + 1");
        between.set(gate::mode::cut_before_sync);
        co_await run_it(soon());
        EXPECT_TRUE(between.sprung());
        EXPECT_TRUE(answer_) << describe(answer_.error());
        if (answer_) {
            EXPECT_FALSE(answer_->looked_up);
            EXPECT_EQ(answer_->answers.size(), 2U);
        }
        EXPECT_EQ(effects(), "1");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_witness, G41_an_old_backend_that_still_waits_for_a_lock_is_waited_for) {
    insula::test::sql_connection holder(w.db().admin_conninfo());
    holder.query("begin; update public.gate set n = n where id = 50");
    run([&]() -> awaitable<void> {
        background(run_it(soon()));
        co_await until_stuck();
        co_await cut_everything();
        // The look-up asks, and the witness is not there; that says nothing yet.
        const auto asked = pool_->stats().units;
        while (pool_->stats().units < asked + 4) {
            co_await runtime::sleep_for(1ms);
        }
        EXPECT_FALSE(ended_);
        holder.query("commit");
        co_await all_ended();
        EXPECT_TRUE(answer_) << describe(answer_.error());
        EXPECT_TRUE(answer_ && answer_->looked_up);
        EXPECT_EQ(effects(), "1");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_witness, G41_an_old_backend_that_stays_is_asked_to_go_before_the_unit_is_run_again) {
    insula::test::sql_connection holder(w.db().admin_conninfo());
    holder.query("begin; update public.gate set n = n where id = 50");
    run([&]() -> awaitable<void> {
        background(run_it(soon()));
        const auto old = co_await until_stuck();
        co_await cut_everything();
        std::string now = old;
        while (now == old || now == "0") {
            co_await runtime::sleep_for(1ms);
            now = stuck();
        }
        EXPECT_EQ(w.text("select count(*) from pg_stat_activity where pid = " + old), "0");
        EXPECT_FALSE(ended_);
        holder.query("commit");
        co_await all_ended();
        EXPECT_TRUE(answer_) << describe(answer_.error());
        EXPECT_FALSE(answer_ && answer_->looked_up);
        EXPECT_EQ(effects(), "1");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_witness, G41_while_the_old_backend_lives_the_outcome_is_unknown) {
    insula::test::sql_connection holder(w.db().admin_conninfo());
    holder.query("begin; update public.gate set n = n where id = 50");
    run([&]() -> awaitable<void> {
        background(run_it(deadline::after(1500ms)));
        const auto old = std::stoi(co_await until_stuck());
        ::kill(old, SIGSTOP);  // it hears no request to go either
        co_await cut_everything();
        co_await all_ended();
        EXPECT_FALSE(answer_);
        EXPECT_TRUE(answer_.error().maybe_committed) << describe(answer_.error());
        EXPECT_EQ(to_error(answer_.error()).code(), errc::overloaded);
        // And so it is: what it does when it goes on is nobody's to say before. Then it is certain.
        holder.query("commit");
        ::kill(old, SIGCONT);
        const auto known = co_await look_up(*pool_, answer_.error(), witness(), soon());
        EXPECT_NE(known.what, outcome::unknown);
        EXPECT_EQ(effects(), known.what == outcome::committed ? "1" : "0");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_witness, G41_a_failure_that_is_certain_is_not_looked_up) {
    run([this]() -> awaitable<void> {
        unit bad = work();
        bad.add_once("select 1 / 0");
        const auto answer = co_await run_with_witness(*pool_, std::move(bad), witness(), soon());
        EXPECT_EQ(answer.error().state.str(), "22012");
        EXPECT_EQ(pool_->stats().units, 1U);
        co_await run_it(soon());
        EXPECT_TRUE(answer_ && !answer_->looked_up);
        EXPECT_EQ(pool_->stats().units, 2U) << "an ordinary unit costs one round trip";
        EXPECT_EQ(pool_->stats().round_trips, 2U);
        EXPECT_EQ(effects(), "1");
        co_await pool_->close(soon());
    });
}

}  // namespace
}  // namespace insula::pg::test_support
