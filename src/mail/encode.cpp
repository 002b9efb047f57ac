#include "mail/encode.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/text.hpp"

#include <algorithm>

namespace insula::mail {
namespace {

constexpr std::size_t line_max = 76;

bool is_printable(char c) noexcept {
    return c >= 0x20 && c < 0x7f;
}

// The size of the character that begins here, as far as the bytes go together.
std::size_t character_size(std::string_view text) noexcept {
    std::size_t size = 1;
    while (size < text.size() && size < 4 &&
           (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) {
        ++size;
    }
    return size;
}

std::string quoted_character(std::string_view character) {
    constexpr char digits[] = "0123456789ABCDEF";
    std::string quoted;
    for (const char c : character) {
        const auto byte = static_cast<unsigned char>(c);
        quoted += {'=', digits[byte >> 4], digits[byte & 15]};
    }
    return quoted;
}

void append_quoted_line(std::string& out, std::string_view line) {
    std::size_t width = 0;
    while (!line.empty()) {
        const auto character = line.substr(0, character_size(line));
        const bool last = character.size() == line.size();
        const char c = character.front();
        // White space at the end of a line gets lost on the way unless it is quoted.
        const bool plain = character.size() == 1 && c != '=' &&
                           ((c > 0x20 && c < 0x7f) || ((c == ' ' || c == '\t') && !last));
        const auto piece = plain ? std::string(character) : quoted_character(character);
        // One column is kept for the = of a soft break.
        if (width + piece.size() > line_max - (last ? 0 : 1)) {
            out += "=\r\n";
            width = 0;
        }
        out += piece;
        width += piece.size();
        line.remove_prefix(character.size());
    }
    out += "\r\n";
}

}  // namespace

bool is_plain_ascii(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(), is_printable);
}

std::string one_line(std::string_view text) {
    std::string line;
    line.reserve(text.size());
    while (!text.empty()) {
        auto character = text.substr(0, character_size(text));
        if (valid_utf8(character)) {
            line += has_control_characters(character) ? std::string_view(" ") : character;
        } else {
            character = text.substr(0, 1);
            line += "\xef\xbf\xbd";
        }
        text.remove_prefix(character.size());
    }
    return line;
}

std::string encoded_words(std::string_view text) {
    // 75 characters less =?UTF-8?B? and ?= leave 63, of which base64 can use 60: 45 bytes.
    constexpr std::size_t bytes_max = 45;
    std::string words;
    while (!text.empty()) {
        const auto part = utf8_prefix(text, bytes_max);
        words += words.empty() ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?";
        words += base64_encode(as_bytes(part));
        words += "?=";
        text.remove_prefix(part.size());
    }
    return words;
}

std::string with_crlf(std::string_view text) {
    std::string lines;
    lines.reserve(text.size() + text.size() / 32 + 2);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\r' || text[i] == '\n') {
            lines += "\r\n";
            if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') {
                ++i;
            }
        } else {
            lines.push_back(text[i]);
        }
    }
    if (!lines.empty() && !lines.ends_with("\r\n")) {
        lines += "\r\n";
    }
    return lines;
}

bool fits_7bit(std::string_view text) noexcept {
    std::size_t width = 0;
    for (const char c : text) {
        if (c == '\r') {
            continue;
        }
        if (c == '\n') {
            width = 0;
        } else if ((!is_printable(c) && c != '\t') || ++width > 998) {
            return false;
        }
    }
    return true;
}

std::string quoted_printable(std::string_view text) {
    std::string encoded;
    encoded.reserve(text.size() * 2);
    while (!text.empty()) {
        const auto end = std::min(text.find("\r\n"), text.size());
        append_quoted_line(encoded, text.substr(0, end));
        text.remove_prefix(std::min(end + 2, text.size()));
    }
    return encoded;
}

}  // namespace insula::mail
