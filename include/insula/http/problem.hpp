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

/// The problem+json (RFC 9457) of an error: type, title, status, detail, code, request_id, `errors`
/// where the error has field errors, and the members of error::extension(). error::internal() is
/// never shown. Fields: `WWW-Authenticate` on 401 (`Bearer error="invalid_token"` for
/// invalid_token), `Retry-After` from error::retry_after(), 1 second by default for rate_limited
/// and overloaded. The session calls this for every error a handler returns; handlers need it only
/// to store an answer.
response make_problem(const error& e, std::string_view request_id);

/// The same with another status than the code's (417 has no code of its own).
response make_problem(const error& e, problem_kind kind, std::string_view request_id);

}  // namespace insula::http
