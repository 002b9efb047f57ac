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

/// Writes where there is room: the caller has made as much as all parts may take.
class lines {
public:
    explicit lines(char* at) : at_(at) {}
    template <class... Parts>
    lines& add(const Parts&... parts) {
        (put(parts), ...);
        return *this;
    }
    char* at() const noexcept { return at_; }

private:
    void put(std::string_view text) noexcept {
        if (!text.empty())
            std::memcpy(at_, text.data(), text.size());
        at_ += text.size();
    }
    char* at_;
};

/// Beyond what the response and the context bring along.
constexpr std::size_t own_bytes_max = security_fields_and_defaults.size() + 256;

void add_security(lines& out, const response& r) {
    if (r.cache_control().empty() && r.content_security_policy().empty()) {
        out.add(security_fields_and_defaults);
        return;
    }
    out.add(
        security_fields,
        "Cache-Control: ", r.cache_control().empty() ? default_cache_control : r.cache_control(),
        "\r\nContent-Security-Policy: ",
        r.content_security_policy().empty() ? default_policy : r.content_security_policy(), "\r\n");
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
    const auto before = out.size();
    out.resize(before + own_bytes_max + reason(r.status()).size() + r.content_type().size() +
               context.request_id.size() + r.cache_control().size() +
               r.content_security_policy().size() + context.cors_fields.size() + r.fields().size());
    lines head(out.data() + before);
    if (r.status() == 200) {
        head.add("HTTP/1.1 200 OK\r\n");
    } else {
        const fmt::format_int status(r.status());
        head.add("HTTP/1.1 ", std::string_view(status.data(), status.size()), " ",
                 reason(r.status()), "\r\n");
    }
    head.add(date_line());
    if (!has_no_body(r.status())) {
        if (!r.content_type().empty())
            head.add("Content-Type: ", r.content_type(), "\r\n");
        const fmt::format_int length(r.body().size());
        head.add("Content-Length: ", std::string_view(length.data(), length.size()), "\r\n");
    }
    head.add("X-Request-ID: ", context.request_id, "\r\n");
    add_security(head, r);
    head.add(context.cors_fields, r.fields());
    if (context.close) {
        head.add("Connection: close\r\n");
    } else if (context.http10) {
        head.add("Connection: keep-alive\r\n");
    }
    head.add("\r\n");
    out.resize(static_cast<std::size_t>(head.at() - out.data()));
}

std::string_view body_to_send(const response& r, const answer_context& context) noexcept {
    return context.head || has_no_body(r.status()) ? std::string_view() : r.body();
}

}  // namespace insula::http
