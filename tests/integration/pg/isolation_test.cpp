// Whatever a unit does, the next one on the same connection finds a session as if it were new.
#include "pg/detail/pool_core.hpp"
#include "pg_fixture.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <random>

namespace insula::pg::detail {

struct pool_test_access {
    static std::shared_ptr<connection> shared_connection(pool& p) {
        return p.core_->shared_.at(0).open;
    }
};

}  // namespace insula::pg::detail

namespace insula::pg::test_support {
namespace {

/// Looks at a connection as it is: without the preamble that every ordinary unit begins with, which
/// would put role and time limits right before they could be seen.
awaitable<std::string> digest_of(runtime::loop& home, std::shared_ptr<detail::connection> on) {
    unit u;
    u.add(session_digest);
    const auto look = std::make_shared<detail::request>(home, std::move(u), unit_options{}, soon());
    look->preamble = false;
    on->send(look);
    (void)co_await look->done.wait(soon());
    EXPECT_FALSE(look->error) << describe(*look->error);
    co_return look->answers.empty() ? "" : look->answers.at(0).scalar<std::string>();
}

constexpr statement whoami{"test.whoami", "select marker from {t}.whoami"};
constexpr statement star{"test.star", "select * from {t}.projects where id = $1"};
constexpr statement rename{"test.rename", "update {t}.projects set name = $2 where id = $1"};
constexpr statement divide{"test.divide", "select 1 / $1"};
constexpr statement late{"test.late", "insert into {t}.late values ($1, $2)"};
constexpr statement nap{"test.nap", "select pg_sleep($1)"};
constexpr statement bad_parse{"test.bad_parse", "select no_such_column from {t}.projects"};
constexpr statement duplicate{"test.duplicate", "insert into {t}.projects values (1, 'again')"};
constexpr statement xact_lock{"test.xact_lock", "select pg_advisory_xact_lock($1)"};
constexpr statement current{"test.current", "select current_user::text"};
constexpr statement local_path{"test.path", "select set_config('search_path', $1, true)"};

/// Of these tests alone: they change rows.
world& own_world() {
    static world one(8);
    return one;
}

class G03 : public pg_test {
protected:
    G03() : pool_(home(), options(own_world()), budget_, metrics_) {}

    awaitable<std::string> digest() {
        co_return co_await digest_of(home(), detail::pool_test_access::shared_connection(pool_));
    }

