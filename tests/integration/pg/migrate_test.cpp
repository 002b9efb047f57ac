#include "insula/pg/migrate.hpp"

#include "pg_fixture.hpp"

#include <array>

namespace insula::pg::test_support {
namespace {

constexpr migration one{1, "one",
                        "create table ledger.a (id int); insert into ledger.a values (1);"};
constexpr migration two{
    2, "two", "create table ledger.b (id int); grant select on ledger.b to {role:tenant};"};
constexpr migration three{3, "three", "create table ledger.c (id int);"};
constexpr migration broken{
    3, "broken", "create table ledger.c (id int); select 1 / 0; create table ledger.d ()"};
constexpr migration changed{2, "two", "create table ledger.b (id bigint);"};

class pg_migrate : public pg_test {
public:
    pg_migrate() {
        const std::string owner = w.db().role_prefix() + "_owner";
        w.admin("alter role " + owner + " login; grant create on database " + w.db().name() +
                " to " + owner);
        auto o = options(w, 4);
        o.conninfo = w.db().conninfo(owner);
        pool_ = std::make_unique<pool>(home(), o, budget_, metrics_);
    }
    awaitable<pg_result<migration_report>> migrate_to(std::vector<migration> files,
                                                      bool check = false) {
        auto on = co_await pool_->acquire(soon());
        EXPECT_TRUE(on) << describe(on.error());
        co_return co_await migrate(
            *on, {.schema = "ledger", .role_prefix = w.db().role_prefix(), .check = check}, files);
    }
    std::string recorded() {
        return w.text(
            "select coalesce(string_agg(number || ':' || name, ',' order by number), '') "
            "from ledger.migration");
    }

    world w{0};
    std::unique_ptr<pool> pool_;
};

INSULA_PG_ON_EVERY_BACKEND(pg_migrate);

TEST_P(pg_migrate, applies_what_is_missing_and_nothing_twice) {
    run([this]() -> awaitable<void> {
        auto report = co_await migrate_to({one, two}, true);
        EXPECT_TRUE(report) << describe(report.error());
        EXPECT_EQ(report->pending, (std::vector<int>{1, 2}));
        EXPECT_EQ(report->head, 0);
        EXPECT_EQ(w.text("select count(*) from pg_namespace where nspname = 'ledger'"), "0")
            << "check changes nothing";
        report = co_await migrate_to({one, two});
        EXPECT_TRUE(report) << describe(report.error());
        EXPECT_EQ(report->applied, (std::vector<int>{1, 2}));
        EXPECT_EQ(report->head, 2);
        report = co_await migrate_to({one, two});
        EXPECT_TRUE(report->applied.empty());
        report = co_await migrate_to({one, two, three}, true);
        EXPECT_EQ(report->pending, std::vector<int>{3});
        report = co_await migrate_to({one, two, three});
        EXPECT_EQ(report->applied, std::vector<int>{3});
        EXPECT_EQ(recorded(), "1:one,2:two,3:three");
        EXPECT_EQ(w.text("select has_table_privilege('" + w.db().role_prefix() +
                         "_tenant', 'ledger.b', 'select')"),
                  "t");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_migrate, a_file_that_fails_leaves_nothing_and_the_next_call_goes_on_there) {
    run([this]() -> awaitable<void> {
        const auto failed = co_await migrate_to({one, two, broken});
        EXPECT_FALSE(failed);
        EXPECT_EQ(failed.error().state.str(), "22012");
        EXPECT_NE(failed.error().message.find("migration 3 (broken)"), std::string::npos)
            << failed.error().message;
        EXPECT_EQ(recorded(), "1:one,2:two");
        EXPECT_EQ(w.text("select to_regclass('ledger.c') is null"), "t");
        const auto report = co_await migrate_to({one, two, three});
        EXPECT_TRUE(report) << describe(report.error());
        EXPECT_EQ(report->applied, std::vector<int>{3});
        EXPECT_EQ(w.text("select count(*) from pg_locks where locktype = 'advisory'"), "0");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_migrate, a_changed_file_a_gap_and_a_newer_database_are_refused) {
    run([this]() -> awaitable<void> {
        EXPECT_TRUE(co_await migrate_to({one, two}));
        for (const auto& files : {std::vector{one, changed}, std::vector{one, three},
                                  std::vector{one}, std::vector{two}}) {
            const auto refused = co_await migrate_to(files);
            EXPECT_FALSE(refused);
            EXPECT_EQ(refused.error().state, sqlstate::migration_refused)
                << describe(refused.error());
        }
        w.admin("delete from ledger.migration where number = 1");
        EXPECT_EQ((co_await migrate_to({one, two, three})).error().state,
                  sqlstate::migration_refused);
        EXPECT_EQ(w.text("select to_regclass('ledger.c') is null"), "t");
        co_await pool_->close(soon());
    });
}

TEST_P(pg_migrate, several_at_once_take_turns) {
    run([this]() -> awaitable<void> {
        int applied = 0;
        for (int i = 0; i < 4; ++i) {
            background([](pg_migrate& t, int& sum) -> awaitable<void> {
                const auto report = co_await t.migrate_to({one, two, three});
                EXPECT_TRUE(report) << describe(report.error());
                sum += report ? static_cast<int>(report->applied.size()) : 0;
            }(*this, applied));
        }
        co_await all_ended();
        EXPECT_EQ(applied, 3);
        EXPECT_EQ(w.text("select count(*) from ledger.a"), "1");
        co_await pool_->close(soon());
    });
}

}  // namespace
}  // namespace insula::pg::test_support
