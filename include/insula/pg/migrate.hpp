#pragma once
#include "insula/pg/embedded_migrations.hpp"
#include "insula/pg/migration.hpp"
#include "insula/pg/pool.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace insula::pg {

struct migrate_options {
    std::string schema = "control";      ///< where the table `migration` lives; made when missing
    std::string role_prefix = "insula";  ///< `{role:app}` becomes "insula_app", quoted
    bool check = false;                  ///< report only, change nothing
};

struct migration_report {
    int head = 0;              ///< highest number the database has after this call
    std::vector<int> applied;  ///< by this call
    std::vector<int> pending;  ///< only in check mode
};

/// Brings a schema up to the given files, each file in a transaction of its own together with its
/// row in <schema>.migration(number, name, checksum, applied_at), all under one advisory lock, so
/// that migrators on several machines take turns and a second one finds nothing to do. Refuses
/// (migration_refused) when a file that was applied has changed, when numbers have gaps, or when
/// the database is ahead of the files. A file that fails leaves nothing of itself; what came before
/// it stays, and the next call goes on there. A file must not contain COMMIT or ROLLBACK, nor
/// commands that cannot run in a transaction.
runtime::awaitable<pg_result<migration_report>> migrate(lease& connection, migrate_options options,
                                                        std::span<const migration> files);

/// SHA-256 of a file's text, as recorded: 64 lower-case hex digits.
std::string migration_checksum(std::string_view sql);
/// Replaces exactly `{role:owner}`, app, worker, provisioner, schema_owner, gatekeeper, tenant by
/// the quoted role name.
std::string expand_roles(std::string_view sql, std::string_view role_prefix);

}  // namespace insula::pg
