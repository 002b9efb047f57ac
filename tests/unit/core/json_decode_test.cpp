#include "insula/core/ids.hpp"
#include "insula/core/json.hpp"

#include <boost/describe.hpp>

#include <gtest/gtest.h>

#include <algorithm>

using namespace insula;

namespace {

enum class role { owner, admin, member };
BOOST_DESCRIBE_ENUM(role, owner, admin, member)

struct address {
    std::string street;
    std::optional<std::uint16_t> number;
};
BOOST_DESCRIBE_STRUCT(address, (), (street, number))

struct everything {
    email_address email;
    password_text password;
    slug alias;
    tenant_id id;
    role level = role::member;
    bool active = false;
    std::int8_t small = 0;
    std::uint64_t large = 0;
    double ratio = 0;
    timestamp at;
    address home;
    std::vector<address> others;
    std::optional<person_name> nick;
    patch_field<description> text;
    secret_string token;
};
BOOST_DESCRIBE_STRUCT(everything, (),
                      (email, password, alias, id, level, active, small, large, ratio, at, home,
                       others, nick, text, token))

struct rename_request {
    std::optional<project_name> name;
    patch_field<description> text;
};
BOOST_DESCRIBE_STRUCT(rename_request, (), (name, text))

struct numbers {
    std::optional<std::int8_t> i8;
    std::optional<std::uint8_t> u8;
    std::optional<std::int64_t> i64;
    std::optional<std::uint64_t> u64;
};
BOOST_DESCRIBE_STRUCT(numbers, (), (i8, u8, i64, u64))

struct plain {
    std::string text;
};
BOOST_DESCRIBE_STRUCT(plain, (), (text))

struct base_part {
    int a = 0;
};
BOOST_DESCRIBE_STRUCT(base_part, (), (a))
struct derived_part : base_part {
    int b = 0;
};
BOOST_DESCRIBE_STRUCT(derived_part, (base_part), (b))

struct free_form {
    json::value any;
    json::object object;
};
BOOST_DESCRIBE_STRUCT(free_form, (), (any, object))

struct empty_request {};
BOOST_DESCRIBE_STRUCT(empty_request, (), ())

template <class T>
result<T> decode_text(std::string_view text) {
    const auto tree = parse_json(text);
    EXPECT_TRUE(tree) << text;
    return decode<T>(*tree);
}

// "pointer code" of every field error, sorted.
template <class T>
std::vector<std::string> problems(std::string_view text) {
    const auto decoded = decode_text<T>(text);
    std::vector<std::string> found;
    if (!decoded) {
        const auto e = decoded.error();
        EXPECT_TRUE(e == errc::validation_failed);
        for (const auto& field : e.fields()) {
            found.push_back(field.pointer + " " + field.code);
            EXPECT_FALSE(field.detail.empty());
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

using list = std::vector<std::string>;

constexpr std::string_view good = R"({
    "email":"A@example.com","password":"correct horse","alias":"acme",
    "id":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f","level":"admin","active":true,"small":-128,
    "large":18446744073709551615,"ratio":2,"at":"2026-01-01T00:00:00Z",
    "home":{"street":"x","number":7},"others":[{"street":"y"},{"street":"z","number":65535}],
    "text":null,"token":"t"})";

}  // namespace

TEST(decode, fills_every_kind_of_member) {
    const auto decoded = decode_text<everything>(good);
    ASSERT_TRUE(decoded) << decoded.error().describe();
    const auto& v = *decoded;
    EXPECT_EQ(v.email.canonical(), "a@example.com");
    EXPECT_EQ(v.password.view(), "correct horse");
    EXPECT_EQ(v.alias.str(), "acme");
    EXPECT_EQ(v.id.str(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    EXPECT_EQ(v.level, role::admin);
    EXPECT_TRUE(v.active);
    EXPECT_EQ(v.small, -128);
    EXPECT_EQ(v.large, std::numeric_limits<std::uint64_t>::max());
    EXPECT_EQ(v.ratio, 2.0);
    EXPECT_EQ(rfc3339(v.at), "2026-01-01T00:00:00.000000Z");
    EXPECT_EQ(v.home.number, 7);
    ASSERT_EQ(v.others.size(), 2U);
    EXPECT_FALSE(v.others[0].number);
    EXPECT_EQ(v.others[1].number, 65535);
    EXPECT_FALSE(v.nick);
    EXPECT_TRUE(v.text.is_null());
    EXPECT_EQ(v.token.view(), "t");
}

TEST(decode, reports_all_field_errors_at_once) {
    EXPECT_EQ(problems<everything>(R"({
        "email":"nobody","password":"short","alias":"Admin","id":"7","level":"king","active":"yes",
        "small":128,"large":-1,"ratio":"2","at":"yesterday","home":{"street":1,"number":70000,"zip":1},
        "others":[{"street":"y"},7,{"number":"x"}],"nick":null,"text":5,"extra":1})"),
              (list{"/active wrong_type",
                    "/alias invalid_slug",
                    "/at invalid_time",
                    "/email invalid_email",
                    "/extra unknown_member",
                    "/home/number out_of_range",
                    "/home/street wrong_type",
                    "/home/zip unknown_member",
                    "/id invalid_id",
                    "/large out_of_range",
                    "/level invalid_choice",
                    "/nick wrong_type",
                    "/others/1 wrong_type",
                    "/others/2/number wrong_type",
                    "/others/2/street required",
                    "/password too_short",
                    "/ratio wrong_type",
                    "/small out_of_range",
                    "/text wrong_type",
                    "/token required"}));
}

TEST(decode, names_every_missing_member) {
    const auto found = problems<everything>("{}");
    EXPECT_EQ(found.size(), 13U);
    EXPECT_EQ(found.front(), "/active required");
}

TEST(decode, a_root_of_another_type_is_wrong_at_the_empty_pointer) {
    for (const std::string_view text : {"null", "[]", "1", "\"x\"", "true"}) {
        EXPECT_EQ(problems<plain>(text), (list{" wrong_type"})) << text;
    }
}

TEST(decode, escapes_pointers_as_rfc_6901_says) {
    EXPECT_EQ(problems<empty_request>(R"({"a/b":1,"m~n":2,"":3,"~1":4})"),
              (list{"/ unknown_member", "/a~1b unknown_member", "/m~0n unknown_member",
                    "/~01 unknown_member"}));
}

TEST(decode, tells_absent_null_and_value_apart) {
    const auto nothing = decode_text<rename_request>("{}").value();
    EXPECT_FALSE(nothing.name);
    EXPECT_TRUE(nothing.text.absent());
    EXPECT_FALSE(nothing.text.is_null());
    const auto cleared = decode_text<rename_request>(R"({"text":null})").value();
    EXPECT_TRUE(cleared.text.is_null());
    EXPECT_FALSE(cleared.text.has_value());
    EXPECT_FALSE(cleared.text.as_optional());
    const auto set = decode_text<rename_request>(R"({"name":" n ","text":"t"})").value();
    EXPECT_EQ(set.name->str(), "n");
    EXPECT_EQ(set.text->str(), "t");
    EXPECT_EQ(set.text.value().str(), "t");
    EXPECT_EQ(problems<rename_request>(R"({"name":null})"), (list{"/name wrong_type"}));
}

TEST(decode, integers_are_checked_against_their_range) {
    const auto edge = decode_text<numbers>(
        R"({"i8":127,"u8":255,"i64":-9223372036854775808,"u64":18446744073709551615})");
    ASSERT_TRUE(edge);
    EXPECT_EQ(edge->i64, std::numeric_limits<std::int64_t>::min());
    EXPECT_EQ(
        problems<numbers>(R"({"i8":-129,"u8":256,"i64":9223372036854775808,"u64":-1})"),
        (list{"/i64 out_of_range", "/i8 out_of_range", "/u64 out_of_range", "/u8 out_of_range"}));
    EXPECT_EQ(
        problems<numbers>(
            R"({"i8":1.5,"u8":1e300,"i64":99999999999999999999999,"u64":18446744073709551616})"),
        (list{"/i64 out_of_range", "/i8 out_of_range", "/u64 out_of_range", "/u8 out_of_range"}));
    EXPECT_EQ(problems<numbers>(R"({"i8":"1","u8":true,"i64":[1],"u64":null})"),
              (list{"/i64 wrong_type", "/i8 wrong_type", "/u64 wrong_type", "/u8 wrong_type"}));
}

TEST(decode, a_plain_text_may_not_hold_what_postgresql_cannot) {
    EXPECT_EQ(problems<plain>(R"({"text":"a\u0000b"})"), (list{"/text null_character"}));
    EXPECT_EQ(decode_text<plain>(R"({"text":""})").value().text, "");
}

TEST(decode, follows_base_classes) {
    const auto decoded = decode_text<derived_part>(R"({"a":1,"b":2})").value();
    EXPECT_EQ(decoded.a, 1);
    EXPECT_EQ(decoded.b, 2);
    EXPECT_EQ(problems<derived_part>("{}"), (list{"/a required", "/b required"}));
}

TEST(decode, free_form_members_outlive_the_document) {
    result<free_form> decoded = errc::internal;
    {
        const auto tree = parse_json(R"({"any":[1,"two"],"object":{"k":null}})");
        decoded = decode<free_form>(*tree);
    }
    ASSERT_TRUE(decoded);
    EXPECT_EQ(to_json_text(decoded->any), R"([1,"two"])");
    EXPECT_TRUE(decoded->object.at("k").is_null());
}

TEST(decode, bounds_its_own_answer) {
    std::string text = "{";
    for (int i = 0; i < 200; ++i) {
        text += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
    }
    EXPECT_EQ(problems<empty_request>(text + "}").size(), 64U);
    const auto long_name = problems<empty_request>("{\"" + std::string(100'000, 'x') + "\":1}");
    ASSERT_EQ(long_name.size(), 1U);
    EXPECT_LT(long_name[0].size(), 200U);
    std::string items = R"({"email":"a@b","others":[0)";
    for (int i = 0; i < 1000; ++i) {
        items += ",0";
    }
    const auto found = problems<everything>(items + "]}");
    EXPECT_NE(std::find(found.begin(), found.end(), "/others too_many_items"), found.end());
}

TEST(decode, never_repeats_a_value) {
    const auto decoded =
        decode_text<everything>(R"({"password":"hunter2","token":7,"level":"canary"})");
    const auto e = decoded.error();
    for (const auto& field : e.fields()) {
        EXPECT_EQ(field.detail.find("hunter2"), std::string::npos);
        EXPECT_EQ(field.detail.find("canary"), std::string::npos);
    }
}

TEST(decode_parameter, names_the_parameter) {
    EXPECT_EQ(decode_parameter<role>("owner", "query/role").value(), role::owner);
    const auto refused = decode_parameter<tenant_id>("x", "query/tenant_id").error();
    ASSERT_EQ(refused.fields().size(), 1U);
    EXPECT_EQ(refused.fields()[0].pointer, "query/tenant_id");
    EXPECT_EQ(refused.fields()[0].code, "invalid_id");
}

TEST(decode_parameter, integers_have_bounds_and_no_other_spelling) {
    EXPECT_EQ(decode_integer_parameter("50", "query/limit", 1, 100).value(), 50);
    EXPECT_EQ(decode_integer_parameter("-5", "q", -10, 100).value(), -5);
    for (const std::string_view bad : {"", "x", "5x", " 5", "5 ", "+5", "0x5", "5.0", "--5", "-"}) {
        const auto refused = decode_integer_parameter(bad, "query/limit", 1, 100);
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(refused.error().fields()[0].code, "wrong_type") << bad;
    }
    for (const std::string_view bad : {"0", "101", "-1", "99999999999999999999999"}) {
        const auto refused = decode_integer_parameter(bad, "query/limit", 1, 100);
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(refused.error().fields()[0].code, "out_of_range") << bad;
    }
}

TEST(schema_of, says_what_decode_accepts) {
    EXPECT_EQ(
        to_json_text(schema_of<rename_request>()),
        R"({"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":200},)"
        R"("text":{"type":["string","null"],"maxLength":1000}},"additionalProperties":false})");
    const auto schema = schema_of<everything>();
    const auto& properties = schema.at("properties").as_object();
    EXPECT_EQ(properties.size(), 15U);
    EXPECT_EQ(schema.at("required").as_array().size(), 13U);
    EXPECT_EQ(to_json_text(properties.at("level")),
              R"({"type":"string","enum":["owner","admin","member"]})");
    EXPECT_EQ(to_json_text(properties.at("id")), R"({"type":"string","format":"uuid"})");
    EXPECT_EQ(to_json_text(properties.at("small")),
              R"({"type":"integer","minimum":-128,"maximum":127})");
    EXPECT_EQ(properties.at("others").at("items").at("required").as_array().size(), 1U);
    EXPECT_EQ(to_json_text(schema_of<std::vector<bool>>().at("items")), R"({"type":"boolean"})");
    EXPECT_EQ(to_json_text(schema_of<patch_field<role>>()),
              R"({"type":["string","null"],"enum":["owner","admin","member",null]})");
}
