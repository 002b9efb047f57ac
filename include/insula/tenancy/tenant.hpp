#pragma once
#include "insula/core/error.hpp"
#include "insula/core/ids.hpp"
#include "insula/pg/error.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace insula::tenancy {

/// The states of a tenant. Which may follow which is decided by a trigger in the database
/// (control.guard_tenant_status), whatever program asks.
enum class tenant_status : std::uint8_t {
    provisioning,
    ready,
    failed,
    suspended,
    pending_deletion,
    deleting,
    gone,
};

std::string_view name(tenant_status status) noexcept;
/// Throws std::logic_error for a text the database's own check would not have let in.
tenant_status parse_tenant_status(std::string_view text);

/// SQLSTATEs that the control plane raises for itself (class IS: sessions, IT: tenants).
inline constexpr pg::sqlstate session_over{"IS001"};
inline constexpr pg::sqlstate write_to_suspended{"IS002"};
inline constexpr pg::sqlstate write_to_pending_deletion{"IS003"};
inline constexpr pg::sqlstate write_to_not_ready{"IS004"};
inline constexpr pg::sqlstate not_allowed{"IS005"};
inline constexpr pg::sqlstate wrong_tenant_status{"IT001"};
inline constexpr pg::sqlstate no_such_cell{"IT002"};
inline constexpr pg::sqlstate not_due_yet{"IT006"};
inline constexpr pg::sqlstate no_tenant_scope{"IT403"};
inline constexpr pg::sqlstate no_such_tenant{"IT404"};

/// What a client hears of a failed unit: the states above as invalid_token, tenant_suspended and so
/// on, a transition that is not allowed as conflict with the state in its detail, everything else
/// as pg::to_error.
error to_error(const pg::pg_error& failure);

}  // namespace insula::tenancy
