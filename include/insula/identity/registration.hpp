#pragma once
#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"
#include "insula/identity/idempotency.hpp"
#include "insula/queue/status.hpp"
#include "insula/tenancy/tenant.hpp"

#include <boost/describe.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::identity {

/// The body of POST /auth/register.
struct registration_form {
    email_address email;
    password_text password;
    person_name full_name;
    insula::tenant_name tenant_name;
    slug tenant_slug;
};
BOOST_DESCRIBE_STRUCT(registration_form, (), (email, password, full_name, tenant_name, tenant_slug))

struct registered {
    /// The capability: 22 characters of base64url. Stored hashed; whoever has it may watch and
    /// retry.
    secret_string registration_id;
    user_id user;
    tenant_id tenant;
    timestamp created_at;
};

/// One transaction: account, tenant, membership intent, provisioning and mail tasks, audit (G40);
/// and, with a key, the answer that is given to a repeat. Errors: those of `once`,
/// validation_failed (weak password), slug_taken, email_taken, overloaded.
runtime::awaitable<result<registered>> register_tenant(context& with, const registration_form& form,
                                                       caller from,
                                                       once_only<registered> once = {});

struct registration_status {
    tenant_id tenant;
    std::string slug;
    std::string name;
    /// provisioning, ready or failed; what happened to the tenant after it was ready is not told
    /// here.
    tenancy::tenant_status status = tenancy::tenant_status::provisioning;
    std::vector<queue::step_status> steps;
    std::string retrying;      ///< the step that failed and is tried again; empty: none
    std::string failure_code;  ///< empty unless failed
    std::string failure_detail;

    bool final() const noexcept { return status != tenancy::tenant_status::provisioning; }
};

/// Waits until the state is final or `wait_until` has passed. Errors: not_found.
runtime::awaitable<result<registration_status>> read_registration(context& with,
                                                                  std::string_view registration_id,
                                                                  runtime::deadline wait_until,
                                                                  runtime::deadline until);

}  // namespace insula::identity
