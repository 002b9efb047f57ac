#include "insula/core/text.hpp"

#include <gtest/gtest.h>

using namespace insula;
using namespace std::string_view_literals;

TEST(text, valid_utf8_is_what_rfc_3629_says) {
    for (const auto good :
         {""sv, "abc"sv, "\0"sv, "é"sv, "€"sv, "𐍈"sv, "\xf4\x8f\xbf\xbf"sv, "\xee\x80\x80"sv}) {
        EXPECT_TRUE(valid_utf8(good));
    }
    for (const auto bad :
         {"\x80"sv, "\xc3"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xe0\x80\x80"sv, "\xed\xa0\x80"sv,
          "\xed\xbf\xbf"sv, "\xf0\x80\x80\x80"sv, "\xf4\x90\x80\x80"sv, "\xf8\x88\x80\x80\x80"sv,
          "\xff"sv, "a\xe2\x82"sv, "\xe2\x28\xa1"sv}) {
        EXPECT_FALSE(valid_utf8(bad));
    }
}

TEST(text, counts_code_points_not_bytes) {
    EXPECT_EQ(count_code_points(""), 0U);
    EXPECT_EQ(count_code_points("aé€𐍈"), 4U);
}

TEST(text, knows_control_characters) {
    for (const auto bad :
         {"\0"sv, "a\nb"sv, "\x1b[31m"sv, "\x7f"sv, "\xc2\x85"sv, "\xe2\x80\xa8"sv,
          "\xe2\x80\xae"sv, "\xe2\x81\xa6"sv, "a\xe2\x80\x8e"sv, "\xe2\x80\x8f"sv, "\xd8\x9c"sv}) {
        EXPECT_TRUE(has_control_characters(bad));
    }
    EXPECT_FALSE(has_control_characters("plain text, Ünïcödé, 👩‍👩‍👧"));
    EXPECT_FALSE(has_control_characters_but_line_breaks("a\tb\r\nc"));
    EXPECT_TRUE(has_control_characters_but_line_breaks("a\0"sv));
    EXPECT_TRUE(has_control_characters_but_line_breaks("a\x1b"));
}

TEST(text, trims_unicode_white_space_at_both_ends) {
    EXPECT_EQ(trim("  a b\t\n"), "a b");
    EXPECT_EQ(trim("\xc2\xa0\xe3\x80\x80x\xe2\x80\x83"), "x");
    EXPECT_EQ(trim(" \xe3\x80\x80 "), "");
    EXPECT_EQ(trim(""), "");
    EXPECT_EQ(trim("é"), "é");
    EXPECT_EQ(trim("\x80 "), "\x80") << "invalid bytes are left alone";
    EXPECT_EQ(trim("\xa0"), "\xa0");
}

TEST(text, nfkc_casefold_makes_look_alikes_equal) {
    EXPECT_EQ(nfkc_casefold("Ａｌｉｃｅ"), "alice");
    EXPECT_EQ(nfkc_casefold("STRASSE"), nfkc_casefold("straße"));
    EXPECT_EQ(nfkc_casefold("e\xcc\x81"), "é");
    EXPECT_EQ(nfkc_casefold("ﬁ"), "fi");
    EXPECT_EQ(nfkc_casefold("a\xc2\xad"
                            "b\xe2\x80\x8b"),
              "ab")
        << "soft hyphen and zero width space";
    EXPECT_EQ(nfkc_casefold("Σς"), "σσ");
    EXPECT_FALSE(nfkc_casefold("\xff"));
    EXPECT_EQ(nfkc_casefold(""), "");
}

// Texts of ASCII only take a way of their own; one other letter sends them through Unicode's.
TEST(text, nfkc_casefold_of_ascii_is_unicodes) {
    for (unsigned first = 0; first < 128; ++first) {
        for (unsigned second = 0; second < 128; ++second) {
            const std::string text{static_cast<char>(first), static_cast<char>(second)};
            const auto with_unicode = nfkc_casefold(text + "\xc3\xa9");
            ASSERT_TRUE(with_unicode) << first << " " << second;
            ASSERT_EQ(*nfkc_casefold(text) + "\xc3\xa9", *with_unicode) << first << " " << second;
        }
    }
}

