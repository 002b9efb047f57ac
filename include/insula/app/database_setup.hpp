#pragma once
#include "insula/app/config.hpp"
#include "insula/app/database_url.hpp"
#include "insula/pg/error.hpp"
#include "insula/pg/migration.hpp"
#include "insula/tenancy/names.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::app {

/// Lines for the person at the terminal.
using progress = std::function<void(std::string_view)>;

/// `insula bootstrap`: the database when it is missing, then roles, privileges and the
/// provisioner's functions. Blocks. Errors: internal with a sentence. `key_is_new`: the key was
/// made just now, so it must not replace the one an installation lives on.
result<> bootstrap_database(const config& values, const database_url& administrator,
                            std::string_view database, bool key_is_new, const progress& tell);

struct migration_summary {
    int control_head = 0;
    int tenant_head = 0;
    std::vector<int> control_pending;  ///< with check only
    std::size_t tenants_behind = 0;
    std::size_t tenants_migrated = 0;
    std::vector<std::string> failures;  ///< a sentence for each tenant that could not be migrated
};

/// `insula migrate`: the control plane, then every tenant. `check` changes nothing. Blocks.
result<migration_summary> migrate_database(const config& values, bool check, const progress& tell);

/// The tenants' migrations: built in, or the files of INSULA_TENANT_MIGRATIONS.
class tenant_migration_files {
public:
    /// Error: internal with a sentence (unreadable, a name that is not NNNN_name.sql, two of one
    /// number).
    static result<tenant_migration_files> load(const config& values);
    std::span<const pg::migration> files() const noexcept { return files_; }

private:
    std::vector<std::string> names_;
    std::vector<std::string> texts_;
    std::vector<pg::migration> files_;
};

/// The prefix as role names; internal with a sentence when it is not one.
result<tenancy::role_names> roles_of(const config& values);

/// Whether key, prefix, URL and migration files can be used at all; nothing is connected to.
result<> check_database_settings(const config& values);

/// A sentence for a failed database operation, with what to do where that is known.
std::string explain(const pg::pg_error& failure);

/// No connection yet, and none was refused: the server may still be starting.
bool may_come_up(const pg::pg_error& failure);

}  // namespace insula::app
