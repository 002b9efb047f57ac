#pragma once

#include "http/guard.hpp"

#include "insula/http/problem.hpp"

namespace insula::http {

/// The answer to a message the guard, a limit or a deadline refused.
response make_refusal(refusal why, std::string_view request_id);
std::string_view name(refusal why) noexcept;  // label of the metric
inline constexpr std::size_t refusals = 9;    // enumerators, `none` included

}  // namespace insula::http
