#include "http/guard.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace insula::http {
namespace {

constexpr auto token_table = [] {
    std::array<bool, 256> t{};
    for (const char c : std::string_view(
             "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
        t[static_cast<unsigned char>(c)] = true;
    }
    return t;
}();

/// field-vchar, SP and HTAB; everything else is a control character.
constexpr auto value_table = [] {
    std::array<bool, 256> t{};
    for (std::size_t i = 0; i < t.size(); ++i)
        t[i] = i == '\t' || (i >= 0x20 && i != 0x7f);
    return t;
}();

constexpr bool token_char(char c) noexcept {
    return token_table[static_cast<unsigned char>(c)];
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

bool all_digits(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), digit);
}

struct line {
    bool ok = false;
    bool http11 = false;
};

line check_request_line(std::string_view text) noexcept {
    constexpr std::size_t method_bytes_max = 32;
    const auto method_end = text.find(' ');
    if (method_end == std::string_view::npos || method_end > method_bytes_max)
        return {};
    if (!is_token(text.substr(0, method_end)))
        return {};
    auto rest = text.substr(method_end + 1);
    const auto target_end = rest.find(' ');
    if (target_end == 0 || target_end == std::string_view::npos)
        return {};
    for (const char c : rest.substr(0, target_end)) {
        // No control characters, no octets above ASCII (a URI has none), and a fragment is never
        // sent.
        if (c <= ' ' || c == 0x7f || static_cast<signed char>(c) < 0 || c == '#')
            return {};
    }
    const auto version = rest.substr(target_end + 1);
    return {version == "HTTP/1.1" || version == "HTTP/1.0", version == "HTTP/1.1"};
}

/// The fields that decide where a message ends or whether it is ours, counted while the header is
/// walked.
struct framing_fields {
    unsigned content_lengths = 0, codings = 0, hosts = 0, expectations = 0;
    std::string_view content_length, coding, host, expectation;

    void see(std::string_view name, std::string_view value) noexcept {
        switch (name.size()) {
            case 4:
                if (iequals(name, "host"))
                    ++hosts, host = value;
                break;
            case 6:
                if (iequals(name, "expect"))
                    ++expectations, expectation = value;
                break;
            case 14:
                if (iequals(name, "content-length"))
                    ++content_lengths, content_length = value;
                break;
            case 17:
                if (iequals(name, "transfer-encoding"))
                    ++codings, coding = value;
                break;
            default:
                break;
        }
    }
};

/// `gzip, chunked` and the like: well-formed, and not for us (501, RFC 9112 6.1). Anything odder is
/// malformed.
bool known_codings_then_chunked(std::string_view value) noexcept {
    bool chunked = false;
    std::size_t codings = 0;
    while (true) {
        const auto comma = value.find(',');
        const auto coding = trim_ows(value.substr(0, comma));
        if (chunked)
            return false;  // chunked must be last and once
        chunked = iequals(coding, "chunked");
        const bool known = iequals(coding, "gzip") || iequals(coding, "x-gzip") ||
                           iequals(coding, "deflate") || iequals(coding, "compress") ||
                           iequals(coding, "x-compress");
        if (!chunked && !known)
            return false;
        ++codings;
        if (comma == std::string_view::npos)
            return chunked && codings > 1;
        value.remove_prefix(comma + 1);
    }
}

refusal check_framing(const framing_fields& f, bool http11) noexcept {
    if (f.content_lengths + f.codings > 1)
        return refusal::malformed;
    if (f.codings == 1) {
        if (!http11)
            return refusal::malformed;
        if (!iequals(f.coding, "chunked"))
            return known_codings_then_chunked(f.coding) ? refusal::unknown_coding
                                                        : refusal::malformed;
    }
    if (f.content_lengths == 1) {
        if (!all_digits(f.content_length))
            return refusal::malformed;
        constexpr std::size_t digits_max = 18;  // more overflows 64 bits; no body is that long
        if (f.content_length.size() > digits_max)
            return refusal::body_too_large;
    }
    if (f.hosts > 1 || (http11 && f.hosts == 0))
        return refusal::malformed;
    if (f.hosts == 1 && !valid_host(f.host))
        return refusal::malformed;
    if (f.expectations > 0 && http11) {
        if (f.expectations > 1 || !iequals(f.expectation, "100-continue"))
            return refusal::expectation;
    }
    return refusal::none;
}

}  // namespace