    /// One of the things that can happen to a unit. Counts what it expected and got.
    awaitable<void> something(std::uint64_t dice) {
        auto& w = own_world();
        const tenant& who = w[dice % 8];
        const auto kind = (dice / 8) % 13;
        unit u = as(who);
        u.add(current).add(whoami);
        unit_options how{
            .lock_timeout = 50ms, .statement_timeout = 0ms, .allow_exclusive_retry = false};
        std::string wanted = "00000";
        deadline until = soon();
        switch (kind) {
            case 0:
            case 1:
                u.add(star, 1 + static_cast<int>(dice % 20));
                break;
            case 2:
                u.add(divide, 0).add(whoami);
                wanted = "22012";
                break;
            case 3:
                u.add(bad_parse).add(star, 1);
                wanted = "42703";
                break;
            case 4:
                u.add(rename, 1, "taken over").add(duplicate).add(whoami);
                wanted = "23505";
                break;
            case 5:
                u.add(late, 1, 999'999);
                wanted = "23503";
                break;
            case 6:
                how.statement_timeout = 2ms;
                u.add(nap, 5.0).add(whoami);
                wanted = "57014";
                break;
            case 7:
                u.add(xact_lock, static_cast<std::int64_t>(dice % 100)).add(local_path, who.role);
                break;
            case 8:
                u.add_once("select marker from " + w[(dice + 1) % 8].role + ".whoami");
                wanted = "42501";
                break;
            case 9:
                u.add_once("this is not SQL");
                wanted = "42601";
                break;
            case 10:
                u.add_once("create table {t}.mine ()");
                wanted = "42501";
                break;
            case 11:  // the caller goes away while it runs, or before
                u.add(nap, 0.003).add(rename, 3, "nobody looks");
                until = deadline::after(std::chrono::microseconds(dice % 3000));
                wanted.clear();
                break;
            default:
                u.add(late, 1, 1).add(rename, 2, fmt::format("renamed {}", dice));
                break;
        }
        const auto answer = co_await pool_.run(std::move(u), how, until);
        const std::string got(answer ? "00000" : answer.error().state.str());
        if (wanted.empty()) {
            wanted = got == "57014" || got == "IN002" ? got : "00000";
        }
        EXPECT_EQ(got, wanted) << "kind " << kind << " "
                               << (answer ? "" : describe(answer.error()));
        if (answer) {
            EXPECT_EQ(answer->at(0).scalar<std::string>(), who.role);
            EXPECT_EQ(answer->at(1).scalar<std::string>(), who.marker);
        }
        mismatches_ += got != wanted ? 1 : 0;
    }

    pool pool_;
    int mismatches_ = 0;
};

INSULA_PG_ON_EVERY_BACKEND(G03);

TEST_P(G03, G03_after_any_of_10000_units_the_session_is_as_it_was) {
    const char* given = std::getenv("INSULA_TEST_SEED");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    RecordProperty("seed", std::to_string(seed));
    fmt::print("seed {} (INSULA_TEST_SEED repeats it)\n", seed);
    std::mt19937_64 dice(seed);
    constexpr int units = 10'000;
    run([&]() -> awaitable<void> {
        auto& w = own_world();
        co_await something(0);  // opens the connection
        const std::string fresh = co_await digest();
        EXPECT_NE(fresh, "");
        int done = 0;
        while (done < units && mismatches_ == 0 && !HasFailure()) {
            const auto together = 1 + dice() % 16;  // in one pipeline
            for (std::uint64_t i = 0; i < together; ++i, ++done) {
                background(something(dice()));
            }
            if (dice() % 50 == 0) {
                // DDL underneath: every plan of that table becomes useless.
                const std::string& role = w[dice() % 8].role;
                w.admin("alter table " + role + ".projects add column x int; alter table " + role +
                        ".projects drop column x");
            }
            co_await all_ended();
            const std::string now = co_await digest();
            EXPECT_EQ(now, fresh) << "after " << done << " units, seed " << seed;
        }
        EXPECT_GE(done, units);
        EXPECT_EQ(pool_.stats().connects, 1U) << "all of it on one connection";
        EXPECT_EQ(pool_.stats().open, 1U);
        co_await pool_.close(soon());
    });
}

TEST_P(G03, G03_a_lease_comes_back_without_a_trace_of_whoever_had_it) {
    auto one = options(own_world(), 1);
    pool p(home(), one, budget_, metrics_);
    run([&]() -> awaitable<void> {
        const tenant& who = own_world()[0];
        std::string fresh;
        for (int round = 0; round < 6; ++round) {
            auto on = co_await p.acquire(soon());
            EXPECT_TRUE(on) << describe(on.error());
            const std::string now = co_await digest_of(home(), on->state()->connection);
            if (round == 0) {
                fresh = now;
            }
            EXPECT_EQ(now, fresh) << "round " << round;
            switch (round) {
                case 0: {  // what SQL can leave behind
                    unit u;
                    u.add_once("set search_path = pg_catalog").add_once("set work_mem = '5MB'");
                    u.add_once("create temporary table left_over ()");
                    u.add_once("select pg_advisory_lock(4711)").add_once("listen left_over");
                    u.add_once("declare left_over cursor with hold for select 1");
                    EXPECT_TRUE(co_await on->exec(std::move(u)));
                    break;
                }
                case 1: {  // a transaction that nobody ended, under a tenant's role
                    (void)co_await on->begin();
                    unit u = as(who);
                    u.add(whoami);
                    EXPECT_TRUE(co_await on->exec(std::move(u)));
                    break;
                }
                case 2: {  // one that failed
                    (void)co_await on->begin();
                    unit u = as(who);
                    u.add(divide, 0);
                    EXPECT_FALSE(co_await on->exec(std::move(u)));
                    break;
                }
                case 3: {  // a role taken for the session
                    unit u;
                    u.add_once("set role " + who.role);
                    EXPECT_TRUE(co_await on->exec(std::move(u)));
                    break;
                }
                default:
                    (void)co_await on->begin();  // never sent
            }
        }
        EXPECT_EQ(p.stats().connects, 1U) << "it was cleaned, not replaced";
        co_await p.close(soon());
        co_await pool_.close(soon());
    });
}

TEST_P(G03, G03_in_a_transaction_a_unit_without_a_tenant_does_not_inherit_the_one_before) {
    run([&]() -> awaitable<void> {
        auto& w = own_world();
        auto on = co_await pool_.acquire(soon());
        (void)co_await on->begin();
        for (const tenant* who : {&w[0], &w[1]}) {
            unit u = as(*who);
            u.add(current).add(whoami);
            const auto answer = co_await on->exec(std::move(u));
            EXPECT_EQ(answer->at(0).scalar<std::string>(), who->role);
            EXPECT_EQ(answer->at(1).scalar<std::string>(), who->marker);
        }
        unit none;
        none.add(current);
        const auto answer = co_await on->exec(std::move(none));
        EXPECT_EQ(answer->at(0).scalar<std::string>(), w.login());
        EXPECT_TRUE(co_await on->commit());
        *on = lease();
        co_await pool_.close(soon());
    });
}

}  // namespace
}  // namespace insula::pg::test_support
