#pragma once
// The route table: one constexpr table, a file per resource. An endpoint is added as a row there;
// how is in docs/add-an-endpoint.md.
#include "routes/audit.hpp"
#include "routes/invites.hpp"
#include "routes/members.hpp"
#include "routes/operations.hpp"
#include "routes/operators.hpp"
#include "routes/pages.hpp"
#include "routes/passwords.hpp"
#include "routes/projects.hpp"
#include "routes/registration.hpp"
#include "routes/sessions.hpp"
#include "routes/tenants.hpp"
#include "routes/users.hpp"

#include <tuple>

namespace insula::api {
namespace rows {

template <std::size_t... N>
consteval auto join(const std::array<row, N>&... parts) {
    return std::apply([](const auto&... one) { return std::array<row, sizeof...(one)>{one...}; },
                      std::tuple_cat(parts...));
}

inline constexpr auto table =
    join(registration_rows, sessions_rows, passwords_rows, users_rows, tenants_rows, members_rows,
         invites_rows, operators_rows, audit_rows, projects_rows, operations_rows, pages_rows);

}  // namespace rows

inline constexpr http::router<endpoint, rows::table.size()> routes{rows::table};
inline constexpr http::router<endpoint, rows::admin_table.size()> admin_routes{rows::admin_table};

}  // namespace insula::api
