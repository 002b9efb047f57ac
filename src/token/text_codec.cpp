#include "token/text_codec.hpp"

#include "insula/core/base64.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace insula::token {

namespace {

constexpr std::size_t uuid_characters = 36;

bool has_uuid_shape(std::string_view text) noexcept {
    return text.size() == uuid_characters && text[8] == '-' && text[13] == '-' && text[18] == '-' &&
           text[23] == '-';
}

constexpr std::uint8_t no_digit = 0xff;

constexpr std::array<std::uint8_t, 256> make_hex_values() {
    std::array<std::uint8_t, 256> values{};
    values.fill(no_digit);
    constexpr std::string_view digits = "0123456789abcdef";
    for (std::size_t i = 0; i < digits.size(); ++i) {
        values[static_cast<unsigned char>(digits[i])] = static_cast<std::uint8_t>(i);
    }
    return values;
}
constexpr auto hex_values = make_hex_values();

#if defined(__x86_64__)

bool processor_has_avx2() noexcept {
    static const bool has = __builtin_cpu_supports("avx2") != 0;
    return has;
}

/// Signed compare: bytes above 127 are negative and so in no range.
__attribute__((target("avx2"))) inline __m256i in_range(__m256i text, char first, char last) {
    return _mm256_and_si256(_mm256_cmpgt_epi8(text, _mm256_set1_epi8(static_cast<char>(first - 1))),
                            _mm256_cmpgt_epi8(_mm256_set1_epi8(static_cast<char>(last + 1)), text));
}

/// Decodes 32 characters to 24 bytes, and writes 8 more of no meaning. False at a foreign
/// character.
__attribute__((target("avx2"))) inline bool decode_group(const char* text, std::uint8_t* out) {
    const auto group = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text));
    const auto upper = in_range(group, 'A', 'Z');
    const auto lower = in_range(group, 'a', 'z');
    const auto digit = in_range(group, '0', '9');
    const auto minus = _mm256_cmpeq_epi8(group, _mm256_set1_epi8('-'));
    const auto under = _mm256_cmpeq_epi8(group, _mm256_set1_epi8('_'));
    const auto known = _mm256_or_si256(_mm256_or_si256(upper, lower),
                                       _mm256_or_si256(digit, _mm256_or_si256(minus, under)));
    // What to add to a character to get its six bits, by kind.
    const auto shift = _mm256_or_si256(
        _mm256_or_si256(_mm256_and_si256(upper, _mm256_set1_epi8(-'A')),
                        _mm256_and_si256(lower, _mm256_set1_epi8(26 - 'a'))),
        _mm256_or_si256(_mm256_and_si256(digit, _mm256_set1_epi8(52 - '0')),
                        _mm256_or_si256(_mm256_and_si256(minus, _mm256_set1_epi8(62 - '-')),
                                        _mm256_and_si256(under, _mm256_set1_epi8(63 - '_')))));
    const auto six_bits = _mm256_add_epi8(group, shift);
    // Pairs to 12 bits, pairs of those to 24, then the three bytes of each in order.
    const auto pairs = _mm256_maddubs_epi16(six_bits, _mm256_set1_epi32(0x01400140));
    const auto fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
    const auto bytes_in_lanes =
        _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2, 1, 0, 6, 5, 4,
                         10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const auto lanes_together = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out),
        _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(fours, bytes_in_lanes), lanes_together));
    return _mm256_movemask_epi8(known) == -1;
}

/// `out` has 8 bytes more than decoded bytes rounded up to whole groups.
__attribute__((target("avx2"))) std::optional<std::size_t> decode_fast(std::string_view text,
                                                                       std::uint8_t* out) noexcept {
    const auto rest = text.size() % 32;
    const char* at = text.data();
    const char* const whole = at + (text.size() - rest);
    bool good = text.size() % 4 != 1;
    for (; at != whole; at += 32, out += 24) {
        good = decode_group(at, out) && good;
    }
    if (rest != 0) {
        // Filled up with zero bits: what they leave behind the last byte must be zero too.
        std::array<char, 32> filled;
        filled.fill('A');
        std::memcpy(filled.data(), at, rest);
        good = decode_group(filled.data(), out) && good && out[rest * 3 / 4] == 0;
    }
    return good ? std::optional<std::size_t>(text.size() * 3 / 4) : std::nullopt;
}

