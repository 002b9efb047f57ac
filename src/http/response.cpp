#include "insula/http/response.hpp"

#include "http/characters.hpp"
#include "http/guard.hpp"

#include <boost/assert.hpp>

#include <algorithm>
#include <array>

namespace insula::http {
namespace {

bool owned_by_the_session(std::string_view name) noexcept {
    static constexpr std::array<std::string_view, 11> owned{
        "content-length", "transfer-encoding", "connection",    "date",
        "x-request-id",   "content-type",      "cache-control", "content-security-policy",
        "keep-alive",     "upgrade",           "trailer"};
    return std::ranges::any_of(owned, [name](std::string_view one) { return iequals(name, one); });
}

}  // namespace

response response::fixed(unsigned status, std::string_view content_type, std::string_view body) {
    response r(status, content_type, {});
    r.fixed_body_ = body;
    return r;
}

response& response::set(std::string_view name, std::string_view value) & {
    const bool good_name = is_token(name) && !owned_by_the_session(name);
    BOOST_ASSERT_MSG(good_name, "field names are literals of the program and not the session's");
    if (!good_name)
        return *this;
    fields_.append(name).append(": ");
    const auto start = fields_.size();
    fields_.append(trim_ows(value));
    std::replace_if(
        fields_.begin() + static_cast<std::ptrdiff_t>(start), fields_.end(),
        [](char c) { return !value_table[static_cast<unsigned char>(c)]; }, ' ');
    fields_.append("\r\n");
    return *this;
}

std::string_view reason(unsigned status) noexcept {
    switch (status) {
        case 100:
            return "Continue";
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
        case 303:
            return "See Other";
        case 304:
            return "Not Modified";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 412:
            return "Precondition Failed";
        case 413:
            return "Content Too Large";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 422:
            return "Unprocessable Content";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 503:
            return "Service Unavailable";
        default:
            return "Unknown";
    }
}

}  // namespace insula::http
