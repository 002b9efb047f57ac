#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace insula::http {

/// What a handler answers. Status line, Date, Content-Length, X-Request-ID, security and CORS
/// fields are added by the session.
class response {
public:
    response() = default;
    response(unsigned status, std::string_view content_type, std::string body)
        : status_(status), content_type_(content_type), body_(std::move(body)) {}

    static response json(unsigned status, std::string body) {
        return {status, "application/json", std::move(body)};
    }
    static response no_content() { return {204, {}, {}}; }
    /// `body` and `content_type` must live for ever (string literals, generated documents made at
    /// start).
    static response fixed(unsigned status, std::string_view content_type, std::string_view body);

    /// Adds a field. `name` must be a token, never input (asserted). In `value` every control
    /// character, CR and LF first of all, becomes a space (RFC 9110 5.5), so input cannot split the
    /// response. Framing and connection fields (Content-Length, Transfer-Encoding, Connection,
    /// Date, X-Request-ID) belong to the session (asserted).
    response& set(std::string_view name, std::string_view value) &;
    response&& set(std::string_view name, std::string_view value) && {
        return std::move(set(name, value));
    }
    /// Replaces `Cache-Control: no-store`. Literal.
    response& cache_control(std::string_view value) & {
        cache_control_ = value;
        return *this;
    }
    response&& cache_control(std::string_view value) && { return std::move(cache_control(value)); }
    /// Replaces `default-src 'none'; frame-ancestors 'none'` (pages). Literal.
    response& content_security_policy(std::string_view value) & {
        csp_ = value;
        return *this;
    }
    response&& content_security_policy(std::string_view value) && {
        return std::move(content_security_policy(value));
    }
    /// Ask the session to close the connection after this response.
    response& close_connection() & {
        close_ = true;
        return *this;
    }

    unsigned status() const noexcept { return status_; }
    std::string_view content_type() const noexcept { return content_type_; }
    std::string_view body() const noexcept {
        return body_.empty() ? fixed_body_ : std::string_view(body_);
    }
    std::string_view fields() const noexcept { return fields_; }  // "Name: value\r\n"...
    std::string_view cache_control() const noexcept { return cache_control_; }
    std::string_view content_security_policy() const noexcept { return csp_; }
    bool closes() const noexcept { return close_; }

private:
    unsigned status_ = 200;
    bool close_ = false;
    std::string_view content_type_;  // immortal
    std::string_view fixed_body_;
    std::string_view cache_control_;
    std::string_view csp_;
    std::string body_;
    std::string fields_;
};

/// "OK", "Not Found", ...; "Unknown" for a status we never send.
std::string_view reason(unsigned status) noexcept;

}  // namespace insula::http
