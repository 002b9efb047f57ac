#pragma once
// What a function answers instead of a value: a code, a text safe for clients, a text for the log.

#include "insula/core/errc.hpp"

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace insula {

/// One wrong member of a body (`pointer` is an RFC 6901 JSON pointer) or one wrong parameter
/// (`query/limit` style). `code` is stable, `detail` is for people; neither ever echoes a value.
struct field_error {
    std::string pointer;
    std::string code;
    std::string detail;

    bool operator==(const field_error&) const = default;
};

/// An expected failure. 24 bytes, cheap to move and to copy; the texts are shared and immutable.
class [[nodiscard]] error {
public:
    /// internal. What result<T>::error() answers when there is no error.
    error() noexcept : code_(errc::internal) {}
    /// Implicit, so that `return errc::not_found;` reads well. `detail` is sent to clients: never
    /// put a password, a token, a name of another tenant or server text in it. `internal` goes to
    /// the log only.
    error(errc code, std::string detail = {}, std::string internal = {});

    /// validation_failed (422) with every wrong field of a request.
    static error validation(std::vector<field_error> fields);
    /// validation_failed (422) with one wrong field.
    static error validation(std::string pointer, std::string code, std::string detail);

    [[nodiscard]] errc code() const noexcept { return code_; }
    [[nodiscard]] std::string_view name() const noexcept { return insula::name(code_); }
    /// Safe for clients; may be empty. Valid as long as any copy of this error lives.
    [[nodiscard]] std::string_view detail() const noexcept;
    /// For the log only; may be empty.
    [[nodiscard]] std::string_view internal() const noexcept;
    [[nodiscard]] std::span<const field_error> fields() const noexcept;
    /// When a client may try again (429, 503).
    [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const noexcept;
    /// Further members of the problem document as JSON text without the braces, e.g.
    /// `"tenants":[…]`; empty for nearly every error.
    [[nodiscard]] std::string_view extension() const noexcept;

    /// Copies of this error with one thing added.
    [[nodiscard]] error with_retry_after(std::chrono::seconds wait) const;
    [[nodiscard]] error with_extension(std::string members_json) const;
    [[nodiscard]] error with_internal(std::string internal) const;

    /// "code: detail [internal]", for logs and test failures.
    [[nodiscard]] std::string describe() const;

    friend bool operator==(const error& e, errc code) noexcept { return e.code_ == code; }

private:
    struct details;
    error(errc code, std::shared_ptr<const details> more) noexcept;
    [[nodiscard]] details copy_details() const;

    errc code_;
    std::shared_ptr<const details> more_;
};

/// Lost infrastructure: no database, a full disk. Caught once, at the session, and answered with
/// 503.
class infrastructure_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Thrown by result::value() on an error: asking without having looked is a bug.
class bad_result : public std::logic_error {
public:
    explicit bad_result(const error& e);
    [[nodiscard]] const error& reason() const noexcept { return reason_; }

private:
    error reason_;
};

[[noreturn]] void throw_exception_from_error(const error& e, const boost::source_location& where);

template <class T = void>
using result = boost::system::result<T, error>;

}  // namespace insula
