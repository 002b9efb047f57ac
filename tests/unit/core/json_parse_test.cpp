#include "insula/core/json.hpp"

#include <gtest/gtest.h>

#include <chrono>

using namespace insula;
using namespace std::string_view_literals;

namespace {

std::string why_not(std::string_view text) {
    const auto parsed = parse_json(text);
    if (parsed) {
        return "accepted";
    }
    EXPECT_TRUE(parsed.error() == errc::malformed_json);
    return std::string(parsed.error().detail());
}

std::string nested(std::size_t depth, char open, char close) {
    return std::string(depth, open) + std::string(depth, close);
}

}  // namespace

TEST(parse_json, takes_any_value_of_rfc_8259) {
    for (const std::string_view good :
         {"{}", "[]", "null", "true", "0", "-0", "1.5e3", "\"x\"", " {\"a\" : [1, 2 , {}]} \n",
          R"("\u00e9\ud83d\ude00\/\b\f\n\r\t\\\"")", "\"\xf0\x9f\x98\x80\"",
          "18446744073709551615"}) {
        EXPECT_TRUE(parse_json(good)) << good;
    }
    EXPECT_EQ(parse_json(R"("\ud83d\ude00")")->as_string(), "😀");
    EXPECT_EQ(parse_json(R"("a\u0000b")")->as_string().size(), 3U);
}

TEST(parse_json, refuses_broken_syntax) {
    for (const auto bad : {""sv,
                           " "sv,
                           "{"sv,
                           "}"sv,
                           "[1,]"sv,
                           "{\"a\":1,}"sv,
                           "{a:1}"sv,
                           "{'a':1}"sv,
                           "[1 2]"sv,
                           "01"sv,
                           "+1"sv,
                           ".5"sv,
                           "1."sv,
                           "1e"sv,
                           "- 1"sv,
                           "NaN"sv,
                           "Infinity"sv,
                           "nul"sv,
                           "tru"sv,
                           "\"a"sv,
                           "\"a\nb\""sv,
                           "\"\\x\""sv,
                           "\"\\u12\""sv,
                           "// c\n1"sv,
                           "/* c */1"sv,
                           "1 1"sv,
                           "{} x"sv,
                           "[]]"sv,
                           "\xef\xbb\xbf{}"sv,
                           "{\"a\"}"sv,
                           "{\"a\":}"sv,
                           "{1:2}"sv,
                           "\0"sv,
                           "{}\0"sv,
                           "0x10"sv,
                           "\"\t\""sv}) {
        EXPECT_NE(why_not(bad), "accepted") << bad;
    }
}

TEST(parse_json, refuses_invalid_utf8_and_lone_surrogates) {
    for (const auto bad :
         {"\"\xff\""sv, "\"\xc0\x80\""sv, "\"\xed\xa0\x80\""sv, "\"\xf4\x90\x80\x80\""sv,
          "\"\xe2\x82\""sv, R"("\ud800")"sv, R"("\udc00")"sv, R"("\ud800\u0041")"sv,
          R"("\ud800\ud800")"sv, R"("\udc00\ud800")"sv, R"({"\ud800":1})"sv, "{\"\xff\":1}"sv}) {
        EXPECT_NE(why_not(bad), "accepted") << bad;
    }
}

TEST(parse_json, refuses_duplicate_members_at_any_depth) {
    for (const std::string_view bad :
         {R"({"a":1,"a":1})", R"({"a":1,"b":2,"a":3})", R"([{"x":{"a":1,"a":2}}])",
          R"({"a":{"b":1},"a":{"b":1}})", R"({"\u0061":1,"a":2})", R"({"":1,"":2})",
          R"({"a":[1,2],"a":null})"}) {
        EXPECT_EQ(why_not(bad),
                  "The body is not acceptable JSON: an object has two members of the same name.")
            << bad;
    }
    EXPECT_TRUE(parse_json(R"({"a":1,"A":2,"b":{"a":1},"c":[{"a":1},{"a":1}]})"));
    // Beyond the size from which Boost.JSON uses a hash table.
    std::string many = "{";
    for (int i = 0; i < 100; ++i) {
        many += "\"k" + std::to_string(i) + "\":0,";
    }
    EXPECT_TRUE(parse_json(many + "\"z\":0}"));
    EXPECT_FALSE(parse_json(many + "\"k7\":0}"));
}

TEST(parse_json, goes_32_levels_deep_and_no_further) {
    EXPECT_TRUE(parse_json(nested(32, '[', ']')));
    EXPECT_NE(why_not(nested(33, '[', ']')).find("nested too deeply"), std::string::npos);
    EXPECT_NE(why_not(std::string(1 << 20, '[')).find("nested too deeply"), std::string::npos);
    std::string objects;
    for (int i = 0; i < 33; ++i) {
        objects += "{\"a\":";
    }
    EXPECT_NE(why_not(objects).find("nested too deeply"), std::string::npos);
    EXPECT_TRUE(parse_json("[[1]]", {2, 10}));
    EXPECT_FALSE(parse_json("[[[1]]]", {2, 10}));
}

TEST(parse_json, survives_huge_numbers) {
    EXPECT_TRUE(parse_json("99999999999999999999999999"));
    EXPECT_TRUE(parse_json(std::string(1 << 16, '9').insert(0, "0.")));
    for (const std::string text : {"1e400", "-1e400", "1e99999999999999999999", "[1E+999999]"}) {
        EXPECT_NE(why_not(text), "accepted") << text;
    }
    (void)parse_json(std::string(1 << 20, '9'));
    (void)parse_json("1e-99999999999999999999");
    (void)parse_json("-" + std::string(400, '1') + "." + std::string(400, '1') + "e-500");
}

TEST(parse_json, bounds_the_members_of_one_object) {
    const auto object_of = [](int members) {
        std::string text = "{";
        for (int i = 0; i < members; ++i) {
            text += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
        }
        return text + "}";
    };
    EXPECT_TRUE(parse_json(object_of(256)));
    EXPECT_NE(why_not(object_of(257)).find("too many members"), std::string::npos);
}

TEST(parse_json, takes_time_linear_in_the_size_of_the_text) {
    // The slowest shapes of a megabyte; a quadratic parser takes minutes for each.
    const auto started = std::chrono::steady_clock::now();
    std::string same = "{\"a\":0";
    std::string objects = "[{}";
    std::string escapes = "\"";
    std::string items = "[0";
    while (same.size() < (1 << 20)) {
        same += ",\"a\":0";
        objects += ",{\"a\":0}";
        escapes += "\\u00e9";
        items += ",[0]";
    }
    (void)parse_json(same + "}");
    EXPECT_TRUE(parse_json(objects + "]"));
    EXPECT_TRUE(parse_json(escapes + "\""));
    EXPECT_TRUE(parse_json(items + "]"));
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(20));
}

TEST(parse_json, the_tree_outlives_the_text) {
    json_document tree;
    {
        std::string text = R"({"a":["a string that is long enough to live on the heap"]})";
        tree = *parse_json(text);
        text.assign(text.size(), 'x');
    }
    EXPECT_EQ(to_json_text(tree), R"({"a":["a string that is long enough to live on the heap"]})");
}
