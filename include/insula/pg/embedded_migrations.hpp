#pragma once
#include "insula/pg/migration.hpp"

#include <span>

namespace insula::pg {

/// The files of src/migrations/bootstrap (run by an administrator, repeatable).
std::span<const migration> embedded_bootstrap_migrations();
/// The files of src/migrations/control and src/migrations/tenant, in number order, compiled into
/// the program.
std::span<const migration> embedded_control_migrations();
std::span<const migration> embedded_tenant_migrations();

}  // namespace insula::pg
