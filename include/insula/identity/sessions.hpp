#pragma once
// A session after its log-in: refreshed, listed, ended, left for another tenant. What ends one is
// known to this process before it is answered, and to the others within a second.

#include "insula/identity/issue_tokens.hpp"
#include "insula/identity/refresh_token.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::identity {

/// The immediate parent of the current token is answered with it again for this long.
inline constexpr std::chrono::seconds refresh_again_window{10};

/// Exactly one successor, whoever asks for it and how often (docs/decisions/0008). A COMMIT whose
/// answer was lost needs no look-up: asked again, it is the parent within its window. Errors:
/// invalid_refresh_token (the session is over, or the person is no member or operator any more),
/// refresh_token_reused (it is over from now on), and with the token still good: tenant_suspended,
/// tenant_pending_deletion (but for the owner), tenant_not_ready.
runtime::awaitable<result<issued_tokens>> refresh(context& with, token_service& tokens,
                                                  const refresh_token& presented, caller from);

/// Ends the token's session, also when the token is spent; nothing when it is over.
runtime::awaitable<result<>> log_out(context& with, const refresh_token& presented, caller from);

/// Adds control.assert_signed_in() as the unit's next statement: that `who` is as good as the token
/// says, whatever state the tenant is in. For sessions and passwords, which are the person's and
/// not the tenant's; everything else begins with add_assert_session(). Error: invalid_token.
void add_assert_signed_in(pg::unit& unit, const token::claims& who);

/// Every session of the person, this one too. Error: invalid_token.
runtime::awaitable<result<>> log_out_everywhere(context& with, const token::claims& who,
                                                caller from);

struct session_view {
    session_id id;
    std::optional<std::string> tenant_slug;  ///< none: an operator without a tenant
    timestamp created_at;
    timestamp last_used_at;  ///< log-in or latest refresh; ip and user agent are of then
    std::string ip;
    std::string user_agent;
};

/// After this one.
struct session_position {
    timestamp created_at;
    session_id id;
};

/// The person's living sessions in all tenants, newest first by (created_at, id), at most `limit`.
/// Sessions that an operator has under the person's name are not among them.
runtime::awaitable<result<std::vector<session_view>>> list_sessions(
    context& with, user_id who, std::optional<session_position> after, int limit,
    runtime::deadline until);

/// One of the person's own. Errors: not_found (also when it is somebody else's, or over),
/// invalid_token.
runtime::awaitable<result<>> end_session(context& with, const token::claims& who, session_id which,
                                         caller from);

/// A new session in another tenant of the person; it lives no longer than the one it comes from.
/// Errors: not_found (no such tenant, or not a member), tenant_suspended, tenant_pending_deletion
/// (but for the owner), tenant_not_ready, invalid_token.
runtime::awaitable<result<issued_tokens>> switch_tenant(context& with, token_service& tokens,
                                                        const token::claims& who,
                                                        std::string_view slug, caller from);

}  // namespace insula::identity
