#pragma once
#include "insula/core/ids.hpp"
#include "insula/pg/pool.hpp"

#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace insula::tenancy {

/// What a request needs to know of a tenant before it may talk to the tenant's cell. Neither
/// changes while the tenant lives: a slug is given once, and a tenant changes cell only while it is
/// suspended.
struct tenant_entry {
    tenant_id id;
    int cell = 0;
    std::string slug;
};

/// Tenants by id, in memory: a tenant-scoped request makes no look-up in the control plane. Loaded
/// at start; a tenant that was made later, by another process, costs one look-up the first time.
/// Callable from any loop.
class directory {
public:
    static constexpr std::size_t entries_max = 1'000'000;

    explicit directory(pg::pool& control) : control_(control) {}

    /// Reads the living tenants, newest first, up to entries_max. Called once at start.
    runtime::awaitable<pg::pg_result<std::size_t>> load(runtime::deadline until);

    /// From memory, else from the control plane. Null: no such tenant, or it is gone.
    runtime::awaitable<pg::pg_result<std::shared_ptr<const tenant_entry>>> find(
        tenant_id tenant, runtime::deadline until);
    /// From memory only.
    std::shared_ptr<const tenant_entry> known(tenant_id tenant) const;

    void remember(tenant_entry entry);
    void forget(tenant_id tenant);
    std::size_t size() const;

private:
    pg::pool& control_;
    mutable std::shared_mutex guard_;
    std::unordered_map<tenant_id, std::shared_ptr<const tenant_entry>> entries_;
};

}  // namespace insula::tenancy
