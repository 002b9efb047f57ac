#include "insula/core/values.hpp"

#include "insula/core/text.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <gtest/gtest.h>

#include <algorithm>

using namespace insula;
using namespace std::string_view_literals;

namespace {

template <class T>
std::string code_of(std::string_view text) {
    const auto parsed = T::parse(text);
    return parsed ? "ok" : parsed.error().code;
}

std::string canonical(std::string_view text) {
    const auto parsed = email_address::parse(text);
    return parsed ? parsed->canonical() : "refused: " + parsed.error().code;
}

}  // namespace

TEST(email, keeps_what_was_typed_and_compares_one_form) {
    const auto email = email_address::parse("Alice.Smith+News@Example.COM").value();
    EXPECT_EQ(email.str(), "Alice.Smith+News@Example.COM");
    EXPECT_EQ(email.canonical(), "alice.smith+news@example.com");
    EXPECT_EQ(email.local_part(), "alice.smith+news");
    EXPECT_EQ(email.domain(), "example.com");
    EXPECT_TRUE(email == email_address::parse("alice.smith+NEWS@example.com").value());
    EXPECT_FALSE(email == email_address::parse("bob@example.com").value());
    EXPECT_TRUE(email_address().empty());
}

TEST(email, look_alike_spellings_are_one_address) {
    EXPECT_EQ(canonical("ａｌｉｃｅ@ｅｘａｍｐｌｅ.ｃｏｍ"), "alice@example.com");
    EXPECT_EQ(canonical("ALICE@EXAMPLE.COM"), "alice@example.com");
    EXPECT_EQ(canonical("a\xc2\xadlice@example.com"), "alice@example.com") << "soft hyphen";
    EXPECT_EQ(canonical("ali\xe2\x80\x8b"
                        "ce@example.com"),
              "alice@example.com")
        << "zero width space";
    EXPECT_EQ(canonical("info@münchen.de"), "info@xn--mnchen-3ya.de");
    EXPECT_EQ(canonical("info@MÜNCHEN.de"), canonical("info@xn--mnchen-3ya.de"));
    EXPECT_EQ(canonical("jose\xcc\x81@example.com"), canonical("josé@example.com"));
    EXPECT_EQ(canonical("a@example。com"), "a@example.com");
    EXPECT_NE(canonical("a@straße.de"), canonical("a@strasse.de")) << "two domains since IDNA 2008";
}

TEST(email, the_canonical_form_is_its_own_canonical_form) {
    for (const std::string_view text :
         {"Ａlice@Example.com", "Straße@münchen.de", "a@b", "İ@x.de"}) {
        const auto once = canonical(text);
        EXPECT_EQ(canonical(once), once);
    }
}

TEST(email, accepts_every_common_form) {
    for (const std::string_view good :
         {"a@b", "root@localhost", "o'brien@example.com", "x_y-z@sub.example.co.uk", "1@2.com",
          "用户@例え.jp", "a!#$%&'*+-/=?^_`{|}~z@example.com"}) {
        EXPECT_EQ(code_of<email_address>(good), "ok") << good;
    }
}

TEST(email, refuses_what_is_not_one_address) {
    for (const auto bad : {"abc"sv,
                           "a@b@c"sv,
                           "a@@b"sv,
                           "@example.com"sv,
                           "alice@"sv,
                           "a b@example.com"sv,
                           " a@example.com"sv,
                           "a@example.com "sv,
                           "a@exa mple.com"sv,
                           "a\xc2\xa0"
                           "b@example.com"sv,
                           ".a@example.com"sv,
                           "a.@example.com"sv,
                           "a..b@example.com"sv,
                           "a@.com"sv,
                           "a@b..com"sv,
                           "a@example.com."sv,
                           "a@-example.com"sv,
                           "a@[127.0.0.1]"sv,
                           "a@exam_ple.com"sv,
                           "<a@example.com>"sv,
                           "Alice <a@example.com>"sv,
                           "a,b@example.com"sv,
                           "\"a b\"@example.com"sv,
                           "a\\b@example.com"sv,
                           "a;b@example.com"sv,
                           "a:b@example.com"sv,
                           "(c)a@example.com"sv,
                           "a＠example.com"sv,
                           "a＠b@example.com"sv,
                           "a@b＠c"sv,
                           "a@xn--a"sv,
                           "a\xc2\xb4@example.com"sv,
                           "\xe2\x80\x8b@example.com"sv,
                           "a@例 え.jp"sv,
                           "a﹫b@c.de"sv,
                           "a，b@c.de"sv}) {
        EXPECT_EQ(code_of<email_address>(bad), "invalid_email") << bad;
    }
}

