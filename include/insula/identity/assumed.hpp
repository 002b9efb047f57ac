#pragma once
// Assumed identities: an operator acts as a member of a tenant, for a quarter of an hour and for a
// reason. What it may not do is decided by the routes (docs/operations.md, "Assumed identities").

#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"
#include "insula/identity/issue_tokens.hpp"

#include <boost/describe.hpp>

#include <chrono>

namespace insula::identity {

inline constexpr std::chrono::minutes assumed_lifetime{15};

/// The body of POST /admin/assume-identity.
struct assume_form {
    insula::user_id user_id;
    insula::tenant_id tenant_id;
    reason_text reason;
};
BOOST_DESCRIBE_STRUCT(assume_form, (), (user_id, tenant_id, reason))

/// Tokens of that member, without a refresh token, whose claims name the operator `by`. Session and
/// audit row (identity.assume, with the reason) are one transaction: what cannot be audited is not
/// granted. Errors: not_found (no active member), forbidden (an operator, oneself included),
/// tenant_suspended, tenant_pending_deletion, tenant_not_ready, conflict (changed in between),
/// those of add_assert_operator.
runtime::awaitable<result<issued_tokens>> assume_identity(context& with, token_service& tokens,
                                                          const token::claims& by,
                                                          const assume_form& form, caller from);

/// The session of `who`, which is an assumed one, ends; audited as identity.end. Fine when it had
/// ended already.
runtime::awaitable<result<>> end_assumed_identity(context& with, const token::claims& who,
                                                  caller from);

}  // namespace insula::identity
