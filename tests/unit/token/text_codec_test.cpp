// The fast way and the portable way must agree on everything, good and bad.
#include "token/text_codec.hpp"

#include "support.hpp"

#include <random>

namespace insula::token::test {

namespace {

std::optional<bytes> decoded_fast(std::string_view text) {
    bytes out(decode_room(text.size()));
    const auto size = decode_base64url(text, out);
    if (!size) {
        return std::nullopt;
    }
    out.resize(*size);
    return out;
}

}  // namespace

TEST(text_codec, decodes_what_the_strict_decoder_decodes_at_every_length) {
    std::mt19937 random(7);
    for (std::size_t size = 0; size < 300; ++size) {
        bytes octets(size);
        for (auto& octet : octets) {
            octet = static_cast<std::uint8_t>(random());
        }
        const auto text = base64url_encode(octets);
        ASSERT_EQ(decoded_fast(text), octets) << size;
        bytes tight(size + 1);  // no room for whole groups: the other way
        ASSERT_EQ(decode_base64url(text, tight), size);
        tight.resize(size);
        ASSERT_EQ(tight, octets);
    }
}

TEST(text_codec, G11_refuses_every_foreign_character_at_every_place) {
    const std::string text(100, 'A');
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (int c = 0; c < 256; ++c) {
            auto bent = text;
            bent[at] = static_cast<char>(c);
            ASSERT_EQ(decoded_fast(bent), base64url_decode(bent)) << at << " " << c;
        }
    }
}

TEST(text_codec, G11_refuses_every_loose_ending) {
    const std::string alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=";
    for (std::size_t size = 1; size < 70; ++size) {
        for (const char c : alphabet) {
            const auto text = std::string(size - 1, 'b') + c;
            ASSERT_EQ(decoded_fast(text), base64url_decode(text)) << text;
        }
    }
}

TEST(text_codec, G11_random_texts_decode_alike) {
    std::mt19937 random(11);
    const std::string alphabet = "AZaz09-_bQ7f+/= .\n\x80\xff";
    for (int i = 0; i < 20000; ++i) {
        std::string text(random() % 80, 'A');
        for (auto& c : text) {
            c = alphabet[random() % (i % 2 == 0 ? 11 : alphabet.size())];
        }
        ASSERT_EQ(decoded_fast(text), base64url_decode(text)) << text;
    }
}

TEST(text_codec, uuids_read_alike_with_every_character_at_every_place) {
    for (int i = 0; i < 200; ++i) {
        const auto id = make_uuid_v7();
        uuid back;
        ASSERT_TRUE(parse_canonical_uuid(id.str(), back));
        ASSERT_EQ(back, id);
    }
    const auto text = make_uuid_v7().str();
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (int c = 0; c < 256; ++c) {
            auto bent = text;
            bent[at] = static_cast<char>(c);
            uuid fast;
            uuid portable;
            const bool good = parse_canonical_uuid(bent, fast);
            ASSERT_EQ(good, parse_canonical_uuid_portably(bent, portable)) << bent;
            ASSERT_TRUE(!good || fast == portable) << bent;
        }
    }
    uuid ignored;
    for (const auto& odd : {std::string(), text.substr(1), text + "0", text.substr(0, 35)}) {
        EXPECT_FALSE(parse_canonical_uuid(odd, ignored));
        EXPECT_FALSE(parse_canonical_uuid_portably(odd, ignored));
    }
}

}  // namespace insula::token::test
