#pragma once
// The stable error codes of the API (API.md section 1), as one Boost error category.

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>

#include <string_view>
#include <type_traits>

namespace insula {

/// Everything that can go wrong in a way a client is told about. The enumerator's name *is* the
/// `code` member of the problem document, so an enumerator is never renamed. The HTTP status of
/// each code is decided in one place, http/problem.hpp.
enum class errc : int {
    // 400: the syntax of the request
    malformed_request = 1,
    malformed_json,
    invalid_cursor,
    invalid_token_value,
    // 401
    unauthenticated,
    invalid_token,
    invalid_credentials,
    invalid_refresh_token,
    refresh_token_reused,
    // 403
    forbidden,
    tenant_mismatch,
    tenant_suspended,
    email_not_verified,
    // 404, 405, 408
    not_found,
    method_not_allowed,
    request_timeout,
    // 409: conflict and its kinds
    conflict,
    slug_taken,
    email_taken,
    name_taken,
    tenant_required,
    tenant_not_ready,
    tenant_pending_deletion,
    not_failed,
    last_owner,
    already_member,
    invite_pending,
    idempotency_in_progress,
    // 412, 413, 415
    precondition_failed,
    payload_too_large,
    unsupported_media_type,
    // 422: the content of the request
    validation_failed,
    idempotency_key_reused,
    // 429, 431
    rate_limited,
    header_too_large,
    // 5xx
    internal,
    not_implemented,
    overloaded,
};

/// The last enumerator, for tables indexed by code and for tests that walk over all of them.
inline constexpr errc errc_last = errc::overloaded;

/// The stable snake_case code, e.g. "slug_taken". Static storage.
[[nodiscard]] std::string_view name(errc code) noexcept;

/// Category "insula"; message() is the code's name.
[[nodiscard]] const boost::system::error_category& insula_category() noexcept;

[[nodiscard]] inline boost::system::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), insula_category()};
}

}  // namespace insula

template <>
struct boost::system::is_error_code_enum<insula::errc> : std::true_type {};
