#pragma once
// A tenant's life after its registration: made by a member, suspended, deleted, restored, retried.
// Each change is ONE transaction under the lock of the tenant's row: who may (asserted there, so it
// is exact on every process), the change, the workflow it starts or cancels, its audit row.

#include "insula/core/values.hpp"
#include "insula/identity/context.hpp"
#include "insula/identity/idempotency.hpp"
#include "insula/identity/registration.hpp"
#include "insula/identity/users.hpp"
#include "insula/tenancy/tenant.hpp"

#include <boost/describe.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::identity {

/// The body of POST /tenants.
struct tenant_form {
    insula::tenant_name name;
    insula::slug slug;
};
BOOST_DESCRIBE_STRUCT(tenant_form, (), (name, slug))

struct created_tenant {
    secret_string registration_id;  ///< as in `registered`
    tenant_id tenant;
    timestamp created_at;
};

/// A further tenant of somebody who has an account; the caller becomes its owner. Errors:
/// slug_taken, those of add_assert_session, overloaded.
runtime::awaitable<result<created_tenant>> create_tenant(context& with, const token::claims& who,
                                                         const tenant_form& form, caller from,
                                                         once_only<created_tenant> once = {});

struct deletion {
    timestamp purge_at;  ///< until then it can be restored
};

/// The token's own tenant; `who` has the role owner (asserted by the session's version). Errors:
/// tenant_pending_deletion when it is already, conflict, those of add_assert_session.
runtime::awaitable<result<deletion>> request_deletion(context& with, const token::claims& who,
                                                      caller from);

/// The token's own tenant, back to what it was before. The one write that a session of a tenant
/// pending deletion may do, and only as owner (forbidden otherwise). Errors: conflict when it is
/// not pending deletion (any more), invalid_token.
runtime::awaitable<result<tenant_view>> restore_tenant(context& with, const token::claims& who,
                                                       caller from);

/// After `failed`, by whoever holds the capability. Errors: not_found, not_failed, slug_taken,
/// email_taken.
runtime::awaitable<result<registration_status>> retry_registration(context& with,
                                                                   std::string_view registration_id,
                                                                   caller from);

/// Adds control.assert_operator() as the unit's next statement: raises when the session is over or
/// the account is no active operator (any more). Errors, by tenancy::to_error: invalid_token,
/// forbidden.
void add_assert_operator(pg::unit& unit, const token::claims& who);

/// Who acts on tenants that are not its own: an operator with a session, or somebody at a shell of
/// the machine, who has the database's logins anyway.
class actor {
public:
    static actor operator_(const token::claims& who) { return actor(who); }
    static actor command_line() { return actor(std::nullopt); }

    const std::optional<token::claims>& who() const noexcept { return who_; }

private:
    explicit actor(std::optional<token::claims> who) : who_(std::move(who)) {}
    std::optional<token::claims> who_;
};

/// What the functions below need: the service's context, or for commands a pool of the login app
/// and nothing else (waiting workers then hear of new work by polling, within a second).
struct tenant_office {
    tenant_office(context& with)  // NOLINT(google-explicit-constructor)
        : control(with.control),
          tasks(&with.tasks),
          revoked(&with.revoked),
          deletion_grace(with.deletion_grace) {}
    tenant_office(pg::pool& app_login, std::chrono::seconds grace)
        : control(app_login), deletion_grace(grace) {}

    pg::pool& control;
    queue::engine* tasks = nullptr;
    tenancy::revocations* revoked = nullptr;
    std::chrono::seconds deletion_grace;
};

/// A tenant as operators see it.
struct tenant_record {
    tenant_id id;
    std::string slug;
    std::string name;
    tenancy::tenant_status status = tenancy::tenant_status::provisioning;
    int cell = 0;
    int schema_version = 0;
    std::int32_t version = 1;
    std::string failure_code;  ///< empty unless failed
    std::string failure_detail;
    std::optional<timestamp> purge_at;   ///< of a tenant pending deletion
    std::optional<run_id> deletion_run;  ///< the same
    timestamp created_at;
    timestamp updated_at;
};

struct tenant_filter {
    std::optional<tenancy::tenant_status> status;
    /// A part of slug or name, in any case; or the whole id.
    std::optional<std::string> q;
    struct position {
        timestamp created_at;
        tenant_id id;
    };
    std::optional<position> after;  ///< the last one seen
    int limit = 50;  ///< at most this many; ask for one more to know whether more follow
};

/// Newest first, by (created_at, id); every status, `gone` too.
runtime::awaitable<result<std::vector<tenant_record>>> list_tenants(tenant_office with, actor by,
                                                                    tenant_filter which,
                                                                    runtime::deadline until);
/// Errors of this and all below: not_found (no such id), invalid_token, forbidden.
runtime::awaitable<result<tenant_record>> show_tenant(tenant_office with, actor by,
                                                      tenant_id tenant, runtime::deadline until);
/// For commands, where people type slugs: the id of the living tenant with this slug, or else of
/// the newest that failed.
runtime::awaitable<result<tenant_id>> find_tenant(tenant_office with, actor by,
                                                  std::string_view slug, runtime::deadline until);

/// ready -> suspended. Error: conflict, whose detail names the state it is in.
runtime::awaitable<result<tenant_record>> suspend_tenant(tenant_office with, actor by,
                                                         tenant_id tenant, caller from);
/// suspended -> ready. Error: conflict.
runtime::awaitable<result<tenant_record>> resume_tenant(tenant_office with, actor by,
                                                        tenant_id tenant, caller from);
/// failed -> provisioning, as retry_registration. Errors: not_failed, slug_taken, email_taken.
runtime::awaitable<result<tenant_record>> retry_tenant(tenant_office with, actor by,
                                                       tenant_id tenant, caller from);
/// ready, suspended or failed -> pending_deletion, for the grace or, `immediately`, for no time at
/// all; a tenant that is pending already is brought forward by `immediately`. Error: conflict.
runtime::awaitable<result<tenant_record>> delete_tenant(tenant_office with, actor by,
                                                        tenant_id tenant, bool immediately,
                                                        caller from);
/// pending_deletion -> what it was before. Errors: conflict; email_taken, when nobody had verified
/// its address and somebody else has registered it since.
runtime::awaitable<result<tenant_record>> restore_tenant(tenant_office with, actor by,
                                                         tenant_id tenant, caller from);

}  // namespace insula::identity
