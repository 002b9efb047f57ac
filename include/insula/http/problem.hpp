#pragma once

#include "insula/core/error.hpp"
#include "insula/http/response.hpp"

#include <string_view>

namespace insula::http {

struct problem_kind {
    unsigned status;
    std::string_view title;
};

/// Status and title of every error code (API.md 1).
problem_kind kind_of(errc code) noexcept;

/// The problem+json (RFC 9457) of an error: type, title, status, detail, code, request_id, and
/// `errors` where the error has field errors. `error::internal()` is never shown. `members`:
/// further members, as JSON text without braces
/// (`"tenants":[...]`), or empty.
/// Adds `WWW-Authenticate: Bearer` to 401 and `Retry-After: 1` to 503; a 429 gets its Retry-After
/// from rate_limited().
response make_problem(const error& e, std::string_view request_id, std::string_view members = {});

/// 429 with Retry-After in whole seconds (at least 1).
response rate_limited(unsigned retry_after_seconds, std::string_view request_id);

}  // namespace insula::http
