#include "http/guard.hpp"

#include "http/characters.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace insula::http {
namespace {

bool all_digits(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), digit);
}

/// Neither of the two loops below leaves early: compilers turn such loops into a few instructions
/// for sixteen octets, and nearly always all octets are right.
bool target_characters(std::string_view text) noexcept {
    // No control characters, no octets above ASCII (a URI has none), and a fragment is never sent.
    bool bad = false;
    for (const char c : text)
        bad |= static_cast<signed char>(c) <= ' ' || c == 0x7f || c == '#';
    return !bad;
}

/// As value_table.
bool value_characters(std::string_view text) noexcept {
    bool bad = false;
    for (const char c : text)
        bad |= (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f;
    return !bad;
}

bool parse_request_line(std::string_view text, message_head& head) noexcept {
    constexpr std::size_t method_bytes_max = 32;
    const auto method_end = text.find(' ');
    if (method_end > method_bytes_max)  // as npos is
        return false;
    head.method = text.substr(0, method_end);
    if (!is_token(head.method))
        return false;
    auto rest = text.substr(method_end + 1);
    const auto target_end = rest.find(' ');
    if (target_end == 0 || target_end == std::string_view::npos)
        return false;
    head.target = rest.substr(0, target_end);
    const auto version = rest.substr(target_end + 1);
    head.http11 = version == "HTTP/1.1";
    return (head.http11 || version == "HTTP/1.0") && target_characters(head.target);
}

/// Options of a Connection field; elements of the list may be empty (RFC 9110 5.6.1.2). `close` and
/// `keep-alive` of Proxy-Connection mean nothing, but it has the same form.
bool parse_connection(std::string_view options, bool proxy, message_head& head) noexcept {
    while (true) {
        const auto comma = options.find(',');
        const auto option = trim_ows(options.substr(0, comma));
        if (!option.empty() && !is_token(option))
            return false;
        if (!proxy) {
            head.says_close = head.says_close || iequals(option, "close");
            head.says_keep_alive = head.says_keep_alive || iequals(option, "keep-alive");
        }
        if (comma == std::string_view::npos)
            return true;
        options.remove_prefix(comma + 1);
    }
}

/// The fields that decide where a message ends or whether it is ours, counted while the header is
/// walked.
struct framing_fields {
    unsigned content_lengths = 0, codings = 0, hosts = 0, expectations = 0;
    std::string_view content_length, coding, host, expectation;

    /// False: malformed.
    bool see(std::string_view name, std::string_view value, message_head& head) noexcept {
        switch (name.size()) {
            case 4:
                if (iequals(name, "host"))
                    ++hosts, host = value;
                break;
            case 6:
                if (iequals(name, "expect"))
                    ++expectations, expectation = value;
                break;
            case 10:
                if (iequals(name, "connection"))
                    return parse_connection(value, false, head);
                break;
            case 14:
                if (iequals(name, "content-length"))
                    ++content_lengths, content_length = value;
                break;
            case 16:
                if (iequals(name, "proxy-connection"))
                    return parse_connection(value, true, head);
                break;
            case 17:
                if (iequals(name, "transfer-encoding"))
                    ++codings, coding = value;
                break;
            default:
                break;
        }
        return true;
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

refusal check_framing(const framing_fields& f, message_head& head) noexcept {
    const bool http11 = head.http11;
    if (f.content_lengths + f.codings > 1)
        return refusal::malformed;
    if (f.codings == 1) {
        if (!http11)
            return refusal::malformed;
        if (!iequals(f.coding, "chunked"))
            return known_codings_then_chunked(f.coding) ? refusal::unknown_coding
                                                        : refusal::malformed;
        head.chunked = true;
    }
    if (f.content_lengths == 1) {
        if (!all_digits(f.content_length))
            return refusal::malformed;
        constexpr std::size_t digits_max = 18;  // more overflows 64 bits; no body is that long
        if (f.content_length.size() > digits_max)
            return refusal::body_too_large;
        std::from_chars(f.content_length.data(), f.content_length.data() + f.content_length.size(),
                        head.content_length);
    }
    if (f.hosts > 1 || (http11 && f.hosts == 0))
        return refusal::malformed;
    if (f.hosts == 1 && !valid_host(f.host))
        return refusal::malformed;
    if (f.expectations > 0 && http11) {
        if (f.expectations > 1 || !iequals(f.expectation, "100-continue"))
            return refusal::expectation;
        head.expects_continue = true;
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
        if (!std::all_of(label.begin(), label.end(), host_char))
            return false;
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
    // RFC 9112 3: a target that is longer than we read has a status of its own.
    if (data.size() >= bytes_max)
        return {line_ == 0 ? refusal::target_too_long : refusal::header_too_large, 0};
    return {};
}

refusal parse_header(std::string_view header, std::size_t fields_max, message_head& head,
                     std::vector<field>& fields) {
    auto end = header.find("\r\n");
    if (end == std::string_view::npos || !parse_request_line(header.substr(0, end), head))
        return refusal::malformed;
    header.remove_prefix(end + 2);

    framing_fields framing;
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
        const auto name = text.substr(0, colon);
        auto value = text.substr(colon + 1);
        if (!value_characters(value))
            return refusal::malformed;
        if (fields.size() == fields_max)
            return refusal::header_too_large;
        value = trim_ows(value);
        fields.push_back({name, value});
        if (!framing.see(name, value, head))
            return refusal::malformed;
        header.remove_prefix(end + 2);
    }
    if (header.size() != 2)
        return refusal::malformed;
    return check_framing(framing, head);
}

}  // namespace insula::http
