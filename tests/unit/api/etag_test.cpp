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

}  // namespace
}  // namespace insula::api
