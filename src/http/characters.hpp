#pragma once
// The character classes of RFC 9110 5.6 as tables.

#include <array>
#include <cstddef>
#include <string_view>

namespace insula::http {

inline constexpr auto token_table = [] {
    std::array<bool, 256> t{};
    for (const char c : std::string_view(
             "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
        t[static_cast<unsigned char>(c)] = true;
    }
    return t;
}();

/// field-vchar, SP and HTAB; everything else is a control character.
inline constexpr auto value_table = [] {
    std::array<bool, 256> t{};
    for (std::size_t i = 0; i < t.size(); ++i)
        t[i] = i == '\t' || (i >= 0x20 && i != 0x7f);
    return t;
}();

/// Of a host name, as far as we take any.
inline constexpr auto host_table = [] {
    std::array<bool, 256> t{};
    for (const char c :
         std::string_view("-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
        t[static_cast<unsigned char>(c)] = true;
    }
    return t;
}();

constexpr bool token_char(char c) noexcept {
    return token_table[static_cast<unsigned char>(c)];
}
constexpr bool host_char(char c) noexcept {
    return host_table[static_cast<unsigned char>(c)];
}
constexpr bool digit(char c) noexcept {
    return c >= '0' && c <= '9';
}
constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

constexpr int hex(unsigned char c) noexcept {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

}  // namespace insula::http
