#include "api/idempotency.hpp"

#include <gtest/gtest.h>

namespace insula::api {
namespace {

constexpr timestamp noon{std::chrono::microseconds(1'700'000'000'123'456)};

creation_answer sample(std::string_view name) {
    creation_answer one{
        .status = 201, .location = "/api/v1/things/1", .etag = "\"v1\"", .body = {}};
    json_writer out(one.body);
    out.begin_object().member("name", name);
    out.key("created_at").raw(created_at_mark).key("updated_at").raw(created_at_mark);
    out.end_object();
    return one;
}

TEST(creation_answer, comes_back_from_the_store_as_it_went) {
    const auto first = sample("a \"name\"\nwith lines");
    const auto again = creation_answer::parse(first.stored());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->status, first.status);
    EXPECT_EQ(again->location, first.location);
    EXPECT_EQ(again->etag, first.etag);
    EXPECT_EQ(again->body, first.body);
    EXPECT_EQ(std::string(again->at(noon).body()), std::string(first.at(noon).body()));
    EXPECT_EQ(again->at(noon).fields(), first.at(noon).fields());
}

TEST(creation_answer, has_the_time_of_its_transaction_wherever_it_belongs) {
    const auto made = sample("x").at(noon);
    EXPECT_EQ(made.body(),
              "{\"name\":\"x\",\"created_at\":\"2023-11-14T22:13:20.123456Z\","
              "\"updated_at\":\"2023-11-14T22:13:20.123456Z\"}");
    EXPECT_EQ(made.status(), 201U);
    EXPECT_NE(made.fields().find("Location: /api/v1/things/1"), std::string_view::npos);
    EXPECT_NE(made.fields().find("ETag: \"v1\""), std::string_view::npos);
}

TEST(creation_answer, no_text_of_a_client_is_taken_for_the_mark) {
    const auto made = sample(created_at_mark).at(noon);
    EXPECT_TRUE(made.body().starts_with("{\"name\":\"\\\"\\u0001\\\"\",")) << made.body();
}

TEST(creation_answer, a_time_so_long_after_the_first) {
    creation_answer one{.status = 201, .location = "/x", .body = {}};
    json_writer out(one.body);
    out.begin_object().key("created_at").raw(created_at_mark);
    out.key("expires_at").raw(time_mark(std::chrono::hours(48)));
    out.key("due").raw(time_mark(std::chrono::seconds(1))).end_object();
    const auto again = creation_answer::parse(one.stored());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->at(noon).body(), R"({"created_at":")" + rfc3339(noon) + R"(","expires_at":")" +
                                          rfc3339(noon + std::chrono::hours(48)) + R"(","due":")" +
                                          rfc3339(noon + std::chrono::seconds(1)) + R"("})");
}

TEST(creation_answer, without_an_etag_there_is_none) {
    auto plain = sample("x");
    plain.etag.clear();
    const auto again = creation_answer::parse(plain.stored());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->at(noon).fields().find("ETag"), std::string_view::npos);
}

TEST(creation_answer, what_is_none_is_refused) {
    for (const auto* text : {"", "201", "201\n/x\n", "x\n/x\n\n{}"}) {
        EXPECT_FALSE(creation_answer::parse(text)) << text;
    }
}

}  // namespace
}  // namespace insula::api
