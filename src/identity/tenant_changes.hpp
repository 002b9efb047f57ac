#pragma once
// Changes of a tenant as statements of somebody's unit: what members, registrants and operators do
// alike. The functions behind them are in 0007_tenant_life.sql.

#include "insula/identity/context.hpp"
#include "insula/identity/jobs.hpp"
#include "insula/pg/statement.hpp"

#include <chrono>
#include <optional>
#include <string_view>

namespace insula::identity {

/// Whom the audit row names; a shell is nobody.
struct named_by {
    std::optional<user_id> user;
    std::optional<user_id> operator_user;
};
named_by by_member(const token::claims& who);

/// One row about the tenant; `changes` is JSON. The row's id, for run_change().
audit_id audit_change(pg::unit& work, std::string_view action, tenant_id tenant, named_by who,
                      const caller& from, std::optional<std::string_view> changes = {});

/// Two statements, of which the first answers purge_at.
void add_deletion(pg::unit& work, tenant_id tenant, std::chrono::seconds grace, bool immediately);
void add_restore(pg::unit& work, tenant_id tenant);
void add_retry(pg::unit& work, const provision_input& input);
/// not_failed, slug_taken, email_taken, …
error retry_refused(const pg::pg_error& failure);
/// From a row (tenant, user, cell, new_account).
provision_input provisioning_of(const pg::row& row);

}  // namespace insula::identity