/// 16 hexadecimal digits, lower case, to their values; `good` loses bits where one is none.
__attribute__((target("avx2"))) inline __m128i hex_digits(__m128i text, __m128i& good) {
    const auto digit = _mm_and_si128(_mm_cmpgt_epi8(text, _mm_set1_epi8('0' - 1)),
                                     _mm_cmpgt_epi8(_mm_set1_epi8('9' + 1), text));
    const auto letter = _mm_and_si128(_mm_cmpgt_epi8(text, _mm_set1_epi8('a' - 1)),
                                      _mm_cmpgt_epi8(_mm_set1_epi8('f' + 1), text));
    good = _mm_and_si128(good, _mm_or_si128(digit, letter));
    const auto shift = _mm_or_si128(_mm_and_si128(digit, _mm_set1_epi8(-'0')),
                                    _mm_and_si128(letter, _mm_set1_epi8(10 - 'a')));
    const auto nibbles = _mm_add_epi8(text, shift);
    return _mm_maddubs_epi16(nibbles, _mm_set1_epi16(0x0110));
}

/// `text` has the shape already.
__attribute__((target("avx2"))) bool parse_uuid_fast(const char* text, uuid& out) noexcept {
    const auto load = [](const char* from) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    };
    const auto head = load(text);
    const auto middle = load(text + 16);
    const auto tail = load(text + 20);
    // The digits stand at 0-7, 9-12, 14-17, 19-22 and 24-35.
    const auto low = _mm_or_si128(
        _mm_shuffle_epi8(head,
                         _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, -1, -1)),
        _mm_shuffle_epi8(
            middle, _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 1)));
    const auto high = _mm_or_si128(
        _mm_shuffle_epi8(tail,
                         _mm_setr_epi8(-1, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
        _mm_shuffle_epi8(
            middle, _mm_setr_epi8(3, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1)));
    auto good = _mm_set1_epi8(-1);
    const auto bytes = _mm_packus_epi16(hex_digits(low, good), hex_digits(high, good));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out.bytes.data()), bytes);
    return _mm_movemask_epi8(good) == 0xffff;
}

#endif

}  // namespace

std::optional<std::size_t> decode_base64url(std::string_view text,
                                            std::span<std::uint8_t> out) noexcept {
#if defined(__x86_64__)
    if (processor_has_avx2() && out.size() >= decode_room(text.size())) {
        return decode_fast(text, out.data());
    }
#endif
    return base64url_decode(text, out);
}

bool parse_canonical_uuid_portably(std::string_view text, uuid& out) noexcept {
    if (!has_uuid_shape(text)) {
        return false;
    }
    constexpr std::array<std::uint8_t, 16> offsets = {0,  2,  4,  6,  9,  11, 14, 16,
                                                      19, 21, 24, 26, 28, 30, 32, 34};
    unsigned all = 0;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
        const unsigned high = hex_values[static_cast<unsigned char>(text[offsets[i]])];
        const unsigned low = hex_values[static_cast<unsigned char>(text[offsets[i] + 1U])];
        all |= high | low;  // above 15 as soon as one is no digit
        out.bytes[i] = static_cast<std::uint8_t>((high * 16 + low) & 0xff);
    }
    return all < 16;
}

bool parse_canonical_uuid(std::string_view text, uuid& out) noexcept {
#if defined(__x86_64__)
    if (processor_has_avx2()) {
        return has_uuid_shape(text) && parse_uuid_fast(text.data(), out);
    }
#endif
    return parse_canonical_uuid_portably(text, out);
}

}  // namespace insula::token
