#include "insula/observe/trace.hpp"

#include "insula/core/random.hpp"

#include <span>

namespace insula::observe {
namespace {

constexpr char digits[] = "0123456789abcdef";

// Upper case is not allowed by the specification.
constexpr int digit_value(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool read_hex(std::string_view text, std::span<std::uint8_t> out) noexcept {
    for (std::size_t i = 0; i < out.size(); ++i) {
        const int high = digit_value(text[2 * i]);
        const int low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return true;
}

void append_hex(std::string& out, std::span<const std::uint8_t> data) {
    for (const auto byte : data) {
        out.push_back(digits[byte >> 4]);
        out.push_back(digits[byte & 15]);
    }
}

template <std::size_t Size>
bool all_zero(const std::array<std::uint8_t, Size>& id) noexcept {
    return id == std::array<std::uint8_t, Size>{};
}

template <std::size_t Size>
void fill_random(std::array<std::uint8_t, Size>& id) {
    do {
        random_bytes(id);
    } while (all_zero(id));
}

}  // namespace

std::optional<trace_context> trace_context::parse(std::string_view text) noexcept {
    constexpr std::size_t size = 55;
    if (text.size() < size || text[2] != '-' || text[35] != '-' || text[52] != '-') {
        return std::nullopt;
    }
    std::array<std::uint8_t, 1> version{};
    std::array<std::uint8_t, 1> flags{};
    trace_context context;
    if (!read_hex(text.substr(0, 2), version) || !read_hex(text.substr(3, 32), context.trace_id) ||
        !read_hex(text.substr(36, 16), context.span_id) || !read_hex(text.substr(53, 2), flags)) {
        return std::nullopt;
    }
    // Later versions may append fields behind a hyphen; version 00 may not.
    const bool shape =
        version[0] == 0 ? text.size() == size : text.size() == size || text[size] == '-';
    if (!shape || version[0] == 0xff || all_zero(context.trace_id) || all_zero(context.span_id)) {
        return std::nullopt;
    }
    context.flags = flags[0];
    return context;
}

trace_context trace_context::start() {
    trace_context context;
    fill_random(context.trace_id);
    fill_random(context.span_id);
    return context;
}

trace_context trace_context::from_header(std::string_view traceparent) {
    const auto caller = parse(traceparent);
    return caller ? caller->child() : start();
}

trace_context trace_context::child() const {
    trace_context context = *this;
    fill_random(context.span_id);
    // Of the flags only "sampled" is known to version 00, which is what we send.
    context.flags = flags & 1;
    return context;
}

std::string trace_context::traceparent() const {
    std::string text = "00-";
    text.reserve(55);
    append_hex(text, trace_id);
    text.push_back('-');
    append_hex(text, span_id);
    text.push_back('-');
    append_hex(text, std::span(&flags, 1));
    return text;
}

std::string trace_context::trace_id_hex() const {
    std::string text;
    append_hex(text, trace_id);
    return text;
}

std::string trace_context::span_id_hex() const {
    std::string text;
    append_hex(text, span_id);
    return text;
}

}  // namespace insula::observe
