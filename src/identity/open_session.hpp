#pragma once
#include "insula/identity/issue_tokens.hpp"

#include <optional>
#include <string>

namespace insula::identity {

/// A tenant that somebody belongs to, as it was read.
struct tenant_choice {
    tenancy::tenant_entry where;
    std::string name;
    tenancy::tenant_status status = tenancy::tenant_status::provisioning;
    token::role role = token::role::none;
    bool active = false;  ///< the membership; until the tenant is ready it is an intent
};

/// Why a tenant's state keeps somebody out who belongs to it: tenant_suspended,
/// tenant_pending_deletion (but for its owner, who may restore it), tenant_not_ready. Alike for
/// log-in, switch-tenant and refresh.
std::optional<error> refuse_by_state(tenancy::tenant_status status, token::role role);

/// Somebody whose password was checked.
struct log_in_opening {
    user_id user;
    const std::string& password_hash;       ///< that it was checked against
    const std::string& stronger_hash;       ///< to be stored instead; empty: none
    const tenant_choice* tenant = nullptr;  ///< null: an operator without a tenant
};

/// Makes the session and its audit row, where account, password, membership, role and tenant are
/// still as they were read: checking a password takes its time. Nullopt: something is not.
runtime::awaitable<result<std::optional<issued_tokens>>> open_session(context& with,
                                                                      token_service& tokens,
                                                                      log_in_opening opening,
                                                                      const caller& from);

}  // namespace insula::identity
