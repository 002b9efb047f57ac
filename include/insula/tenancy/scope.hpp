#pragma once
#include "insula/audit/audit.hpp"
#include "insula/pg/witness.hpp"
#include "insula/tenancy/directory.hpp"
#include "insula/tenancy/tenant.hpp"
#include "insula/token/claims.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace insula::tenancy {

/// The cells' connection pools: tenant SQL runs on the login of the tenant's cell and nowhere else.
class cells {
public:
    /// `pools[k]` logs in as cell k. They outlive this.
    explicit cells(std::vector<pg::pool*> pools) : pools_(std::move(pools)) {}
    pg::pool& of(int cell) const { return *pools_.at(static_cast<std::size_t>(cell)); }
    /// False for a tenant that a process with more cells has made: this one must be restarted with
    /// as many.
    bool has(int cell) const noexcept { return cell >= 0 && cell < count(); }
    int count() const noexcept { return static_cast<int>(pools_.size()); }

private:
    std::vector<pg::pool*> pools_;
};

/// Where a new tenant goes: a function of its id, so that no counter has to be locked.
int choose_cell(tenant_id tenant, int cells) noexcept;

/// Statements for one tenant, made by its scope only. They travel as one implicit transaction
/// behind the switch to the tenant's role: one round trip, and nothing of it outlives the unit's
/// Sync.
class tenant_unit {
public:
    /// `what` names its tables as `{t}.projects`.
    template <class... Params>
    tenant_unit& add(const pg::statement& what, const Params&... params) {
        unit_.add(what, params...);
        return *this;
    }

private:
    friend class tenant_scope;
    pg::unit unit_;
    bool asserts_session_ = false;
};

/// The only way to tenant SQL. Made from verified claims; there is no function here or elsewhere
/// that takes a schema or role name from a caller.
class tenant_scope {
public:
    /// `who.tenant` must be set and `where` its directory entry (asserted).
    tenant_scope(const cells& all, std::shared_ptr<const tenant_entry> where,
                 const token::claims& who, std::string client, std::string request_id,
                 runtime::deadline until);

    tenant_id tenant() const noexcept { return where_->id; }
    const token::claims& who() const noexcept { return who_; }

    /// Decided from the token and what is in memory; costs nothing in the database.
    tenant_unit read() const;
    /// Begins with assert_session(): a write of an ended session, or to a tenant that is not ready,
    /// raises before it touches anything, and is therefore exact on every process.
    tenant_unit write() const;

    /// Looks for the audit row of a change whose answer was lost: its first result is the row's
    /// time, when it is there. What is added behind reads again what the answer needs.
    tenant_unit witness(audit_id of) const;

    /// One round trip. One result per statement added by the caller. Errors: see tenancy::to_error.
    runtime::awaitable<pg::pg_result<pg::results>> run(tenant_unit work);
    /// The same for a change: a COMMIT that was not answered is looked up (pg::run_with_witness).
    runtime::awaitable<pg::pg_result<pg::witnessed>> run(tenant_unit work, tenant_unit witness);

    /// What audit rows of this request say of it, in the order INSULA_AUDIT_ADD wants them.
    std::optional<user_id> user() const noexcept { return who_.subject; }
    std::optional<user_id> operator_user() const noexcept { return who_.actor; }
    const std::string& client() const noexcept { return client_; }
    const std::string& request_id() const noexcept { return request_id_; }

private:
    pg::pool& pool_;
    std::shared_ptr<const tenant_entry> where_;
    token::claims who_;
    std::string client_;
    std::string request_id_;
    runtime::deadline until_;
};

}  // namespace insula::tenancy
