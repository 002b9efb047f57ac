#pragma once
// What a row of the route table is made of: method, path, endpoint (made by the factory named after
// its policy), and what must hold before the handler runs.
#include "api/handlers.hpp"
#include "api/schemas.hpp"

#include "insula/http/router.hpp"

#include <array>

namespace insula::api::rows {

using enum http::method;
using http::body_rule;
using row = http::route_row<endpoint>;

// What many rows say alike; what belongs to one resource stands in its file.
inline constexpr errc none[] = {errc::not_found};
inline constexpr errc listing[] = {errc::invalid_cursor};

inline constexpr parameter page[] = {{"limit", "items per page", &schema::limit},
                                     {"cursor", "next_cursor of the page before", &schema::cursor}};

}  // namespace insula::api::rows
