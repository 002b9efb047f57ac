#pragma once
#include "insula/core/secret.hpp"
#include "insula/pg/pool.hpp"
#include "insula/tenancy/names.hpp"

#include <string>

namespace insula::tenancy {

struct bootstrap_options {
    role_names roles;
    std::string database;
    int cells = 16;  ///< logins to make; more may be made later, none is removed
    /// 32 bytes; the logins' passwords derive from it.
    const secret_bytes& key_encryption_key;
};

inline constexpr int cells_max = 256;

/// What a database administrator does once (and again, to add cells or change the secret): roles,
/// privileges, the provisioner's functions. `administrator` is connected to the service's database
/// as a superuser. All in one transaction: it is done or it is not.
runtime::awaitable<pg::pg_result<>> bootstrap(pg::lease& administrator,
                                              const bootstrap_options& options);

/// A SCRAM-SHA-256 verifier (RFC 5802, RFC 7677) in PostgreSQL's notation: the password itself
/// never travels in SQL, so it is in no server log.
std::string scram_verifier(std::string_view password);

/// How many of the logins insula_cell_0 … exist without a gap; what a service checks at start.
runtime::awaitable<pg::pg_result<int>> count_cells(pg::pool& any, const role_names& roles,
                                                   runtime::deadline until);

}  // namespace insula::tenancy
