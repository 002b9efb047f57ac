#include "http/target.hpp"

#include "insula/http/query.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace insula::http {
namespace {

using namespace std::string_literals;

struct path_case {
    const char* raw;
    path_verdict verdict;
    std::string path;
};

TEST(http_target, G64_a_path_has_one_canonical_form) {
    constexpr auto ok = path_verdict::ok;
    constexpr auto bad = path_verdict::malformed;
    constexpr auto none = path_verdict::names_nothing;
    const path_case cases[] = {
        {"/", ok, "/"},
        {"/a/b", ok, "/a/b"},
        {"/%61%2d", ok, "/a-"},
        {"/caf%C3%A9", ok, "/caf\xc3\xa9"},
        {"/a%2525", ok, "/a%25"},  // decoded once, never twice
        {"/%252e%252e/a", ok, "/%2e%2e/a"},
        {"/.well-known/a", ok, "/.well-known/a"},
        {"/...", ok, "/..."},
        {"/a+b", ok, "/a+b"},
        {"//a", none, ""},
        {"/a//b", none, ""},
        {"/a/", none, ""},
        {"/a/.", none, ""},
        {"/a/./b", none, ""},
        {"/a/../b", none, ""},
        {"/..", none, ""},
        {"/%2e%2e/a", none, ""},
        {"/%2E/a", none, ""},
        {"/a%2fb", none, ""},
        {"/a%2Fb", none, ""},
        {"/a%5cb", none, ""},
        {"/a\\b", none, ""},
        {"/a%", bad, ""},
        {"/a%2", bad, ""},
        {"/a%zz", bad, ""},
        {"/a%00", bad, ""},
        {"/a%0d%0a", bad, ""},
        {"/a%7f", bad, ""},
        {"/%c0%af", bad, ""},
        {"/%ff", bad, ""},
    };
    std::string storage;
    for (const auto& c : cases) {
        std::string_view path;
        const auto verdict = canonical_path(c.raw, storage, path);
        EXPECT_EQ(verdict, c.verdict) << c.raw;
        if (verdict == path_verdict::ok)
            EXPECT_EQ(path, c.path) << c.raw;
    }
}

TEST(http_target, splits_the_forms_of_rfc9112) {
    const auto origin = split("/a/b?c=d?e", false);
    EXPECT_EQ(origin.form, target_form::origin);
    EXPECT_EQ(origin.path, "/a/b");
    EXPECT_EQ(origin.query, "c=d?e");
    const auto absolute = split("HTTP://example.org:80/x?y", false);
    EXPECT_EQ(absolute.path, "/x");
    EXPECT_EQ(absolute.query, "y");
    EXPECT_EQ(split("http://a", false).path, "/");
    EXPECT_EQ(split("http://a?q", false).query, "q");
    EXPECT_EQ(split("*", true).form, target_form::asterisk);
    EXPECT_EQ(split("*", false).form, target_form::malformed);
    EXPECT_EQ(split("a:80", true).form, target_form::malformed);
}

TEST(http_query, decodes_names_and_values_once) {
    query_string q;
    ASSERT_TRUE(q.parse("limit=5&q=a+b%2Bc&empty&=x&%63=%2526&&"));
    EXPECT_EQ(q.find("limit"), "5");
    EXPECT_EQ(q.find("q"), "a b+c");
    EXPECT_EQ(q.find("empty"), "");
    EXPECT_EQ(q.find("c"), "%26");
    EXPECT_EQ(q.find("absent"), std::nullopt);
    EXPECT_EQ(q.size(), 5u);
    ASSERT_TRUE(q.parse(""));
    EXPECT_EQ(q.size(), 0u);
}

TEST(http_query, refuses_a_name_given_twice_however_it_is_written) {
    query_string q;
    for (const char* text : {"limit=1&limit=2", "limit=1&%6Cimit=1", "limit&a=b&limit"}) {
        const auto r = q.parse(text);
        ASSERT_FALSE(r) << text;
        EXPECT_EQ(r.error().code(), errc::validation_failed);
        ASSERT_EQ(r.error().fields().size(), 1u);
        EXPECT_EQ(r.error().fields()[0].pointer, "query/limit");
    }
    const auto odd = q.parse("%3Cscript%3E=1&%3Cscript%3E=2");
    ASSERT_FALSE(odd);
    EXPECT_EQ(odd.error().fields()[0].pointer, "query");  // the client's text is not repeated
}

TEST(http_query, refuses_what_is_no_text) {
    query_string q;
    for (const char* text : {"a=%", "a=%1", "a=%gg", "a=%00", "a=%ff", "%c0%80=1"}) {
        const auto r = q.parse(text);
        ASSERT_FALSE(r) << text;
        EXPECT_EQ(r.error().code(), errc::malformed_request) << text;
    }
}

TEST(http_query, G65_bounds_the_number_of_parameters) {
    query_string q;
    std::string text;
    for (std::size_t i = 0; i < query_string::parameters_max; ++i)
        text += "p" + std::to_string(i) + "&";
    EXPECT_TRUE(q.parse(text));
    EXPECT_FALSE(q.parse(text + "one_more"));
}

}  // namespace
}  // namespace insula::http
