#include "http/cors.hpp"

#include "insula/core/text.hpp"

#include <fmt/format.h>

namespace insula::http {
namespace {

constexpr std::string_view exposed = "ETag, Location, Retry-After, WWW-Authenticate, X-Request-ID";
constexpr std::string_view accepted =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID, "
    "X-Tenant-Slug, traceparent";
constexpr std::string_view any_fields =
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Expose-Headers: ETag, Location, Retry-After, WWW-Authenticate, "
    "X-Request-ID\r\n";

}  // namespace

cors::cors(const std::vector<std::string>& origins) {
    for (const auto& origin : origins) {
        if (origin == "*") {
            any_ = true;
            continue;
        }
        origins_.push_back(
            {ascii_lower(origin), fmt::format("Access-Control-Allow-Origin: {}\r\nVary: Origin\r\n"
                                              "Access-Control-Expose-Headers: {}\r\n",
                                              origin, exposed)});
    }
}

std::string_view cors::fields(std::optional<std::string_view> origin) const noexcept {
    if (any_)
        return any_fields;
    if (origins_.empty())
        return {};
    if (origin) {
        for (const auto& known : origins_) {
            if (known.origin == *origin)
                return known.fields;
        }
    }
    return "Vary: Origin\r\n";
}

std::string cors::preflight(const request& r, std::string_view allow) const {
    if (!enabled() || !r.header("Origin") || !r.header("Access-Control-Request-Method"))
        return {};
    return fmt::format(
        "Access-Control-Allow-Methods: {}\r\nAccess-Control-Allow-Headers: "
        "{}\r\nAccess-Control-Max-Age: 600\r\n",
        allow, accepted);
}

}  // namespace insula::http
