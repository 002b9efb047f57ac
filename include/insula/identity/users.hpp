#pragma once
#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"

#include <optional>
#include <string>
#include <vector>

namespace insula::identity {

struct user {
    user_id id;
    std::string email;
    std::string full_name;
    bool email_verified = false;
    timestamp created_at;
    timestamp updated_at;
    std::int32_t version = 1;  ///< the ETag
};

/// Errors: not_found when the account is gone.
runtime::awaitable<result<user>> read_user(context& with, user_id id, runtime::deadline until);

/// `if_versions`: change only one of these versions (precondition_failed otherwise). Audited as
/// user.update.
runtime::awaitable<result<user>> rename_user(context& with, const token::claims& who,
                                             const person_name& full_name,
                                             std::optional<std::vector<std::int32_t>> if_versions,
                                             caller from);

struct tenant_view {
    tenant_id id;
    std::string slug;
    std::string name;
    tenancy::tenant_status status;
    token::role role;
    timestamp created_at;
    std::int32_t version = 1;
};

/// The tenant, when `reader` is an active member of it; else not_found, as for a slug that does not
/// exist.
runtime::awaitable<result<tenant_view>> read_tenant(context& with, user_id reader,
                                                    std::string_view slug, runtime::deadline until);

/// The token's own tenant. Takes an admin, judged by the database. `if_versions` as above. Audited
/// as tenant.update. Errors: precondition_failed, forbidden, those of add_assert_session.
runtime::awaitable<result<tenant_view>> rename_tenant(
    context& with, const token::claims& who, const tenant_name& name,
    std::optional<std::vector<std::int32_t>> if_versions, caller from);

/// A tenant somebody belongs to, in whatever state it is but gone.
struct tenant_of_user {
    tenant_id id;
    std::string slug;
    std::string name;
    tenancy::tenant_status status;
    token::role role;
    timestamp joined_at;
};

struct tenant_of_user_position {
    timestamp joined_at;
    tenant_id id;
};

/// Those that log-in would offer, the ones joined last first; at most `limit`.
runtime::awaitable<result<std::vector<tenant_of_user>>> list_tenants_of_user(
    context& with, user_id user, std::optional<tenant_of_user_position> after, int limit,
    runtime::deadline until);

}  // namespace insula::identity