bool is_token(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), token_char);
}

bool iequals(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size())
        return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

std::string_view trim_ows(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool valid_host(std::string_view host) noexcept {
    constexpr std::size_t port_digits_max = 5;
    std::string_view port;
    if (!host.empty() && host.front() == '[') {
        const auto close = host.find(']');
        if (close == std::string_view::npos || close < 3)
            return false;
        for (const char c : host.substr(1, close - 1)) {
            if (hex(static_cast<unsigned char>(c)) < 0 && c != ':' && c != '.')
                return false;
        }
        port = host.substr(close + 1);
    } else {
        const auto colon = host.find(':');
        const auto label = host.substr(0, colon);
        if (label.empty())
            return false;
        for (const char c : label) {
            const bool alnum = digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
            if (!alnum && c != '-' && c != '.' && c != '_' && c != '~')
                return false;
        }
        if (colon != std::string_view::npos)
            port = host.substr(colon);
    }
    if (port.empty())
        return true;
    if (port.front() != ':')
        return false;
    port.remove_prefix(1);
    return port.size() <= port_digits_max && (port.empty() || all_digits(port));
}

header_scanner::found header_scanner::scan(std::string_view data, std::size_t bytes_max) noexcept {
    // What does not start like a method never becomes one: a TLS hello has no line feed to wait
    // for.
    if (!data.empty() && !token_char(data.front()))
        return {refusal::malformed, 0};
    const auto visible = data.substr(0, bytes_max);
    while (scanned_ < visible.size()) {
        const void* hit = std::memchr(visible.data() + scanned_, '\n', visible.size() - scanned_);
        if (hit == nullptr) {
            scanned_ = visible.size();
            break;
        }
        const auto at = static_cast<std::size_t>(static_cast<const char*>(hit) - visible.data());
        if (at == 0 || visible[at - 1] != '\r')
            return {refusal::malformed, 0};
        scanned_ = at + 1;
        if (at - 1 == line_)
            return {refusal::none, scanned_};
        line_ = scanned_;
    }
    if (data.size() >= bytes_max)
        return {refusal::header_too_large, 0};
    return {};
}

refusal check_header(std::string_view header, std::size_t fields_max) noexcept {
    auto end = header.find("\r\n");
    if (end == std::string_view::npos)
        return refusal::malformed;
    const auto first = check_request_line(header.substr(0, end));
    if (!first.ok)
        return refusal::malformed;
    header.remove_prefix(end + 2);

    framing_fields framing;
    std::size_t fields = 0;
    while ((end = header.find("\r\n")) != 0) {
        if (end == std::string_view::npos)
            return refusal::malformed;
        const auto text = header.substr(0, end);
        std::size_t colon = 0;
        while (colon < text.size() && token_char(text[colon]))
            ++colon;
        // A fold starts with white space, white space before the colon is no token: both end here.
        if (colon == 0 || colon == text.size() || text[colon] != ':')
            return refusal::malformed;
        const auto value = text.substr(colon + 1);
        for (const char c : value) {
            if (!value_table[static_cast<unsigned char>(c)])
                return refusal::malformed;
        }
        if (++fields > fields_max)
            return refusal::header_too_large;
        framing.see(text.substr(0, colon), trim_ows(value));
        header.remove_prefix(end + 2);
    }
    if (header.size() != 2)
        return refusal::malformed;
    return check_framing(framing, first.http11);
}

chunk_guard::progress chunk_guard::feed(std::string_view data) noexcept {
    std::size_t at = 0;
    std::size_t whole = 0;
    while (at < data.size() && state_ != state::done) {
        if (state_ == state::data) {
            const auto n = std::min<std::uint64_t>(size_, data.size() - at);
            size_ -= n;
            at += static_cast<std::size_t>(n);
            whole = at;
            if (size_ == 0)
                state_ = state::data_cr;
            continue;
        }
        const auto why = step(static_cast<unsigned char>(data[at]));
        if (why != refusal::none)
            return {why, at, whole, false};
        ++at;
        if (state_ == state::data || state_ == state::done)
            whole = at;
    }
    return {refusal::none, at, whole, state_ == state::done};
}

refusal chunk_guard::count_line_octet() noexcept {
    ++overhead_;
    if (++line_ > bounds_.line_bytes_max)
        return refusal::malformed;
    return overhead_ > bounds_.overhead_bytes_max + body_ / 16 ? refusal::malformed : refusal::none;
}

refusal chunk_guard::end_of_line() noexcept {
    line_ = digits_ = 0;
    if (size_ == 0) {
        state_ = state::last_cr;
        return refusal::none;
    }
    state_ = state::data;
    body_ += size_;
    return body_ > bounds_.body_bytes_max ? refusal::body_too_large : refusal::none;
}

refusal chunk_guard::step(unsigned char c) noexcept {
    if (const auto why = count_line_octet(); why != refusal::none)
        return why;
    switch (state_) {
        case state::size_first:
        case state::size: {
            const int value = hex(c);
            if (value >= 0) {
                constexpr unsigned digits_max = 15;  // leading zeros count too; 16 could overflow
                if (++digits_ > digits_max)
                    return refusal::malformed;
                size_ = size_ * 16 + static_cast<unsigned>(value);
                state_ = state::size;
                return refusal::none;
            }
            return state_ == state::size ? extension(c) : refusal::malformed;
        }
        case state::line_feed:
            return c == '\n' ? end_of_line() : refusal::malformed;
        case state::data_cr:
        case state::last_cr:
            // After the last chunk anything but the empty line would be a trailer.
            if (c != '\r')
                return refusal::malformed;
            state_ = state_ == state::data_cr ? state::data_lf : state::last_lf;
            return refusal::none;
        case state::data_lf:
        case state::last_lf:
            if (c != '\n')
                return refusal::malformed;
            line_ = 0;
            state_ = state_ == state::data_lf ? state::size_first : state::done;
            return refusal::none;
        case state::data:
        case state::done:
            return refusal::malformed;
        default:
            return extension(c);
    }
}

/// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 7.1.1;
/// white space is taken only after a semicolon or around "=", never between the size and the line's
/// end.
refusal chunk_guard::extension(unsigned char c) noexcept {
    const bool blank = c == ' ' || c == '\t';
    const bool token = token_table[c];
    const auto go = [this](state next) {
        state_ = next;
        return refusal::none;
    };
    switch (state_) {
        case state::ext_quoted:
            if (c == '"')
                return go(state::ext_after_value);
            if (c == '\\')
                return go(state::ext_escape);
            return value_table[c] ? refusal::none : refusal::malformed;
        case state::ext_escape:
            return value_table[c] ? go(state::ext_quoted) : refusal::malformed;
        case state::ext_before_name:
            if (blank)
                return refusal::none;
            return token ? go(state::ext_name) : refusal::malformed;
        case state::ext_before_value:
            if (blank)
                return refusal::none;
            if (c == '"')
                return go(state::ext_quoted);
            return token ? go(state::ext_token) : refusal::malformed;
        case state::ext_after_name:
            if (blank)
                return refusal::none;
            return c == '=' ? go(state::ext_before_value) : refusal::malformed;
        case state::ext_name:
            if (token)
                return refusal::none;
            if (c == '=')
                return go(state::ext_before_value);
            if (blank)
                return go(state::ext_after_name);
            break;
        case state::ext_token:
            if (token)
                return refusal::none;
            break;
        default:
            break;  // after the size or after a value
    }
    if (c == ';')
        return go(state::ext_before_name);
    return c == '\r' ? go(state::line_feed) : refusal::malformed;
}

}  // namespace insula::http
