#pragma once

#include "insula/http/method.hpp"
#include "insula/http/query.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/stream.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace insula::http {

struct field {
    std::string_view name;   // as sent
    std::string_view value;  // without the white space around it
};

inline constexpr std::size_t path_params_max = 4;

/// One request as a handler sees it. Every view stays valid until the handler's response has been
/// written; nothing here may be kept longer. Made by the session only.
struct request {
    http::method method = method::get;  // HEAD stays HEAD although it is routed as GET
    std::string_view target;            // as sent, without scheme and authority
    std::string_view path;              // decoded once; the form that was routed
    query_string query;                 // decoded; no name occurs twice
    std::span<const field> fields;      // in order of arrival
    std::string_view body;              // complete, framing removed; empty when there was none
    std::string_view request_id;        // [A-Za-z0-9._-]{1,64}
    std::string_view traceparent;       // continued (our span id), empty when the client sent none
    std::string_view
        client;  // client address as text ("203.0.113.7", "2001:db8::1"), proxies considered
    std::string_view client_key;  // the same as a key for counting: IPv6 by /64
    runtime::address peer;        // the socket's other end
    runtime::deadline deadline;   // of the whole request
    std::array<std::string_view, path_params_max> params{};  // of the route's pattern, in order

    /// First field of that name (ASCII case-insensitive), nullopt when absent.
    std::optional<std::string_view> header(std::string_view name) const noexcept;
    /// How often the field was sent: for fields where two would be an ambiguity (Authorization,
    /// X-Tenant-Slug).
    std::size_t header_count(std::string_view name) const noexcept;
};

}  // namespace insula::http
