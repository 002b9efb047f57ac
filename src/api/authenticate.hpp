#pragma once
#include "endpoint.hpp"

namespace insula::api {

/// Who calls: the verified claims, which nothing has revoked since, and the tenant's directory
/// entry. No database but the first time a process meets a tenant, and while the revocation feed is
/// silent: then the control plane is asked about session, tenant and key, here, so that no handler
/// can forget it. `any_tenant_state`: a tenant that is not ready does not matter. Errors:
/// unauthenticated, invalid_token, tenant_mismatch, rate_limited, tenant_suspended,
/// tenant_pending_deletion, tenant_not_ready, overloaded.
runtime::awaitable<result<user_context>> authenticate(services& with, http::request& r,
                                                      bool any_tenant_state = false);

/// Takes a token from the bucket; rate_limited with Retry-After when it is empty.
result<> within_rate(services& with, std::string_view rate_class, std::string_view key);

}  // namespace insula::api
