// RFC 8259 once more, as short as it can be written and not fast: what parse_json() says is held
// against it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace insula::test {

/// Whether a text is what parse_json() must take, numbers beyond double aside.
class json_grammar {
public:
    static bool takes(std::string_view text, int depth_max = 32) {
        json_grammar one(text, depth_max);
        one.white_space();
        if (!one.value())
            return false;
        one.white_space();
        return one.rest_.empty();
    }

private:
    json_grammar(std::string_view text, int depth) : rest_(text), depth_(depth) {}

    bool next_is(char c) const { return !rest_.empty() && rest_.front() == c; }
    bool take(char c) {
        if (!next_is(c))
            return false;
        rest_.remove_prefix(1);
        return true;
    }
    bool take(std::string_view word) {
        if (!rest_.starts_with(word))
            return false;
        rest_.remove_prefix(word.size());
        return true;
    }
    void white_space() {
        while (take(' ') || take('\t') || take('\n') || take('\r')) {
        }
    }
    bool value() {
        if (next_is('{') || next_is('['))
            return nested();
        if (next_is('"'))
            return text().has_value();
        return take("null") || take("true") || take("false") || number();
    }
    bool nested() {
        if (depth_-- == 0)
            return false;
        const bool good = next_is('{') ? object() : array();
        ++depth_;
        return good;
    }
    bool array() {
        take('[');
        white_space();
        if (take(']'))
            return true;
        do {
            white_space();
            if (!value())
                return false;
            white_space();
        } while (take(','));
        return take(']');
    }
    bool object() {
        take('{');
        white_space();
        if (take('}'))
            return true;
        std::set<std::string> names;
        do {
            white_space();
            const auto name = text();
            if (!name || !names.insert(*name).second)
                return false;
            white_space();
            if (!take(':'))
                return false;
            white_space();
            if (!value())
                return false;
            white_space();
        } while (take(','));
        return take('}');
    }
    bool digits() {
        std::size_t n = 0;
        while (n < rest_.size() && rest_[n] >= '0' && rest_[n] <= '9')
            ++n;
        rest_.remove_prefix(n);
        return n > 0;
    }
    bool number() {
        take('-');
        if (!take('0') && !digits())
            return false;
        if (take('.') && !digits())
            return false;
        if (take('e') || take('E')) {
            if (!take('+'))
                take('-');
            return digits();
        }
        return true;
    }
    std::optional<std::string> text() {
        if (!take('"'))
            return std::nullopt;
        std::string all;
        while (!rest_.empty() && !next_is('"')) {
            if (!(next_is('\\') ? escape(all) : character(all)))
                return std::nullopt;
        }
        return take('"') ? std::optional(all) : std::nullopt;
    }
    bool escape(std::string& to) {
        rest_.remove_prefix(1);
        constexpr std::string_view letters = "\"\\/bfnrt";
        constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
        if (const auto at = rest_.empty() ? letters.npos : letters.find(rest_.front());
            at != letters.npos) {
            rest_.remove_prefix(1);
            to.push_back(meanings[at]);
            return true;
        }
        auto code = unit();
        if (!code || (*code >= 0xdc00 && *code < 0xe000))
            return false;
        if (*code >= 0xd800 && *code < 0xdc00) {
            if (!take('\\'))
                return false;
            const auto low = unit();
            if (!low || *low < 0xdc00 || *low >= 0xe000)
                return false;
            code = 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00);
        }
        append(to, *code);
        return true;
    }
    std::optional<std::uint32_t> unit() {
        if (!take('u') || rest_.size() < 4)
            return std::nullopt;
        std::uint32_t code = 0;
        for (const char c : rest_.substr(0, 4)) {
            const auto digit = std::string_view("0123456789abcdef").find(lower(c));
            if (digit == std::string_view::npos)
                return std::nullopt;
            code = code * 16 + static_cast<std::uint32_t>(digit);
        }
        rest_.remove_prefix(4);
        return code;
    }
    static char lower(char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; }
    static void append(std::string& to, std::uint32_t code) {
        const auto put = [&](std::uint32_t octet) { to.push_back(static_cast<char>(octet)); };
        if (code < 0x80) {
            put(code);
        } else if (code < 0x800) {
            put(0xc0 | (code >> 6));
            put(0x80 | (code & 0x3f));
        } else if (code < 0x10000) {
            put(0xe0 | (code >> 12));
            put(0x80 | ((code >> 6) & 0x3f));
            put(0x80 | (code & 0x3f));
        } else {
            put(0xf0 | (code >> 18));
            put(0x80 | ((code >> 12) & 0x3f));
            put(0x80 | ((code >> 6) & 0x3f));
            put(0x80 | (code & 0x3f));
        }
    }
    /// One character of UTF-8, none below U+0020 (RFC 3629: shortest form, no surrogates).
    bool character(std::string& to) {
        const auto first = static_cast<unsigned char>(rest_.front());
        const std::size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        if (first < 0x20 || (first >= 0x80 && first < 0xc0) || first > 0xf4 || rest_.size() < size)
            return false;
        static constexpr std::uint32_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
        static constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        std::uint32_t code = first & masks[size];
        for (const char c : rest_.substr(1, size - 1)) {
            if ((static_cast<unsigned char>(c) & 0xc0U) != 0x80)
                return false;
            code = (code << 6) | (static_cast<unsigned char>(c) & 0x3fU);
        }
        if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
        to.append(rest_.substr(0, size));
        rest_.remove_prefix(size);
        return true;
    }

    std::string_view rest_;
    int depth_;
};

}  // namespace insula::test
