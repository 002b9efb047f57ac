#pragma once
#include "insula/core/ids.hpp"
#include "insula/pg/statement.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace insula::audit {

inline constexpr std::size_t name_size_max = 100;

/// Whether an action could be called so: `[a-z_]+[.][a-z_]+`, which the table demands too.
bool is_action(std::string_view text) noexcept;

/// One thing that happened. `action` is one of API.md's list ("project.create"); `changes` is JSON
/// text. The id is made here, before anything is sent: after a lost COMMIT it is the witness.
struct entry {
    audit_id id = audit_id::make();
    std::string_view action;
    std::string_view entity_type;
    std::string entity_id;
    std::optional<std::string> changes;
    std::optional<user_id> user;
    /// The operator behind an assumed identity.
    std::optional<user_id> operator_user;
    std::optional<std::string> ip;
    std::optional<std::string> request_id;
    bool success = true;
};

/// Adds the row to a unit of the control plane, so that it commits with the change or not at all.
/// `tenant` is null for what happens outside any tenant.
void add(pg::unit& unit, const entry& what, std::optional<tenant_id> tenant);

/// Adds the look for that row: one row with its time when it is there, which is the time of its
/// transaction and so what `default now()` gave to everything made along with it. What
/// pg::run_with_witness() looks with.
void add_witness(pg::unit& unit, audit_id id);

/// The select-list expression that writes an audit row from inside a tenant's statement, once per
/// row the statement changed: `select c.id, tenant_api.audit_add($2, …) from changed c`. The tenant
/// is the role's. Parameters follow in the order of tenant_params().
#define INSULA_AUDIT_ADD(id, action, type, entity, changes, user, actor, ip, request)       \
    "tenant_api.audit_add(" id ", '" action "', '" type "', " entity ", " changes ", " user \
    ", " actor ", " ip ", " request ")"

}  // namespace insula::audit
