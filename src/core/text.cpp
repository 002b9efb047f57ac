#include "insula/core/text.hpp"

#include <idn2.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace insula {
namespace {

struct c_free {
    void operator()(void* memory) const noexcept { std::free(memory); }
};

// The code point at the front of `text` and its size; size 0 when it is not well-formed.
struct code_point {
    std::int32_t value = -1;
    std::size_t size = 0;
};

code_point front(std::string_view text) noexcept {
    const auto first = static_cast<unsigned char>(text.front());
    if (first < 0x80) {
        return {first, 1};
    }
    utf8proc_int32_t value = -1;
    const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &value);
    return size > 0 ? code_point{value, static_cast<std::size_t>(size)} : code_point{};
}

// How many bytes at the front, in groups of eight, are ASCII.
std::size_t ascii_groups(std::string_view text) noexcept {
    std::size_t size = 0;
    for (std::uint64_t word = 0; size + sizeof word <= text.size(); size += sizeof word) {
        std::memcpy(&word, text.data() + size, sizeof word);
        if ((word & 0x8080808080808080ULL) != 0) {
            break;
        }
    }
    return size;
}

bool is_ascii(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// True when `is` holds for any code point; invalid bytes count as no character at all.
template <class Predicate>
bool any_code_point(std::string_view text, Predicate is) noexcept {
    while (!text.empty()) {
        const auto at = front(text);
        if (at.size != 0 && is(at.value)) {
            return true;
        }
        text.remove_prefix(std::max<std::size_t>(at.size, 1));
    }
    return false;
}

constexpr bool is_white_space(std::int32_t c) noexcept {
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

// General category Cc is exactly C0, DEL and C1.
constexpr bool is_control(std::int32_t c) noexcept {
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

// Embeddings, overrides, isolates, and the three marks that do the same for one character.
constexpr bool reorders_text(std::int32_t c) noexcept {
    return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

std::optional<std::string> map_nfkc_casefold(std::string_view text) {
    constexpr auto options = static_cast<utf8proc_option_t>(
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
    utf8proc_uint8_t* mapped = nullptr;
    const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &mapped, options);
    const std::unique_ptr<utf8proc_uint8_t, c_free> owner(mapped);
    if (size < 0) {
        return std::nullopt;
    }
    return std::string(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
}

bool is_host_name(std::string_view domain) noexcept {
    if (domain.empty() || domain.size() > 253) {
        return false;
    }
    while (true) {
        const auto label = domain.substr(0, domain.find('.'));
        const bool letters_digits_hyphens = std::all_of(label.begin(), label.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
        });
        if (label.empty() || label.size() > 63 || !letters_digits_hyphens || label.front() == '-' ||
            label.back() == '-') {
            return false;
        }
        if (label.size() == domain.size()) {
            return true;
        }
        domain.remove_prefix(label.size() + 1);
    }
}

std::optional<std::string> to_ascii_once(const std::string& domain) {
    char* ascii = nullptr;
    const int rc = idn2_to_ascii_8z(domain.c_str(), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    const std::unique_ptr<char, c_free> owner(ascii);
    if (rc != IDN2_OK) {
        return std::nullopt;
    }
    return ascii_lower(ascii);
}

}  // namespace

bool valid_utf8(std::string_view text) noexcept {
    while (true) {
        text.remove_prefix(ascii_groups(text));
        if (text.empty()) {
            return true;
        }
        const auto at = front(text);
        if (at.size == 0) {
            return false;
        }
        text.remove_prefix(at.size);
    }
}

std::size_t count_code_points(std::string_view text) noexcept {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    }));
}

bool has_control_characters(std::string_view text) noexcept {
    return any_code_point(text, [](std::int32_t c) {
        return is_control(c) || reorders_text(c) || c == 0x2028 || c == 0x2029;
    });
}

bool has_control_characters_but_line_breaks(std::string_view text) noexcept {
    return any_code_point(
        text, [](std::int32_t c) { return is_control(c) && c != '\t' && c != '\n' && c != '\r'; });
}

bool has_white_space(std::string_view text) noexcept {
    return any_code_point(text, is_white_space);
}

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty()) {
        const auto at = front(text);
        if (at.size == 0 || !is_white_space(at.value)) {
            break;
        }
        text.remove_prefix(at.size);
    }
    while (!text.empty()) {
        // Back to the first byte of the last character.
        std::size_t size = 1;
        while (size < text.size() && size < 4 &&
               (static_cast<unsigned char>(text[text.size() - size]) & 0xc0) == 0x80) {
            ++size;
        }
        const auto at = front(text.substr(text.size() - size));
        if (at.size != size || !is_white_space(at.value)) {
            break;
        }
        text.remove_suffix(size);
    }
    return text;
}

std::optional<std::string> nfkc_casefold(std::string_view text) {
    if (is_ascii(text)) {
        return ascii_lower(text);  // nothing else happens to ASCII, and utf8proc takes 1 µs for it
    }
    auto once = map_nfkc_casefold(text);
    // utf8proc folds before it recomposes, so a few characters (those with U+0345) settle in a
    // second pass.
    return once ? map_nfkc_casefold(*once) : std::nullopt;
}

std::optional<std::string> idna_to_ascii(std::string_view domain) {
    // The C interface ends at a NUL; nothing longer than a few times the limit can shrink to a
    // domain.
    if (domain.empty() || domain.size() > 4096 || domain.find('\0') != std::string_view::npos ||
        !valid_utf8(domain)) {
        return std::nullopt;
    }
    auto ascii = to_ascii_once(std::string(domain));
    if (!ascii) {
        return std::nullopt;
    }
    if (ascii->ends_with('.')) {
        ascii->pop_back();
    }
    // What maps to xn-- only now has not been checked as punycode yet: the result must map to
    // itself.
    if (!is_host_name(*ascii) || to_ascii_once(*ascii) != ascii) {
        return std::nullopt;
    }
    return ascii;
}

std::string ascii_lower(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') {
            c = static_cast<char>(c - 'A' + 'a');
        }
    }
    return lower;
}

std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max) noexcept {
    if (text.size() <= bytes_max) {
        return text;
    }
    while (bytes_max > 0 && (static_cast<unsigned char>(text[bytes_max]) & 0xc0) == 0x80) {
        --bytes_max;
    }
    return text.substr(0, bytes_max);
}

}  // namespace insula
