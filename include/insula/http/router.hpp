#pragma once

#include "insula/http/method.hpp"
#include "insula/http/request.hpp"

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace insula::http {

/// Who may call a route. There is no default: a row's endpoint must carry one.
enum class policy : std::uint8_t { anonymous, user, member, admin, owner, operator_ };

enum class body_rule : std::uint8_t {
    none,      // a body is read and ignored
    json,      // Content-Type must be application/json, else 415
    optional,  // the same, but only when there is a body
};

struct route_options {
    body_rule body = body_rule::none;
    std::size_t body_bytes_max = 0;  // 0: limits::body_bytes_max
    std::string_view rate =
        {};  // class of the per-address limit checked before anything else; empty: none
    bool redact_path = false;  // the path holds a secret: only the pattern may be logged
    std::chrono::milliseconds timeout{0};  // 0: limits::request_timeout
};

/// What http knows about a route, whatever its endpoint is.
struct route_info {
    http::method method;
    std::string_view pattern;  // "/api/v1/projects/{id}"
    http::policy policy;
    route_options options;
};

template <class E>
concept route_endpoint = requires(const E& e) {
    { e.policy } -> std::convertible_to<policy>;
};

/// One row of the table. Endpoint is the user's type; it has a `policy` member and, in api, can
/// only be made by a factory named after a policy (`member(&list_projects)`), so a row without a
/// policy does not compile.
template <route_endpoint Endpoint>
struct route_row : route_info {
    Endpoint endpoint;

    consteval route_row(http::method m, std::string_view pattern, Endpoint e,
                        route_options options = {})
        : route_info{m, pattern, e.policy, options}, endpoint(e) {}
};

using path_params = std::array<std::string_view, path_params_max>;

struct route_match {
    const route_info* route =
        nullptr;             // null: 404 when allow is empty, else 405 (or OPTIONS to be answered)
    std::size_t index = 0;   // of the row in the table
    std::string_view allow;  // "GET, HEAD, OPTIONS" of the path, immortal
    path_params params{};    // views into the path
};

/// Value of an Allow field for a set of routed methods (bit = 1 << method); immortal.
std::string_view allow_value(unsigned mask) noexcept;

/// Compile-time table: `constexpr auto routes = router(std::to_array<route_row<E>>({...}))`. A
/// malformed pattern, two rows for the same method and path shape, or a HEAD/OPTIONS row do not
/// compile. Literal segments win over parameters.
template <class Endpoint, std::size_t N>
class router;

}  // namespace insula::http

#include "insula/http/detail/router_impl.hpp"
