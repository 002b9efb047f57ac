#include "insula/core/base64.hpp"

#include <array>

namespace insula {
namespace {

constexpr std::string_view url_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view standard_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

using decode_table = std::array<int, 256>;

constexpr decode_table make_table(std::string_view alphabet) {
    decode_table table{};
    table.fill(-1);
    for (std::size_t i = 0; i < alphabet.size(); ++i) {
        table[static_cast<unsigned char>(alphabet[i])] = static_cast<int>(i);
    }
    return table;
}
constexpr decode_table url_table = make_table(url_alphabet);
constexpr decode_table standard_table = make_table(standard_alphabet);

std::string encode(bytes_view data, std::string_view alphabet, bool padded) {
    const std::size_t left = data.size() % 3;
    const std::size_t tail = left == 0 ? 0 : padded ? 4 : left + 1;
    std::string text(data.size() / 3 * 4 + tail, '=');
    char* out = text.data();
    const auto put = [&](std::uint32_t group, std::size_t characters) {
        for (std::size_t i = 0; i < characters; ++i) {
            *out++ = alphabet[group >> (18 - 6 * i) & 63];
        }
    };
    const std::uint8_t* at = data.data();
    for (std::size_t groups = data.size() / 3; groups != 0; --groups, at += 3) {
        put(std::uint32_t{at[0]} << 16 | std::uint32_t{at[1]} << 8 | at[2], 4);
    }
    if (left != 0) {
        put(std::uint32_t{at[0]} << 16 | (left == 2 ? std::uint32_t{at[1]} << 8 : 0), left + 1);
    }
    return text;
}

// `text` without padding.
std::optional<std::size_t> decode(std::string_view text, const decode_table& table,
                                  std::uint8_t* out) noexcept {
    if (text.size() % 4 == 1) {
        return std::nullopt;
    }
    std::uint32_t group = 0;
    unsigned bits = 0;
    std::size_t written = 0;
    for (const char c : text) {
        const auto value = table[static_cast<unsigned char>(c)];
        if (value < 0) {
            return std::nullopt;
        }
        group = group << 6 | static_cast<std::uint32_t>(value);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[written++] = static_cast<std::uint8_t>(group >> bits);
            group &= (1U << bits) - 1;
        }
    }
    // Bits left over must be zero, or two texts would mean the same bytes.
    return group == 0 ? std::optional<std::size_t>(written) : std::nullopt;
}

std::optional<bytes> decode(std::string_view text, const decode_table& table) {
    bytes data(text.size() * 3 / 4 + 1);
    const auto size = decode(text, table, data.data());
    if (!size) {
        return std::nullopt;
    }
    data.resize(*size);
    return data;
}

}  // namespace

std::string base64url_encode(bytes_view data) {
    return encode(data, url_alphabet, false);
}

std::optional<bytes> base64url_decode(std::string_view text) {
    return decode(text, url_table);
}

std::optional<std::size_t> base64url_decode(std::string_view text,
                                            std::span<std::uint8_t> out) noexcept {
    if (out.size() < text.size() * 3 / 4) {
        return std::nullopt;
    }
    return decode(text, url_table, out.data());
}

std::string base64_encode(bytes_view data) {
    return encode(data, standard_alphabet, true);
}

std::optional<bytes> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) {
        return std::nullopt;
    }
    for (int i = 0; i < 2 && text.ends_with('='); ++i) {
        text.remove_suffix(1);
    }
    return decode(text, standard_table);
}

}  // namespace insula
