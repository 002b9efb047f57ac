#pragma once

#include <cstdint>
#include <string_view>

namespace insula::http {

/// The methods a route may offer, and the two that are answered for it. `other` is any other token
/// (TRACE, PROPFIND, ...): never routed, always 405 on a path that exists.
enum class method : std::uint8_t { get, post, put, patch, delete_, head, options, other };

inline constexpr std::size_t routed_methods = 5;  // get .. delete_

std::string_view name(method m) noexcept;  // "GET"; "OTHER" for other
method parse_method(std::string_view token) noexcept;

}  // namespace insula::http
