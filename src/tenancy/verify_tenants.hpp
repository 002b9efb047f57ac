#pragma once
// The two tenants that verify-isolation tries its attempts on.

#include "insula/core/ids.hpp"
#include "insula/pg/pool.hpp"
#include "insula/tenancy/names.hpp"

#include <string>
#include <vector>

namespace insula::tenancy::detail {

struct relation {
    std::string name;    ///< quoted, with its schema
    char kind = 'r';     ///< as in pg_class.relkind
    std::string column;  ///< one that an UPDATE can name, quoted; empty: none
};

struct temporary_tenant {
    tenant_id id;
    std::vector<relation> relations;
    std::string role() const { return tenant_name(id); }
};

/// False: another run holds it. Session-wide, on the owner's connection.
runtime::awaitable<pg::pg_result<bool>> lock_out_others(pg::lease& owner);

/// The tenants that runs have left behind, told by what no registration ever makes: no member, no
/// registration, still provisioning, and our name. Only under the lock above.
runtime::awaitable<pg::pg_result<std::vector<tenant_id>>> find_left_behind(pg::lease& owner);

/// As the workers do it: the row, then role, schema, tables and grants, in one transaction.
runtime::awaitable<pg::pg_result<temporary_tenant>> make_tenant(pg::lease& worker, tenant_id tenant,
                                                                int cell);
/// Role, schema and row; what of it exists. Harmless for one that is no temporary tenant.
runtime::awaitable<pg::pg_result<>> remove_tenant(pg::lease& worker, pg::lease& owner,
                                                  tenant_id tenant);

/// Tables, views and sequences of a schema, the first `limit` by name.
runtime::awaitable<pg::pg_result<std::vector<relation>>> relations_of(
    pg::lease& any, std::vector<std::string> schemas, int limit);

}  // namespace insula::tenancy::detail
