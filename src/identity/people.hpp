#pragma once
// What the functions of 0014_people.sql raise.
#include "insula/core/error.hpp"
#include "insula/pg/error.hpp"

namespace insula::identity {

inline constexpr pg::sqlstate last_owner_state{"IP001"};
inline constexpr pg::sqlstate already_member_state{"IP002"};
inline constexpr pg::sqlstate invite_accepted_state{"IP003"};
inline constexpr pg::sqlstate other_version_state{"IP004"};
inline constexpr pg::sqlstate password_changed_state{"IP005"};
inline constexpr pg::sqlstate assumed_state{"IP006"};
inline constexpr pg::sqlstate nobody_state{"IP404"};

error no_such_member();
error no_such_invite();
/// For whoever holds a token: unknown, expired, withdrawn and replaced are one.
error no_such_invitation();
error invite_accepted();
error not_for_you();
error wrong_password();

/// last_owner, already_member, conflict (an invitation that was accepted), invite_pending,
/// precondition_failed, invalid_credentials; `nobody` for what is not there. Everything else as
/// taken().
error refused_people(const pg::pg_error& failure, error nobody);

}  // namespace insula::identity
