// Units of many requests on one connection.
#include "pg_fixture.hpp"

namespace insula::pg::test_support {
namespace {

constexpr statement whoami{"test.whoami", "select marker from {t}.whoami"};
constexpr statement read_project{"test.read", "select id, name from {t}.projects where id = $1"};
constexpr statement add_project{"test.add", "insert into {t}.projects (id, name) values ($1, $2)"};
constexpr statement divide{"test.divide", "select 1 / $1"};
constexpr statement add_late{"test.late", "insert into {t}.late (id, ref) values ($1, $2)"};
constexpr statement one{"test.one", "select $1"};

class pg_pipeline : public pg_test {
protected:
    pg_pipeline() : pool_(home(), options(shared_world()), budget_, metrics_) {}

    awaitable<void> read(const tenant& who, int id) {
        unit u = as(who);
        u.add(whoami).add(read_project, id);
        const auto answer = co_await pool_.run(std::move(u), soon());
        EXPECT_TRUE(answer) << describe(answer.error());
        if (answer) {
            EXPECT_EQ(answer->at(0).scalar<std::string>(), who.marker);
            EXPECT_EQ(answer->at(1).only().get<std::int32_t>(0), id);
            EXPECT_EQ(answer->at(1).only().get<std::string>("name"),
                      "project " + std::to_string(id));
        }
    }
    awaitable<void> fail(const tenant& who) {
        unit u = as(who);
        u.add(add_project, 5000, "half done").add(divide, 0).add(whoami);
        const auto answer = co_await pool_.run(std::move(u), soon());
        EXPECT_FALSE(answer);
        if (!answer) {
            EXPECT_EQ(answer.error().state.str(), "22012") << describe(answer.error());
            EXPECT_EQ(answer.error().statement, 1);
            EXPECT_FALSE(answer.error().maybe_committed);
        }
    }