TEST(email, refuses_control_characters_and_invalid_utf8) {
    for (const auto bad :
         {"a\0b@example.com"sv, "a\r\nBcc: x@example.com"sv, "a@example.com\n"sv,
          "a\x7f@example.com"sv, "a\xc2\x85@example.com"sv, "a\xe2\x80\xae@example.com"sv,
          "a\xe2\x80\xa8@example.com"sv, "\ta@example.com"sv}) {
        EXPECT_EQ(code_of<email_address>(bad), "control_character");
    }
    EXPECT_EQ(code_of<email_address>("a\xff@example.com"), "invalid_utf8");
    EXPECT_EQ(code_of<email_address>("a@\xc0\xaf.com"), "invalid_utf8");
    EXPECT_EQ(code_of<email_address>("\xed\xa0\x80@example.com"), "invalid_utf8");
}

TEST(email, has_3_to_254_characters) {
    EXPECT_EQ(code_of<email_address>(""), "too_short");
    EXPECT_EQ(code_of<email_address>("a@"), "too_short");
    EXPECT_EQ(code_of<email_address>("a@b"), "ok");
    const std::string domain = "@example.com";
    EXPECT_EQ(code_of<email_address>(std::string(254 - domain.size(), 'a') + domain), "ok");
    EXPECT_EQ(code_of<email_address>(std::string(255 - domain.size(), 'a') + domain), "too_long");
    EXPECT_EQ(code_of<email_address>(std::string(1 << 20, '@')), "too_long");
    std::string wide;
    for (int i = 0; i < 242; ++i) {
        wide += "é";
    }
    EXPECT_EQ(code_of<email_address>(wide + domain), "ok") << "characters, not bytes";
    EXPECT_EQ(code_of<email_address>(wide + "é" + domain), "too_long");
}

TEST(email, the_canonical_form_is_bounded_too) {
    // One character that folds to eighteen: two hundred of them would not fit a database index.
    std::string text;
    for (int i = 0; i < 200; ++i) {
        text += "\xef\xb7\xba";
    }
    EXPECT_NE(code_of<email_address>(text + "@example.com"), "ok");
    text.clear();
    for (int i = 0; i < 200; ++i) {
        text += "ﬃ";
    }
    EXPECT_EQ(code_of<email_address>(text + "@example.com"), "too_long");
}

TEST(slug, takes_groups_of_letters_and_digits_joined_by_single_hyphens) {
    for (const std::string_view good : {"a", "acme", "a1", "acme-corp", "a-1-b2",
                                        "x--"
                                        "y"}) {
        EXPECT_EQ(code_of<slug>(good), good == "x--y" ? "invalid_slug" : "ok") << good;
    }
    EXPECT_EQ(slug::parse("acme-corp").value().str(), "acme-corp");
    EXPECT_EQ(code_of<slug>(std::string(56, 'a')), "ok");
}

