#include "http/answer.hpp"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <ctime>

namespace insula::http {
namespace {

constexpr std::string_view default_cache_control = "no-store";
constexpr std::string_view default_policy = "default-src 'none'; frame-ancestors 'none'";
constexpr std::string_view security_fields =
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";
/// The usual case as one block.
constexpr std::string_view security_fields_and_defaults =
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";

bool has_no_body(unsigned status) noexcept {
    return status < 200 || status == 204 || status == 304;
}

void append_line(std::string& out, std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
}

void append_security(std::string& out, const response& r) {
    if (r.cache_control().empty() && r.content_security_policy().empty()) {
        out.append(security_fields_and_defaults);
        return;
    }
    out.append(security_fields);
    append_line(out, "Cache-Control",
                r.cache_control().empty() ? default_cache_control : r.cache_control());
    append_line(out, "Content-Security-Policy",
                r.content_security_policy().empty() ? default_policy : r.content_security_policy());
}

}  // namespace

std::string_view date_line() noexcept {
    static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static thread_local std::time_t second = -1;
    static thread_local std::array<char, 64> text;
    static thread_local std::size_t size = 0;
    const std::time_t now = std::time(nullptr);
    if (now != second) {
        second = now;
        std::tm utc{};
        gmtime_r(&now, &utc);
        const auto end =
            fmt::format_to_n(text.data(), text.size(),
                             FMT_COMPILE("Date: {}, {:02} {} {} {:02}:{:02}:{:02} GMT\r\n"),
                             days[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                             months[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900,
                             utc.tm_hour, utc.tm_min, utc.tm_sec);
        size = end.size;
    }
    return {text.data(), size};
}

void write_head(std::string& out, const response& r, const answer_context& context) {
    if (r.status() == 200) {
        out.append("HTTP/1.1 200 OK\r\n");
    } else {
        out.append("HTTP/1.1 ")
            .append(fmt::format_int(r.status()).c_str())
            .append(" ")
            .append(reason(r.status()))
            .append("\r\n");
    }
    out.append(date_line());
    if (!has_no_body(r.status())) {
        if (!r.content_type().empty())
            append_line(out, "Content-Type", r.content_type());
        const fmt::format_int length(r.body().size());
        append_line(out, "Content-Length", {length.data(), length.size()});
    }
    append_line(out, "X-Request-ID", context.request_id);
    append_security(out, r);
    out.append(context.cors_fields).append(r.fields());
    if (context.close) {
        out.append("Connection: close\r\n");
    } else if (context.http10) {
        out.append("Connection: keep-alive\r\n");
    }
    out.append("\r\n");
}

std::string_view body_to_send(const response& r, const answer_context& context) noexcept {
    return context.head || has_no_body(r.status()) ? std::string_view() : r.body();
}

}  // namespace insula::http
