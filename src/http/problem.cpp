#include "insula/http/problem.hpp"

#include "insula/core/json_writer.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace insula::http {

problem_kind kind_of(errc code) noexcept {
    switch (code) {
        case errc::malformed_request:
            return {400, "The request is malformed"};
        case errc::malformed_json:
            return {400, "The body is not valid JSON"};
        case errc::invalid_cursor:
            return {400, "The cursor is not valid"};
        case errc::invalid_token_value:
            return {400, "The token is not valid"};
        case errc::unauthenticated:
            return {401, "Authentication is required"};
        case errc::invalid_token:
            return {401, "The access token is not valid"};
        case errc::invalid_credentials:
            return {401, "The credentials are not valid"};
        case errc::invalid_refresh_token:
            return {401, "The refresh token is not valid"};
        case errc::refresh_token_reused:
            return {401, "The refresh token was used before"};
        case errc::forbidden:
            return {403, "Not allowed"};
        case errc::tenant_mismatch:
            return {403, "The tenant is not the token's"};
        case errc::tenant_suspended:
            return {403, "The tenant is suspended"};
        case errc::email_not_verified:
            return {403, "The e-mail address is not verified"};
        case errc::not_found:
            return {404, "Not found"};
        case errc::method_not_allowed:
            return {405, "The method is not allowed"};
        case errc::request_timeout:
            return {408, "The request took too long to arrive"};
        case errc::conflict:
            return {409, "Conflict"};
        case errc::slug_taken:
            return {409, "The slug is taken"};
        case errc::email_taken:
            return {409, "The e-mail address is taken"};
        case errc::name_taken:
            return {409, "The name is taken"};
        case errc::tenant_required:
            return {409, "A tenant must be chosen"};
        case errc::tenant_not_ready:
            return {409, "The tenant is not ready"};
        case errc::tenant_pending_deletion:
            return {409, "The tenant is pending deletion"};
        case errc::not_failed:
            return {409, "Nothing has failed"};
        case errc::last_owner:
            return {409, "The tenant needs an owner"};
        case errc::already_member:
            return {409, "Already a member"};
        case errc::invite_pending:
            return {409, "An invite is pending"};
        case errc::idempotency_in_progress:
            return {409, "The first request is still running"};
        case errc::precondition_failed:
            return {412, "The precondition failed"};
        case errc::payload_too_large:
            return {413, "The body is too large"};
        case errc::unsupported_media_type:
            return {415, "The media type is not supported"};
        case errc::validation_failed:
            return {422, "The content is not valid"};
        case errc::idempotency_key_reused:
            return {422, "The idempotency key was used for another request"};
        case errc::rate_limited:
            return {429, "Too many requests"};
        case errc::header_too_large:
            return {431, "The header is too large"};
        case errc::internal:
            return {500, "Internal error"};
        case errc::not_implemented:
            return {501, "Not implemented"};
        case errc::overloaded:
            return {503, "Overloaded"};
    }
    return {500, "Internal error"};
}

namespace {

void add_fields(response& r, const error& e, unsigned status) {
    if (status == 401) {
        r.set("WWW-Authenticate",
              e.code() == errc::invalid_token ? R"(Bearer error="invalid_token")" : "Bearer");
    }
    const bool asks_to_wait = e.code() == errc::rate_limited || e.code() == errc::overloaded;
    if (asks_to_wait || e.retry_after()) {
        const auto wait =
            std::max<long long>(1, e.retry_after().value_or(std::chrono::seconds(1)).count());
        r.set("Retry-After", fmt::format_int(wait).c_str());
    }
}

}  // namespace

response make_problem(const error& e, problem_kind kind, std::string_view request_id) {
    std::string body;
    body.reserve(256);
    json_writer out(body);
    out.begin_object()
        .member("type", fmt::format("urn:insula:problem:{}", e.name()))
        .member("title", kind.title)
        .member("status", kind.status)
        .member("detail", e.detail().empty() ? kind.title : e.detail())
        .member("code", e.name())
        .member("request_id", request_id);
    if (!e.fields().empty()) {
        out.key("errors").begin_array();
        for (const auto& f : e.fields()) {
            out.begin_object()
                .member("pointer", f.pointer)
                .member("code", f.code)
                .member("detail", f.detail)
                .end_object();
        }
        out.end_array();
    }
    out.raw_members(e.extension()).end_object();
    response r(kind.status, "application/problem+json", std::move(body));
    add_fields(r, e, kind.status);
    return r;
}

response make_problem(const error& e, std::string_view request_id) {
    return make_problem(e, kind_of(e.code()), request_id);
}

}  // namespace insula::http