TEST(text, valid_utf8_sees_a_bad_byte_anywhere) {
    for (std::size_t size = 1; size <= 25; ++size) {
        for (std::size_t at = 0; at < size; ++at) {
            std::string text(size, 'a');
            EXPECT_TRUE(valid_utf8(text));
            text[at] = '\xff';
            EXPECT_FALSE(valid_utf8(text)) << at << " of " << size;
            if (at + 1 < size) {
                text.replace(at, 2, "\xc3\xa9");
                EXPECT_TRUE(valid_utf8(text)) << at << " of " << size;
            }
        }
    }
}

TEST(text, nfkc_casefold_of_its_result_changes_nothing) {
    for (char32_t c = 1; c < 0x20000; ++c) {
        if (c >= 0xd800 && c < 0xe000) {
            continue;
        }
        std::string text;
        if (c < 0x80) {
            text = {static_cast<char>(c)};
        } else if (c < 0x800) {
            text = {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
        } else if (c < 0x10000) {
            text = {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
                    static_cast<char>(0x80 | (c & 63))};
        } else {
            text = {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 63)),
                    static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
        }
        const auto once = nfkc_casefold(text);
        ASSERT_TRUE(once) << std::hex << static_cast<unsigned>(c);
        ASSERT_EQ(nfkc_casefold(*once), once) << std::hex << static_cast<unsigned>(c);
    }
}

TEST(text, idna_gives_every_spelling_of_a_domain_one_form) {
    EXPECT_EQ(idna_to_ascii("Example.COM"), "example.com");
    EXPECT_EQ(idna_to_ascii("münchen.de"), "xn--mnchen-3ya.de");
    EXPECT_EQ(idna_to_ascii("MÜNCHEN.de"), "xn--mnchen-3ya.de");
    EXPECT_EQ(idna_to_ascii("mu\xcc\x88nchen.de"), "xn--mnchen-3ya.de");
    EXPECT_EQ(idna_to_ascii("xn--mnchen-3ya.de"), "xn--mnchen-3ya.de");
    EXPECT_EQ(idna_to_ascii("XN--MNCHEN-3YA.de"), "xn--mnchen-3ya.de");
    EXPECT_EQ(idna_to_ascii("ｅｘａｍｐｌｅ。ｃｏｍ"), "example.com");
    EXPECT_EQ(idna_to_ascii("straße.de"), "xn--strae-oqa.de") << "not strasse.de: another domain";
    EXPECT_EQ(idna_to_ascii("localhost"), "localhost");
    EXPECT_EQ(idna_to_ascii("example.com."), "example.com");
}

TEST(text, idna_refuses_what_is_no_domain) {
    const std::string label64(64, 'a');
    std::string long_domain;
    for (int i = 0; i < 130; ++i) {
        long_domain += "a.";
    }
    long_domain += "com";
    for (const auto bad : {""sv,
                           "."sv,
                           ".."sv,
                           "a..b"sv,
                           ".a"sv,
                           "a b.com"sv,
                           "a_b.com"sv,
                           "-a.com"sv,
                           "a-.com"sv,
                           "[127.0.0.1]"sv,
                           "a\0b.com"sv,
                           "a\nb.com"sv,
                           "ex@mple.com"sv,
                           "xn--a"sv,
                           "xn--99999999"sv,
                           "xn--abc-.de"sv,
                           "\xff.com"sv,
                           "a/b.com"sv,
                           "a:80"sv,
                           std::string_view(label64),
                           std::string_view(long_domain)}) {
        EXPECT_FALSE(idna_to_ascii(bad)) << bad;
    }
}

TEST(text, a_prefix_never_cuts_a_character) {
    EXPECT_EQ(utf8_prefix("aé€", 10), "aé€");
    EXPECT_EQ(utf8_prefix("aé€", 2), "a");
    EXPECT_EQ(utf8_prefix("aé€", 3), "aé");
    EXPECT_EQ(utf8_prefix("aé€", 5), "aé");
    EXPECT_EQ(utf8_prefix("€", 1), "");
}
