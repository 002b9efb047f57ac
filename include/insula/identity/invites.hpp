#pragma once
// Invitations to a tenant. The token is in the mail and nowhere else: kept as its hash, another one
// with every mail, good for 7 days and for one acceptance. An invitation is its inviter's
// responsibility: it is withdrawn when that member is removed or may not make it any more
// (docs/decisions/0009).

#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"
#include "insula/identity/idempotency.hpp"

#include <boost/describe.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::identity {

struct invite {
    invite_id id;
    std::string email;  ///< as typed
    token::role role = token::role::none;
    user_id invited_by;  ///< the last who had it sent
    timestamp created_at;
    timestamp expires_at;
};

struct invite_position {
    timestamp created_at;
    invite_id id;
};

struct invite_form {
    email_address email;
    token::role role = token::role::none;
};

struct created_invite {
    invite_id id;
    timestamp created_at;
};

/// Asked before something is done that is done only so often to one address, a mail sent or a
/// password checked; its error (rate_limited) is the answer then.
using within_limits = std::function<result<>(std::string_view email_canonical)>;

/// Takes an admin, and an owner (no assumed one) to invite an owner. The mail goes to the address
/// as the account has it, when there is one. One transaction with its mail and audit row
/// (member.invite), and with the answer when there is a key. Errors: already_member,
/// invite_pending, forbidden, those of `once`, those of add_assert_session.
runtime::awaitable<result<created_invite>> create_invite(context& with, const token::claims& who,
                                                         const invite_form& form, caller from,
                                                         once_only<created_invite> once = {});

/// The tenant's pending ones, newest first; at most `limit`. Reads are for admins as well: `who`
/// says so, and that it still holds is asserted by the session's version.
runtime::awaitable<result<std::vector<invite>>> list_invites(context& with,
                                                             const token::claims& who,
                                                             std::optional<invite_position> after,
                                                             int limit, runtime::deadline until);
/// Error of this and those below: not_found, when it is not pending (any more).
runtime::awaitable<result<invite>> read_invite(context& with, const token::claims& who,
                                               invite_id id, runtime::deadline until);
/// Its token is nobody's then. An owner's invitation takes an owner. Audited as member.invite.
runtime::awaitable<result<>> withdraw_invite(context& with, const token::claims& who, invite_id id,
                                             caller from);
/// A new token and its whole time again; the old token is nobody's. As withdraw_invite; `mails` is
/// asked before.
runtime::awaitable<result<>> renew_invite(context& with, const token::claims& who, invite_id id,
                                          const within_limits& mails, caller from);

/// What whoever holds the token may know.
struct invite_preview {
    std::string email;
    std::string tenant_name;
    token::role role = token::role::none;
    timestamp expires_at;
    bool needs_account = false;
};

/// Errors: not_found (unknown, expired, withdrawn, accepted), and while the tenant's state keeps
/// its members out: tenant_suspended, tenant_pending_deletion, tenant_not_ready.
runtime::awaitable<result<invite_preview>> preview_invite(context& with, const opaque_token& token,
                                                          runtime::deadline until);

/// The body of POST /invites/accept.
struct acceptance {
    opaque_token token;
    /// Of a new account; or the present one of an account that nobody is logged in to.
    std::optional<password_attempt> password;
    std::optional<person_name> full_name;  ///< of a new account
};
BOOST_DESCRIBE_STRUCT(acceptance, (), (token, password, full_name))

struct joined {
    tenant_id tenant;
    std::string slug;
    std::string name;
    user_id user;
};

/// Exactly once, whoever else tries. `who`: the claims of an access token, when one was sent; its
/// account must be the one with the invitation's address. Without: a new account is made, its
/// address verified, or the password is that of the account there is. Audited as member.join.
/// Errors: those of preview_invite; conflict (accepted already), already_member, email_taken
/// (an account was made meanwhile), validation_failed, unauthenticated (an account, and neither
/// token nor password), invalid_credentials, forbidden (another account), rate_limited.
runtime::awaitable<result<joined>> accept_invite(context& with, const acceptance& form,
                                                 const token::claims* who,
                                                 const within_limits& attempts, caller from);

}  // namespace insula::identity
