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

}  // namespace insula::identity