TEST(slug, G05_refuses_whatever_else_arrives) {
    for (const auto bad : {"1a"sv,
                           "-a"sv,
                           "a-"sv,
                           "a--b"sv,
                           "-"sv,
                           "A"sv,
                           "Acme"sv,
                           "a_b"sv,
                           "a.b"sv,
                           "a b"sv,
                           " a"sv,
                           "a "sv,
                           "acme\n"sv,
                           "acme\r\n"sv,
                           "\nacme"sv,
                           "ac\nme"sv,
                           "acme\0"sv,
                           "ac\0me"sv,
                           "\0"sv,
                           "acme'"sv,
                           "acme\""sv,
                           "a;drop schema t"sv,
                           "acme;--"sv,
                           "a$$b"sv,
                           "a$tag$b"sv,
                           "a/*b*/"sv,
                           "acme\\"sv,
                           "../etc"sv,
                           "a%00"sv,
                           "аcme"sv /* Cyrillic a */,
                           "ａcme"sv /* full width */,
                           "acm\xc3\xa9"sv,
                           "acme\xe2\x80\x8b"sv,
                           "a\xc2\xad"
                           "b"sv,
                           "acme\xff"sv,
                           "ⅰ"sv,
                           "１a"sv,
                           "a１"sv,
                           "t_0123"sv,
                           "pg_catalog"sv}) {
        EXPECT_EQ(code_of<slug>(bad), "invalid_slug") << bad;
    }
}

TEST(slug, has_1_to_56_characters) {
    EXPECT_EQ(code_of<slug>(""), "too_short");
    EXPECT_EQ(code_of<slug>(std::string(57, 'a')), "too_long");
    EXPECT_EQ(code_of<slug>(std::string(63, 'a')), "too_long");
    EXPECT_EQ(code_of<slug>(std::string(1 << 20, 'a')), "too_long");
}

TEST(slug, reserved_words_are_refused_and_every_one_would_else_be_a_slug) {
    for (const std::string_view word : {"admin", "api", "app", "auth", "www", "static", "public",
                                        "system", "insula", "health", "metrics"}) {
        EXPECT_EQ(code_of<slug>(word), "reserved") << word;
    }
    const auto words = slug::reserved_words();
    EXPECT_TRUE(std::is_sorted(words.begin(), words.end()));
    for (const auto word : words) {
        EXPECT_EQ(code_of<slug>(word), "reserved") << word;
    }
    EXPECT_EQ(code_of<slug>("admin-team"), "ok");
    EXPECT_EQ(code_of<slug>("admins"), "ok");
}

TEST(names, are_trimmed_and_have_1_to_100_characters) {
    EXPECT_EQ(person_name::parse("  Ada Lovelace\xc2\xa0 ").value().str(), "Ada Lovelace");
    EXPECT_EQ(code_of<person_name>(""), "too_short");
    EXPECT_EQ(code_of<person_name>(" \xe3\x80\x80 "), "too_short");
    EXPECT_EQ(code_of<tenant_name>(std::string(100, 'x')), "ok");
    EXPECT_EQ(code_of<tenant_name>(" " + std::string(100, 'x') + " "), "ok");
    EXPECT_EQ(code_of<tenant_name>(std::string(101, 'x')), "too_long");
    EXPECT_EQ(code_of<person_name>("a\nb"), "control_character");
    EXPECT_EQ(code_of<person_name>("a\0b"sv), "control_character");
    EXPECT_EQ(code_of<person_name>("a\xe2\x80\xae"
                                   "b"),
              "control_character");
    EXPECT_EQ(code_of<person_name>("\xff"), "invalid_utf8");
    EXPECT_EQ(code_of<project_name>(std::string(200, 'x')), "ok");
    EXPECT_EQ(code_of<project_name>(std::string(201, 'x')), "too_long");
}

