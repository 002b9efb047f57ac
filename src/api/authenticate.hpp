#pragma once
#include "endpoint.hpp"

namespace insula::api {

/// Who calls: the verified claims and the tenant's directory entry. No database but the first time
/// a process meets a tenant. Errors: unauthenticated, invalid_token, tenant_mismatch, rate_limited.
runtime::awaitable<result<user_context>> authenticate(services& with, http::request& r);

/// Takes a token from the bucket; rate_limited with Retry-After when it is empty.
result<> within_rate(services& with, std::string_view rate_class, std::string_view key);

}  // namespace insula::api
