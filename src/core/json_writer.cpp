#include "insula/core/json_writer.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <utf8proc.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

namespace insula {
namespace {

// Bytes that may stand in a JSON string as they are; everything from 0x80 on is looked at by code
// point. plain_size() says the same for eight bytes at a time.
constexpr std::array<bool, 256> plain = [] {
    std::array<bool, 256> table{};
    for (std::size_t i = 0x20; i < 0x80; ++i) {
        table[i] = i != '"' && i != '\\' && i != 0x7f;
    }
    return table;
}();

constexpr std::uint64_t eight_of(unsigned char byte) {
    return byte * 0x0101010101010101ULL;
}

// A high bit where a byte is not plain. Exact unless a lower byte is not plain either (a borrow or
// a carry goes upwards only), so zero means that all eight are.
constexpr std::uint64_t not_plain(std::uint64_t word) noexcept {
    const auto zero_bytes = [](std::uint64_t of) { return (of - eight_of(1)) & ~of; };
    const auto below_space = (word - eight_of(0x20)) & ~word;
    return (word | below_space | zero_bytes(word ^ eight_of('"')) |
            zero_bytes(word ^ eight_of('\\')) | zero_bytes(word ^ eight_of(0x7f))) &
           eight_of(0x80);
}

// How many bytes at the front stand as they are: nearly always all of them.
std::size_t plain_size(std::string_view text) noexcept {
    std::size_t run = 0;
    for (std::uint64_t word = 0; run + sizeof word <= text.size(); run += sizeof word) {
        std::memcpy(&word, text.data() + run, sizeof word);
        if (not_plain(word) != 0) {
            break;
        }
    }
    while (run < text.size() && plain[static_cast<unsigned char>(text[run])]) {
        ++run;
    }
    return run;
}

void append_escaped_ascii(std::string& out, unsigned char c) {
    constexpr char digits[] = "0123456789abcdef";
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            out += "\\u00";
            out.push_back(digits[c >> 4]);
            out.push_back(digits[c & 15]);
    }
}

// Appends the character at the front of `text`, which is not ASCII; returns the bytes it took.
std::size_t append_multibyte(std::string& out, std::string_view text) {
    utf8proc_int32_t value = -1;
    const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &value);
    if (size <= 0) {
        out += "\xef\xbf\xbd";
        return 1;
    }
    const auto length = static_cast<std::size_t>(size);
    if (value == 0x2028 || value == 0x2029) {
        out += value == 0x2028 ? "\\u2028" : "\\u2029";
    } else {
        out.append(text.substr(0, length));
    }
    return length;
}

template <class Number>
void append_number(std::string& out, Number number) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, number);
    out.append(buffer, end.ptr);
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
    out.push_back('"');
    while (!text.empty()) {
        const auto run = plain_size(text);
        out.append(text.data(), run);
        text.remove_prefix(run);
        if (text.empty()) {
            break;
        }
        const auto c = static_cast<unsigned char>(text.front());
        if (c < 0x80) {
            append_escaped_ascii(out, c);
            text.remove_prefix(1);
        } else {
            text.remove_prefix(append_multibyte(out, text));
        }
    }
    out.push_back('"');
}

json_writer& json_writer::key(std::string_view name) {
    separate();
    append_json_string(out_, name);
    out_.push_back(':');
    comma_ = false;
    return *this;
}

json_writer& json_writer::null() {
    return raw("null");
}

json_writer& json_writer::value(bool truth) {
    return raw(truth ? "true" : "false");
}

json_writer& json_writer::raw(std::string_view json) {
    separate();
    out_.append(json);
    comma_ = true;
    return *this;
}

json_writer& json_writer::raw_members(std::string_view members) {
    return members.empty() ? *this : raw(members);
}

json_writer& json_writer::value(std::string_view text) {
    separate();
    append_json_string(out_, text);
    comma_ = true;
    return *this;
}

json_writer& json_writer::integer(std::int64_t number) {
    separate();
    append_number(out_, number);
    comma_ = true;
    return *this;
}

json_writer& json_writer::unsigned_integer(std::uint64_t number) {
    separate();
    append_number(out_, number);
    comma_ = true;
    return *this;
}

json_writer& json_writer::value(double number) {
    if (!std::isfinite(number)) {
        return null();
    }
    separate();
    append_number(out_, number);
    comma_ = true;
    return *this;
}

json_writer& json_writer::value(const uuid& id) {
    separate();
    char text[38];
    text[0] = text[37] = '"';
    id.write(text + 1);
    out_.append(text, sizeof text);
    comma_ = true;
    return *this;
}

json_writer& json_writer::value(timestamp at) {
    separate();
    char text[rfc3339_size + 2];
    text[0] = text[rfc3339_size + 1] = '"';
    write_rfc3339(at, text + 1);
    out_.append(text, sizeof text);
    comma_ = true;
    return *this;
}

json_writer& json_writer::value(const boost::json::value& tree) {
    return raw(boost::json::serialize(tree));
}

}  // namespace insula
