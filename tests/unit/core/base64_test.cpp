#include "insula/core/base64.hpp"

#include <gtest/gtest.h>

#include <array>

using namespace insula;

namespace {

std::optional<std::string> text_of(const std::optional<bytes>& data) {
    return data ? std::optional(std::string(as_text(*data))) : std::nullopt;
}

}  // namespace

TEST(base64, agrees_with_rfc_4648_section_10) {
    const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                     {"f", "Zg=="},
                                                                     {"fo", "Zm8="},
                                                                     {"foo", "Zm9v"},
                                                                     {"foob", "Zm9vYg=="},
                                                                     {"fooba", "Zm9vYmE="},
                                                                     {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, encoded] : vectors) {
        EXPECT_EQ(base64_encode(as_bytes(plain)), encoded);
        EXPECT_EQ(text_of(base64_decode(encoded)), plain);
        const auto unpadded = encoded.substr(0, encoded.find('='));
        EXPECT_EQ(base64url_encode(as_bytes(plain)), unpadded);
        EXPECT_EQ(text_of(base64url_decode(unpadded)), plain);
    }
}

TEST(base64, the_two_alphabets_differ_in_their_last_two_characters) {
    const bytes data{0xfb, 0xff, 0xbf};
    EXPECT_EQ(base64_encode(data), "+/+/");
    EXPECT_EQ(base64url_encode(data), "-_-_");
    EXPECT_FALSE(base64_decode("-_-_"));
    EXPECT_FALSE(base64url_decode("+/+/"));
}

TEST(base64url, is_strict_so_that_one_token_has_one_spelling) {
    for (const std::string_view bad : {"Zg==", "Zm8=", "Z", "Zm9vZ", "Zm 9v", "Zm9v\n", "Zh", "Zm9",
                                       "Zm9vYh", "Zm9v=", "=", "Zm\xc3\xa9v"}) {
        EXPECT_FALSE(base64url_decode(bad)) << bad;
    }
}

TEST(base64, padding_is_required_and_belongs_at_the_end) {
    for (const std::string_view bad :
         {"Zg", "Zg=", "Zg===", "====", "Z===", "Zg==Zg==", "=Zg=", "Zh==", "Zm9=", "Zm9v\n"}) {
        EXPECT_FALSE(base64_decode(bad)) << bad;
    }
}

TEST(base64, every_byte_and_length_comes_back) {
    bytes data;
    for (int i = 0; i < 600; ++i) {
        EXPECT_EQ(base64url_decode(base64url_encode(data)), data);
        EXPECT_EQ(base64_decode(base64_encode(data)), data);
        data.push_back(static_cast<std::uint8_t>(i * 7));
    }
}

TEST(base64url, decodes_into_a_buffer_and_refuses_one_that_is_too_small) {
    std::array<std::uint8_t, 6> buffer{};
    EXPECT_EQ(base64url_decode("Zm9vYmFy", buffer), 6U);
    EXPECT_EQ(as_text(buffer), "foobar");
    EXPECT_FALSE(base64url_decode("Zm9vYmFyZg", buffer));
}