    pool pool_;
};

INSULA_PG_ON_EVERY_BACKEND(pg_pipeline);

TEST_P(pg_pipeline, a_unit_costs_exactly_one_round_trip) {
    run([this]() -> awaitable<void> {
        const tenant& who = shared_world()[0];
        co_await read(who, 1);  // opens the connection, prepares
        const auto before = pool_.stats();
        for (int i = 1; i <= 10; ++i) {
            co_await read(who, i);
        }
        const auto after = pool_.stats();
        EXPECT_EQ(after.units - before.units, 10U);
        EXPECT_EQ(after.round_trips - before.round_trips, 10U);
        EXPECT_EQ(after.maintenance, before.maintenance);
        EXPECT_EQ(after.prepares, before.prepares);
        EXPECT_EQ(after.open, 1U);
        co_await pool_.close(soon());
        EXPECT_EQ(budget_.open(), 0U);
    });
}

TEST_P(pg_pipeline, G43_error_stays_in_its_unit) {
    run([this]() -> awaitable<void> {
        auto& w = shared_world();
        for (int i = 0; i < 200; ++i) {
            const tenant& who = w[static_cast<std::size_t>(i) % 8];
            background(i % 3 == 1 ? fail(who) : read(who, 1 + i % 20));
        }
        co_await all_ended();
        EXPECT_EQ(pool_.stats().open, 1U) << "all of it on one connection";
        EXPECT_EQ(pool_.stats().lost, 0U);
        for (const tenant& who : w.tenants()) {
            EXPECT_EQ(w.text("select count(*) from " + who.role + ".projects where id = 5000"),
                      "0");
        }
        co_await pool_.close(soon());
    });
}

TEST_P(pg_pipeline, G40_an_error_at_commit_leaves_nothing_and_the_connection_usable) {
    run([this]() -> awaitable<void> {
        auto& w = shared_world();
        const tenant& who = w[0];
        unit u = as(who);
        u.add(add_project, 6000, "orphan").add(add_late, 1, 424242);
        const auto answer = co_await pool_.run(std::move(u), soon());
        EXPECT_FALSE(answer);
        if (!answer) {
            EXPECT_EQ(answer.error().state, sqlstate::foreign_key_violation)
                << describe(answer.error());
            EXPECT_EQ(answer.error().statement, -1);
            EXPECT_EQ(answer.error().constraint, "late_ref_fkey");
            EXPECT_FALSE(answer.error().maybe_committed);
        }
        EXPECT_EQ(w.text("select count(*) from " + who.role + ".projects where id = 6000"), "0");
        co_await read(who, 3);
        EXPECT_EQ(pool_.stats().connects, 1U);
        co_await pool_.close(soon());
    });
}

TEST_P(pg_pipeline, G02_a_unit_without_a_tenant_is_refused_by_postgres) {
    run([this]() -> awaitable<void> {
        auto& w = shared_world();
        unit none;
        none.add_once("select marker from " + w[0].role + ".whoami");
        auto answer = co_await pool_.run(std::move(none), soon());
        EXPECT_EQ(answer.error().state, sqlstate::insufficient_privilege);
        unit other = as(w[1]);
        other.add_once("select marker from " + w[0].role + ".whoami");
        answer = co_await pool_.run(std::move(other), soon());
        EXPECT_EQ(answer.error().state, sqlstate::insufficient_privilege);
        unit bug;
        bug.add(whoami);
        std::string thrown;
        try {
            (void)co_await pool_.run(std::move(bug), soon());
        } catch (const std::logic_error& reason) {
            thrown = reason.what();
        }
        EXPECT_EQ(thrown, "tenant SQL without a tenant: test.whoami");
        co_await read(w[0], 1);
        co_await pool_.close(soon());
    });
}

TEST_P(pg_pipeline, G43_what_would_be_everybodys_is_refused_before_it_is_sent) {
    run([this]() -> awaitable<void> {
        for (const char* sql :
             {"begin", "COMMIT", "set search_path = x", "copy public.gate to stdout", "listen x"}) {
            unit bug;
            bug.add_once(sql);
            std::string thrown;
            try {
                (void)co_await pool_.run(std::move(bug), soon());
            } catch (const std::logic_error& reason) {
                thrown = reason.what();
            }
            EXPECT_EQ(thrown, "needs a lease, not a shared connection: once") << sql;
        }
        EXPECT_EQ(pool_.stats().round_trips, 0U);
        co_await pool_.close(soon());
    });
}

TEST_P(pg_pipeline, a_large_answer_and_a_large_question_do_not_block_each_other) {
    run([this]() -> awaitable<void> {
        // Both directions exceed every socket buffer, so the flush loop must read while it writes.
        const std::string big(8'000'000, 'x');
        for (int i = 0; i < 4; ++i) {
            unit u;
            u.add(one, big);
            background([](pool& p, unit work, std::size_t size) -> awaitable<void> {
                const auto answer = co_await p.run(std::move(work), soon());
                EXPECT_TRUE(answer) << describe(answer.error());
                if (answer) {
                    EXPECT_EQ(answer->at(0).scalar<std::string_view>().size(), size);
                }
            }(pool_, std::move(u), big.size()));
        }
        co_await all_ended();
        EXPECT_EQ(pool_.stats().open, 1U);
        co_await pool_.close(soon());
    });
}

TEST_P(pg_pipeline, a_statement_is_cut_off_at_the_deadline) {
    run([this]() -> awaitable<void> {
        unit u;
        u.add_once("select pg_sleep(60)");
        const auto started = std::chrono::steady_clock::now();
        const auto answer = co_await pool_.run(std::move(u), deadline::after(200ms));
        const auto took = std::chrono::steady_clock::now() - started;
        EXPECT_EQ(answer.error().state, sqlstate::query_canceled) << describe(answer.error());
        EXPECT_FALSE(answer.error().maybe_committed) << "the server itself answered";
        EXPECT_LT(took, 2s);
        co_await read(shared_world()[0], 1);
        EXPECT_EQ(pool_.stats().connects, 1U) << "nothing was cancelled or closed";
        co_await pool_.close(soon());
    });
}

}  // namespace
}  // namespace insula::pg::test_support
