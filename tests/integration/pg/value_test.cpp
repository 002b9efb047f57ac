// What goes to PostgreSQL as a parameter comes back as the same value, in binary both ways.
#include "pg_fixture.hpp"

#include "insula/core/ids.hpp"

namespace insula::pg::test_support {
namespace {

constexpr statement echo{"test.echo", "select $1"};
constexpr statement as_text{"test.text", "select $1::text"};

class pg_value : public pg_test {
public:
    pg_value() : pool_(home(), options(shared_world()), budget_, metrics_) {}

    template <class T, class P>
    awaitable<void> round_trip(const P& param, T wanted, std::string text) {
        unit u;
        u.add(echo, param).add(as_text, param);
        const auto answer = co_await pool_.run(std::move(u), soon());
        EXPECT_TRUE(answer) << text << ": " << describe(answer.error());
        if (answer) {
            EXPECT_EQ(answer->at(0).template scalar<T>(), wanted) << text;
            EXPECT_EQ(answer->at(1).template scalar<std::string>(), text);
        }
    }

    pool pool_;
};

INSULA_PG_ON_EVERY_BACKEND(pg_value);

TEST_P(pg_value, every_type_comes_back_as_it_went) {
    run([this]() -> awaitable<void> {
        using std::chrono::microseconds;
        co_await round_trip<bool>(true, true, "true");
        co_await round_trip<std::int16_t>(std::int16_t{-7}, -7, "-7");
        co_await round_trip<std::int32_t>(-2147483647 - 1, -2147483647 - 1, "-2147483648");
        co_await round_trip<std::int64_t>(INT64_MIN, INT64_MIN, "-9223372036854775808");
        co_await round_trip<double>(0.1, 0.1, "0.1");
        co_await round_trip<std::string>("", "", "");
        co_await round_trip<std::string>(std::string("Ünï '\" \\ $1"), "Ünï '\" \\ $1",
                                         "Ünï '\" \\ $1");
        const auto id = tenant_id::make();
        co_await round_trip<tenant_id>(id, id, id.str());
        const auto at = *parse_rfc3339("2026-11-23T06:30:00.123456Z");
        unit u;
        u.add(echo, at).add_once("select $1 = '2026-11-23 06:30:00.123456+00'", at);
        u.add_once("select $1 = 'infinity'", timestamp::max());
        const auto times = co_await pool_.run(std::move(u), soon());
        EXPECT_TRUE(times) << describe(times.error());
        EXPECT_EQ(times->at(0).scalar<timestamp>(), at);
        EXPECT_TRUE(times->at(1).scalar<bool>());
        EXPECT_TRUE(times->at(2).scalar<bool>());
        co_await round_trip<microseconds>(std::chrono::seconds(90), microseconds(90'000'000),
                                          "00:01:30");
        const std::vector<std::uint8_t> bytes{0, 1, 0xff};
        co_await round_trip<std::vector<std::uint8_t>>(bytes, bytes, "\\x0001ff");
        co_await round_trip<std::string>(jsonb{R"({"a": [1, null]})"}, R"({"a": [1, null]})",
                                         R"({"a": [1, null]})");
        const std::vector<std::string> words{"a", "", "b,c"};
        co_await round_trip<std::vector<std::string>>(words, words, "{a,\"\",\"b,c\"}");
        co_await round_trip<std::vector<std::int64_t>>(std::vector<std::int64_t>{}, {}, "{}");
        co_await round_trip<std::vector<tenant_id>>(std::vector{id, id}, {id, id},
                                                    "{" + id.str() + "," + id.str() + "}");
        const std::vector<std::optional<std::int32_t>> holes{1, std::nullopt, 3};
        co_await round_trip<std::vector<std::optional<std::int32_t>>>(holes, holes, "{1,NULL,3}");
        co_await pool_.close(soon());
    });
}

TEST_P(pg_value, null_is_told_apart_and_a_wrong_getter_is_a_bug) {
    run([this]() -> awaitable<void> {
        unit u;
        u.add(echo, std::optional<std::int32_t>())
            .add(echo, 5)
            .add_once("select 1 where false")
            .add_once("select 1::numeric");
        const auto answer = co_await pool_.run(std::move(u), soon());
        EXPECT_TRUE(answer) << describe(answer.error());
        EXPECT_TRUE(answer->at(0).only().is_null(0));
        EXPECT_EQ(answer->at(0).scalar<std::optional<std::int32_t>>(), std::nullopt);
        EXPECT_THROW((void)answer->at(0).scalar<std::int32_t>(), wrong_column);
        EXPECT_EQ(answer->at(1).scalar<std::int64_t>(), 5) << "widening is safe";
        EXPECT_THROW((void)answer->at(1).scalar<std::int16_t>(), wrong_column);
        EXPECT_THROW((void)answer->at(1).scalar<std::string>(), wrong_column);
        EXPECT_THROW((void)answer->at(1).scalar<uuid>(), wrong_column);
        EXPECT_THROW((void)answer->at(1).only().get<int>(1), wrong_column);
        EXPECT_THROW((void)answer->at(1).only().get<int>("nope"), wrong_column);
        EXPECT_THROW((void)answer->at(2).only(), wrong_column);
        EXPECT_THROW((void)answer->at(3).scalar<std::int64_t>(), wrong_column);
        co_await pool_.close(soon());
    });
}

TEST_P(pg_value, the_same_statement_with_other_types_is_another_statement) {
    run([this]() -> awaitable<void> {
        for (int round = 0; round < 3; ++round) {
            co_await round_trip<std::int32_t>(5, 5, "5");
            co_await round_trip<std::int64_t>(std::int64_t{6}, 6, "6");
            co_await round_trip<std::string>("seven", "seven", "seven");
        }
        EXPECT_EQ(pool_.stats().prepares, 6U);
        co_await pool_.close(soon());
    });
}

}  // namespace
}  // namespace insula::pg::test_support
