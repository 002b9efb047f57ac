#pragma once
#include "insula/core/ids.hpp"
#include "insula/pg/migration.hpp"
#include "insula/pg/pool.hpp"

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace insula::tenancy {

struct tenants_report {
    int head = 0;              ///< highest number of the given files
    std::size_t behind = 0;    ///< tenants below head when it began
    std::size_t migrated = 0;  ///< tenants brought to head by this call
    struct failure {
        tenant_id tenant;
        pg::pg_error why;
    };
    std::vector<failure> failures;  ///< tenants that stay behind; the others are done
};

/// Called after each batch with (done, total).
using migrate_progress = std::function<void(std::size_t, std::size_t)>;

/// Writes the tenants' migrations down (control.tenant_migration; a file that was applied may not
/// change: migration_refused) and brings every tenant's schema to head, in batches of their own
/// transactions, so that it can be interrupted and goes on where it stopped. Tenants that are made
/// meanwhile get the new head: provisioning holds a shared lock that this waits for once. `check`
/// only counts. `owner` is the owner's login.
runtime::awaitable<pg::pg_result<tenants_report>> migrate_tenants(
    pg::lease& owner, std::span<const pg::migration> files, bool check, migrate_progress progress);

}  // namespace insula::tenancy
