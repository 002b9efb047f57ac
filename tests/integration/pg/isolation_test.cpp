// Whatever a unit does, the next one on the same connection finds a session as if it were new.
#include "random_units.hpp"
#include "shrink.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>

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
constexpr statement divide{"test.divide", "select 1 / $1"};
/// Prepared names that are not the pool's own.
constexpr const char* foreign_names =
    "select count(*) from pg_prepared_statements where name !~ '^(s|preamble)[0-9]+$'";
constexpr statement current{"test.current", "select current_user::text"};

/// Of these tests alone: they change rows.
world& own_world() {
    static world one(8);
    return one;
}

class G03 : public pg_test {
protected:
    G03() : pool_(home(), options(own_world()), budget_, metrics_) {}

    pool pool_;
};

INSULA_PG_ON_EVERY_BACKEND(G03);

/// A number from the environment.
std::uint64_t given(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::vector<act> random_acts(std::uint64_t seed, std::size_t count) {
    std::mt19937_64 dice(seed);
    std::vector<act> acts(count);
    for (act& one : acts) {
        one = random_act(dice);
    }
    return acts;
}

std::string lines_of(const std::vector<act>& acts) {
    std::string lines;
    for (const act& one : acts) {
        lines += "  " + describe(one) + "\n";
    }
    return lines;
}

/// What is needed of the acts, as far as it is found within a minute.
std::vector<act> shortest(runtime::backend kind, world& where, std::vector<act> acts) {
    const auto until = deadline::after(60s);
    return shrink<act>(std::move(acts), [&](const std::vector<act>& part) {
        return !until.expired() && !run_acts(kind, where, part).trouble.empty();
    });
}

/// G03 itself does not need a loop made beforehand.
class G03_random : public testing::TestWithParam<runtime::backend> {};
INSULA_PG_ON_EVERY_BACKEND(G03_random);

// INSULA_TEST_SEED repeats a run, INSULA_TEST_UNITS makes it longer (scripts/test --long: 200,000).
TEST_P(G03_random, G03_after_any_of_10000_units_the_session_is_as_it_was) {
    const auto seed = given("INSULA_TEST_SEED", std::random_device{}());
    const bool first = GetParam() == backends().front();  // the other one is the loop's matter
    const auto count = given("INSULA_TEST_UNITS", 10'000) / (first ? 1 : 10);
    RecordProperty("seed", std::to_string(seed));
    fmt::print("seed {} (INSULA_TEST_SEED repeats it)\n", seed);
    auto acts = random_acts(seed, count);
    const auto came = run_acts(GetParam(), own_world(), acts);
    EXPECT_LE(came.connects, 4U)
        << "all of it on one connection, but where the machine was so late "
           "that the server looked silent";
    EXPECT_EQ(came.done, came.trouble.empty() ? count : came.done);
    std::set<std::size_t> kinds;
    for (std::size_t kind = 0; kind < came.seen.size(); ++kind) {
        if (came.seen[kind] != 0) {
            kinds.insert(kind);
        }
    }
    EXPECT_TRUE(kinds.size() == kinds_of_acts() || count < 1000 || !came.trouble.empty());
    if (!came.trouble.empty()) {
        fmt::print("{}\nafter {} acts; looking for what of them is enough\n", came.trouble,
                   came.done);
        std::fflush(stdout);
        acts.resize(came.done);
        ADD_FAILURE() << came.trouble << "\nseed " << seed << ", after " << came.done
                      << " acts; of these the following are enough:\n"
                      << lines_of(shortest(GetParam(), own_world(), std::move(acts)));
    }
}

// The test of the test: what leaks is seen, and what is printed is the leak and nothing else.
TEST_P(G03_random, G03_a_leak_is_seen_and_shrunk_to_what_leaks) {
    for (const char* leak : {"leak of a setting", "leak of a lock", "leak of a role",
                             "leak of a name", "leak of a cursor"}) {
        auto acts = random_acts(4711, 24);
        std::erase_if(acts, [](const act& one) { return describe(one).starts_with("every "); });
        const act planted = act_named(leak, 3);
        acts.insert(acts.begin() + 10, planted);
        const auto came = run_acts(GetParam(), own_world(), acts);
        EXPECT_NE(came.trouble.find(leak), std::string::npos) << leak << ": " << came.trouble;
        const auto left = shortest(GetParam(), own_world(), std::move(acts));
        EXPECT_EQ(left, std::vector<act>{planted}) << lines_of(left);
    }
}

TEST(shrink, leaves_what_is_needed_together_and_in_its_order) {
    std::vector<int> numbers(1000);
    for (int i = 0; i < 1000; ++i) {
        numbers[static_cast<std::size_t>(i)] = i;
    }
    int asked = 0;
    const auto left = shrink<int>(numbers, [&asked](const std::vector<int>& part) {
        ++asked;
        const auto has = [&part](int wanted) {
            return std::find(part.begin(), part.end(), wanted) != part.end();
        };
        return has(17) && has(400) && has(983);
    });
    EXPECT_EQ(left, (std::vector<int>{17, 400, 983}));
    EXPECT_LT(asked, 300);
    EXPECT_EQ(shrink<int>({5}, [](const std::vector<int>&) { return true; }), std::vector<int>{5});
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
            unit names;
            names.add_once(foreign_names);
            EXPECT_EQ((co_await on->exec(std::move(names)))->at(0).scalar<std::int64_t>(), 0)
                << "round " << round;
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

TEST_P(G03, G03_a_name_without_a_schema_finds_nothing_but_postgresqls_own) {
    // What the login's defaults say is the login's to change, and so an attacker's.
    struct other_default {
        std::string login = own_world().login();
        other_default() { own_world().admin("alter role " + login + " set search_path = public"); }
        ~other_default() { own_world().admin("alter role " + login + " reset search_path"); }
    } const until_the_end;
    constexpr statement path{"test.path", "select current_setting('search_path')"};
    run([&]() -> awaitable<void> {
        unit shared = as(own_world()[0]);
        shared.add(path);
        EXPECT_EQ((co_await pool_.run(std::move(shared), soon()))->at(0).scalar<std::string>(), "");
        unit bare;
        bare.add_once("select n from gate where id = 1");
        const auto refused = co_await pool_.run(std::move(bare), soon());
        EXPECT_FALSE(refused);
        EXPECT_EQ(refused.error().state, sqlstate::undefined_table);
        for (int borrower = 0; borrower < 2; ++borrower) {
            auto on = co_await pool_.acquire(soon());
            unit looked;
            looked.add(path).add_once("set search_path = public");
            EXPECT_EQ((co_await on->exec(std::move(looked)))->at(0).scalar<std::string>(), "")
                << borrower;
        }
        EXPECT_EQ(pool_.stats().connects, 2U) << "the second borrower had the first one's";
        co_await pool_.close(soon());
    });
}

TEST_P(G03, G03_nobody_leaves_a_prepared_name_on_a_lease) {
    run([&]() -> awaitable<void> {
        auto on = co_await pool_.acquire(soon());
        for (const char* sql : {"prepare left_over as select 1", "/* x */ PREPARE b as select 2",
                                "prepare transaction 'x'"}) {
            unit u;
            u.add_once(sql);
            std::string thrown;
            try {
                (void)co_await on->exec(std::move(u));
            } catch (const std::logic_error& reason) {
                thrown = reason.what();
            }
            EXPECT_EQ(thrown, "prepared names belong to the pool: once") << sql;
        }
        unit names;
        names.add_once(foreign_names);
        EXPECT_EQ((co_await on->exec(std::move(names)))->at(0).scalar<std::int64_t>(), 0);
        *on = lease();
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
