#include "insula/core/json.hpp"
#include "insula/core/text.hpp"

#include <gtest/gtest.h>

#include <limits>

using namespace insula;
using namespace std::string_view_literals;

namespace {

std::string as_json(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

}  // namespace

// The writer looks at eight bytes at a time: whatever stands at any place in such a group must be
// seen, and nothing else must be.
TEST(json_writer, treats_a_byte_alike_wherever_it_stands) {
    for (unsigned code = 0; code < 256; ++code) {
        const auto c = static_cast<char>(code);
        const auto alone = as_json({&c, 1});
        const auto escaped = alone.substr(1, alone.size() - 2);
        for (std::size_t size = 1; size <= 25; ++size) {
            for (std::size_t at = 0; at < size; ++at) {
                std::string text(size, '~');
                text[at] = c;
                const auto expected =
                    "\"" + std::string(at, '~') + escaped + std::string(size - at - 1, '~') + "\"";
                ASSERT_EQ(as_json(text), expected) << code << " at " << at << " of " << size;
            }
        }
    }
}

TEST(json_writer, escapes_neighbours_one_by_one) {
    EXPECT_EQ(as_json("\"\\\x1f\x7f !#[]~"), R"("\"\\\u001f\u007f !#[]~")");
    EXPECT_EQ(as_json("\x20\x1f\x20\x20\x20\x20\x20\x20"), "\" \\u001f      \"");
    EXPECT_EQ(as_json("!\"!!!!!!#\\####]]\x7e\x7f\x80"),
              "\"!\\\"!!!!!!#\\\\####]]~\\u007f\xef\xbf\xbd\"");
}

TEST(json_writer, puts_commas_and_colons) {
    std::string out;
    json_writer json(out);
    json.begin_object().member("a", 1).key("b").begin_array();
    json.value("x").value(true).null().begin_object().end_object().begin_array().end_array();
    json.end_array().member("c", nullptr).end_object();
    EXPECT_EQ(out, R"({"a":1,"b":["x",true,null,{},[]],"c":null})");
}

TEST(json_writer, writes_every_kind_of_value) {
    const auto id = tenant_id::parse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").value();
    std::string out;
    json_writer json(out);
    json.begin_array();
    json.value(std::numeric_limits<std::int64_t>::min())
        .value(std::numeric_limits<std::uint64_t>::max());
    json.value(std::uint8_t{7})
        .value(-1)
        .value(0.1)
        .value(1e300)
        .value(std::numeric_limits<double>::infinity());
    json.value(id).value(id.value()).value(timestamp()).value(std::string("s")).value("c");
    json.value(std::optional<int>())
        .value(std::optional<tenant_id>(id))
        .value(slug::parse("acme").value());
    json.value(email_address::parse("a@b").value())
        .raw("{\"r\":1}")
        .value(boost::json::value{1, "two"});
    json.end_array();
    EXPECT_EQ(
        out,
        "[-9223372036854775808,18446744073709551615,7,-1,0.1,1e+300,null,"
        "\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\","
        "\"1970-01-01T00:00:00.000000Z\",\"s\",\"c\",null,\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\","
        "\"acme\",\"a@b\",{\"r\":1},[1,\"two\"]]");
}

TEST(json_writer, ready_members_join_the_others) {
    std::string out;
    json_writer(out)
        .begin_object()
        .raw_members("")
        .member("a", 1)
        .raw_members("\"b\":2")
        .member("c", 3)
        .end_object();
    EXPECT_EQ(out, R"({"a":1,"b":2,"c":3})");
}

TEST(json_writer, escapes_what_must_be_escaped) {
    EXPECT_EQ(as_json("a\"b\\c/d"), R"("a\"b\\c/d")");
    EXPECT_EQ(as_json("\n\r\t\b\f\x1b\x01\x7f\0"sv),
              R"("\n\r\t\u0008\u000c\u001b\u0001\u007f\u0000")");
    EXPECT_EQ(as_json("é€😀"), "\"é€😀\"");
    EXPECT_EQ(as_json("\xe2\x80\xa8\xe2\x80\xa9"), R"("\u2028\u2029")");
    EXPECT_EQ(as_json(""), "\"\"");
}

TEST(json_writer, never_writes_invalid_utf8) {
    EXPECT_EQ(as_json("a\xff"
                      "b"),
              "\"a\xef\xbf\xbd"
              "b\"");
    EXPECT_EQ(as_json("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    EXPECT_EQ(as_json("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    for (int byte = 0; byte < 256; ++byte) {
        for (int next = 0; next < 256; ++next) {
            const std::string text{static_cast<char>(byte), static_cast<char>(next)};
            const auto parsed = parse_json(as_json(text));
            ASSERT_TRUE(parsed) << byte << " " << next;
            if (valid_utf8(text)) {
                ASSERT_EQ(std::string_view(parsed->as_string()), text);
            }
        }
    }
}