TEST(names, show_something) {
    // Zero width space, byte order mark, soft hyphen, tag, Hangul filler, Braille blank.
    for (const auto bad :
         {"\xe2\x80\x8b", "\xef\xbb\xbf", "\xc2\xad", "\xf3\xa0\x81\x81", "\xe3\x85\xa4",
          "\xe2\xa0\x80", "\xe2\x80\x8b \xe2\xa0\x80\xe2\x80\x8d"}) {
        EXPECT_EQ(code_of<person_name>(bad), "too_short");
        EXPECT_EQ(code_of<tenant_name>(bad), "too_short");
    }
    EXPECT_EQ(code_of<person_name>("\xe2\x80\x8b."), "ok");
    EXPECT_EQ(code_of<tenant_name>("👩‍👩‍👧"), "ok");
    for (const auto mark : {"\xe2\x80\x8e", "\xe2\x80\x8f", "\xd8\x9c"}) {
        EXPECT_EQ(code_of<person_name>(std::string("Ada ") + mark + "Lovelace"),
                  "control_character");
    }
}

TEST(description, is_kept_as_typed_and_may_have_lines) {
    EXPECT_EQ(description::parse(" two\r\n\tlines ").value().str(), " two\r\n\tlines ");
    EXPECT_EQ(code_of<description>(""), "ok");
    EXPECT_EQ(code_of<description>(std::string(1000, 'x')), "ok");
    EXPECT_EQ(code_of<description>(std::string(1001, 'x')), "too_long");
    EXPECT_EQ(code_of<description>("a\0b"sv), "control_character");
}

TEST(password, has_10_to_128_characters_and_at_most_1024_bytes) {
    EXPECT_EQ(code_of<password_text>(std::string(9, 'x')), "too_short");
    EXPECT_EQ(code_of<password_text>(std::string(10, 'x')), "ok");
    EXPECT_EQ(code_of<password_text>(std::string(128, 'x')), "ok");
    EXPECT_EQ(code_of<password_text>(std::string(129, 'x')), "too_long");
    EXPECT_EQ(code_of<password_text>(std::string(1025, 'x')), "too_long");
    EXPECT_EQ(code_of<password_text>("ééééé"), "too_short") << "characters, not bytes";
    EXPECT_EQ(code_of<password_text>("éééééééééé"), "ok");
    EXPECT_EQ(code_of<password_text>("xxxxxxxxxx\xff"), "invalid_utf8");
    EXPECT_EQ(password_text::parse("  spaces are kept  ").value().view(), "  spaces are kept  ");
}

TEST(password, problems_never_repeat_it) {
    const auto refused = password_text::parse("hunter2");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().detail.find("hunter2"), std::string::npos);
}

TEST(password, of_impossible_length_is_wrong_at_login_not_invalid) {
    EXPECT_FALSE(password_attempt::parse("").value().possible());
    EXPECT_FALSE(password_attempt::parse("short").value().possible());
    EXPECT_TRUE(password_attempt::parse("long enough").value().possible());
    EXPECT_FALSE(password_attempt::parse(std::string(129, 'x')).value().possible());
    EXPECT_EQ(code_of<password_attempt>(std::string(1024, 'x')), "ok");
    EXPECT_EQ(code_of<password_attempt>(std::string(1025, 'x')), "too_long");
}

TEST(opaque_token, is_bounded_and_nothing_more) {
    EXPECT_EQ(code_of<opaque_token>(""), "too_short");
    EXPECT_EQ(code_of<opaque_token>("anything at all"), "ok");
    EXPECT_EQ(code_of<opaque_token>(std::string(513, 'x')), "too_long");
}

TEST(values, publish_their_rules_as_schemas) {
    using boost::json::serialize;
    EXPECT_EQ(serialize(email_address::schema()),
              R"({"type":"string","minLength":3,"maxLength":254,"format":"email"})");
    EXPECT_EQ(serialize(person_name::schema()),
              R"({"type":"string","minLength":1,"maxLength":100})");
    EXPECT_EQ(serialize(description::schema()), R"({"type":"string","maxLength":1000})");
    EXPECT_EQ(slug::schema().at("pattern").as_string(), "^[a-z][a-z0-9]*(-[a-z0-9]+)*$");
    EXPECT_EQ(password_text::schema().at("writeOnly").as_bool(), true);
}
