#include "api/etag.hpp"

#include <gtest/gtest.h>

namespace insula::api {
namespace {

http::request request_with(std::vector<http::field>& fields) {
    http::request r;
    r.fields = fields;
    return r;
}

std::optional<if_match> read(std::string_view value) {
    std::vector<http::field> fields{{"If-Match", value}};
    return read_if_match(request_with(fields)).value();
}

TEST(if_match, absent_is_no_condition) {
    std::vector<http::field> none;
    EXPECT_FALSE(read_if_match(request_with(none)).value().has_value());
}

TEST(if_match, a_star_means_any_version) {
    EXPECT_TRUE(read("*")->any);
}

TEST(if_match, reads_one_tag_and_lists) {
    EXPECT_EQ(read("\"v1\"")->versions, std::vector<std::int32_t>{1});
    EXPECT_EQ(read("\"v1\" , \"v22\",")->versions, (std::vector<std::int32_t>{1, 22}));
    std::vector<http::field> two{{"If-Match", "\"v3\""}, {"if-match", "\"v4\""}};
    EXPECT_EQ(read_if_match(request_with(two)).value()->versions,
              (std::vector<std::int32_t>{3, 4}));
}

TEST(if_match, weak_and_foreign_tags_match_nothing) {
    for (const auto* text : {"W/\"v1\"", "\"\"", "\"v0\"", "\"v01\"", "\"1\"", "\"v99999999999\"",
                             "\"v1x\"", "\"v-1\"", "\"a, b\""}) {
        const auto condition = read(text);
        ASSERT_TRUE(condition) << text;
        EXPECT_FALSE(condition->any);
        EXPECT_TRUE(condition->versions.empty()) << text;
    }
}

TEST(if_match, what_is_no_list_of_tags_is_refused) {
    for (const auto* text : {"v1", "\"v1", "\"v1\" \"v2\"", "", ",", "*, \"v1\"", "w/\"v1\""}) {
        std::vector<http::field> fields{{"If-Match", text}};
        const auto answer = read_if_match(request_with(fields));
        ASSERT_FALSE(answer) << text;
        EXPECT_EQ(answer.error().code(), errc::malformed_request);
    }
}

TEST(not_modified, compares_weakly) {
    const auto check = [](std::string_view value) {
        std::vector<http::field> fields{{"If-None-Match", value}};
        return not_modified(request_with(fields), 2);
    };
    EXPECT_TRUE(check("\"v2\""));
    EXPECT_TRUE(check("W/\"v2\""));
    EXPECT_TRUE(check("\"v1\", \"v2\""));
    EXPECT_TRUE(check("*"));
    EXPECT_FALSE(check("\"v1\""));
    EXPECT_FALSE(check("v2"));
}

TEST(answer_tagged, is_not_modified_when_row_and_body_are_the_same) {
    const auto answered = [](std::string value, const char* body, int version = 2,
                             http::method how = http::method::get) {
        std::vector<http::field> fields{{"If-None-Match", value}};
        auto r = request_with(fields);
        r.method = how;
        return answer_tagged(r, version, body);
    };
    const auto tag_of = [](const http::response& answer) {
        const auto from = answer.fields().find("ETag: ") + 6;
        return std::string(answer.fields().substr(from, answer.fields().find("\r\n", from) - from));
    };
    const auto first = answered("\"v2\"", "{1}");
    EXPECT_EQ(first.status(), 200U);
    const auto tag = tag_of(first);
    EXPECT_TRUE(tag.starts_with("\"v2-")) << tag;
    EXPECT_EQ(answered(tag, "{1}").status(), 304U);
    EXPECT_EQ(tag_of(answered("W/" + tag, "{1}")), tag);
    EXPECT_EQ(answered(tag, "{1}", 2, http::method::head).status(), 304U);
    EXPECT_EQ(answered(tag, "{1}", 2, http::method::patch).status(), 200U);
    EXPECT_EQ(answered(tag, "{2}").status(), 200U);
    EXPECT_EQ(answered(tag, "{1}", 3).status(), 200U);
    EXPECT_EQ(read(tag)->versions, std::vector<std::int32_t>{2}) << "If-Match is about the row";
}

}  // namespace
}  // namespace insula::api
