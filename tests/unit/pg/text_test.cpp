#include "pg/detail/migration_plan.hpp"
#include "pg/detail/sql_text.hpp"

#include "insula/pg/migrate.hpp"
#include "insula/pg/statement.hpp"

#include <gtest/gtest.h>

namespace insula::pg {
namespace {

TEST(pg_sql_text, G05_the_schema_is_a_function_of_the_uuid_and_quoted) {
    const auto id = *uuid::parse("0192f0a1-b2c3-7d4e-8f50-0123456789ab");
    EXPECT_EQ(detail::expand_schema("select {t}.a from {t}.b, '{x}'", id),
              "select \"t_0192f0a1b2c37d4e8f500123456789ab\".a from "
              "\"t_0192f0a1b2c37d4e8f500123456789ab\".b, '{x}'");
    EXPECT_EQ(detail::expand_schema("nothing", id), "nothing");
    EXPECT_TRUE(detail::has_schema_placeholder("{t}"));
    EXPECT_FALSE(detail::has_schema_placeholder("{tt} {T}"));
}

TEST(pg_sql_text, quotes_inside_an_identifier_are_doubled) {
    EXPECT_EQ(detail::quote_identifier("a\"; drop table b --"), "\"a\"\"; drop table b --\"");
}

TEST(pg_sharing, G43_commands_for_a_lease_only_are_known_at_compile_time) {
    using detail::refused_when_shared;
    static_assert(refused_when_shared("begin"));
    static_assert(refused_when_shared("  -- why\n/* x */ Start Transaction"));
    static_assert(refused_when_shared("PREPARE TRANSACTION 'x'"));
    static_assert(refused_when_shared("set role x") && refused_when_shared("copy a from stdin"));
    static_assert(refused_when_shared("end;") && refused_when_shared("savepoint a"));
    static_assert(!refused_when_shared("set local lock_timeout = 1"));
    static_assert(!refused_when_shared("set constraints all immediate"));
    static_assert(!refused_when_shared("select 1") && !refused_when_shared(""));
    static_assert(!refused_when_shared("update settings set begin = 1"));
    static_assert(!refused_when_shared("/* unclosed begin") && !refused_when_shared("beginning"));
    static constexpr statement harmless{"x", "select '{t}'"};
    static_assert(harmless.scoped && !harmless.never_shared);
}

TEST(pg_migration_text, only_the_known_roles_are_replaced) {
    EXPECT_EQ(expand_roles("grant x to {role:app}, {role:schema_owner}; -- {role:other} {role:app",
                           "p\"q"),
              "grant x to \"p\"\"q_app\", \"p\"\"q_schema_owner\"; -- {role:other} {role:app");
    EXPECT_EQ(expand_roles("", "p"), "");
    EXPECT_EQ(expand_roles("{role:}{role:{role:tenant}", "p"), "{role:}{role:\"p_tenant\"");
}

TEST(pg_migration_text, the_checksum_is_sha_256_of_the_file) {
    EXPECT_EQ(migration_checksum("abc"),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

class pg_migration_plan : public testing::Test {
protected:
    static detail::applied_migration done(int number, std::string_view sql) {
        return {number, "n", migration_checksum(sql)};
    }
    const std::vector<migration> files{{1, "a", "A"}, {2, "b", "B"}, {3, "c", "C"}};
};

TEST_F(pg_migration_plan, goes_on_behind_what_is_applied) {
    EXPECT_EQ(*detail::plan_migrations(files, {}), 0U);
    const std::vector applied{done(1, "A"), done(2, "B")};
    EXPECT_EQ(*detail::plan_migrations(files, applied), 2U);
}

TEST_F(pg_migration_plan, refuses_in_one_sentence_what_does_not_fit) {
    const auto refused = [&](std::vector<migration> f, std::vector<detail::applied_migration> a) {
        const auto plan = detail::plan_migrations(f, a);
        EXPECT_FALSE(plan);
        EXPECT_EQ(plan.error().state, sqlstate::migration_refused);
        return plan.error().message;
    };
    EXPECT_NE(refused(files, {done(1, "changed")}).find("changed"), std::string::npos);
    EXPECT_NE(refused(files, {done(2, "B")}).find("gap"), std::string::npos);
    EXPECT_NE(refused({{1, "a", "A"}, {3, "c", "C"}}, {}).find("gap"), std::string::npos);
    EXPECT_NE(refused({{1, "a", "A"}, {1, "c", "C"}}, {}).find("gap"), std::string::npos);
    EXPECT_NE(refused({{1, "a", "A"}}, {done(1, "A"), done(2, "B")}).find("newer"),
              std::string::npos);
}

}  // namespace
}  // namespace insula::pg
