#pragma once
// Who belongs to a tenant. The tenant is the token's own, always: none of these takes another one.
// Changes lock the tenant's row and judge behind it, by the database and not by the token, whether
// the caller may; so of two who do what only one of them can, one does (G24).

#include "insula/identity/context.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace insula::identity {

struct member {
    user_id user;
    std::string email;
    std::string full_name;
    token::role role = token::role::none;
    timestamp created_at;      ///< when the person joined, the last time
    std::int32_t version = 1;  ///< the ETag
};

struct member_position {
    timestamp created_at;
    user_id user;
};

/// Active members, newest first; at most `limit`, so ask for one more to know whether more follow.
/// Errors of all below: those of add_assert_session.
runtime::awaitable<result<std::vector<member>>> list_members(context& with,
                                                             const token::claims& who,
                                                             std::optional<member_position> after,
                                                             int limit, runtime::deadline until);

/// Error: not_found.
runtime::awaitable<result<member>> read_member(context& with, const token::claims& who, user_id id,
                                               runtime::deadline until);

/// Who is to be changed, and only from one of these versions (nullopt: from any).
struct member_change {
    user_id member;
    std::optional<std::vector<std::int32_t>> if_versions{};
};

/// Takes an admin; an owner (no assumed one) to make or unmake an owner (forbidden). The member's
/// access tokens are refused from now on and refreshed ones say the new role. Invitations of the
/// member's that the new role may not make are withdrawn. Audited as member.role_change. Errors:
/// not_found, forbidden, last_owner, precondition_failed.
runtime::awaitable<result<member>> change_member_role(context& with, const token::claims& who,
                                                      member_change what, token::role role,
                                                      caller from);

/// Takes an admin, for an owner an owner (no assumed one); but everybody may leave, if it is really
/// that person. The member's sessions in this
/// tenant end, its pending invitations are withdrawn. Audited as member.remove. Errors: not_found,
/// forbidden, last_owner, precondition_failed.
runtime::awaitable<result<>> remove_member(context& with, const token::claims& who,
                                           member_change what, caller from);

}  // namespace insula::identity
