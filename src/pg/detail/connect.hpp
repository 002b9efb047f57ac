#pragma once
#include "pg/detail/connection.hpp"

#include "insula/pg/error.hpp"
#include "insula/runtime/cpu_pool.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/task_group.hpp"

#include <memory>
#include <string>

namespace insula::pg::detail {

struct connect_options {
    std::string conninfo;
    std::string application_name;
    std::size_t statement_bytes_max = 0;
    std::weak_ptr<connection_owner> owner{};
};

/// What every session begins with, and has again after RESET ALL: nothing but pg_catalog is
/// searched for names without a schema (PostgreSQL manual 34.22, "always-secure search path"),
/// whatever the login's defaults say. With PostgreSQL's own `"$user", public` each switch of the
/// role looks a schema and its rights up again: 1 to 4 µs of 14 to 21 (docs/decisions/0014).
inline constexpr const char* session_sql = "select pg_catalog.set_config('search_path', '', false)";

/// Opens a connection, checks that PostgreSQL itself answers on it, or a pooler that leaves it its
/// backend for as long as it is open (told by a second connection, open for a moment), starts its
/// drive() in `tasks`, and runs session_sql. Waits for the network until the deadline at most.
/// Without `resolver` host names are refused. Errors: unable_to_connect with libpq's text,
/// pooler_between.
runtime::awaitable<pg_result<std::shared_ptr<connection>>> open_connection(
    runtime::loop& home, const connect_options& options, std::shared_ptr<pool_counters> counters,
    runtime::cpu_pool* resolver, runtime::task_group& tasks, budget_ticket ticket,
    runtime::deadline until);

/// The parts of a conninfo that decide whether a name must be looked up. I/O-free.
struct conninfo_hosts {
    std::vector<std::string> hosts;  ///< as written; a socket folder or an address needs no look-up
    std::vector<std::string> ports;  ///< none, one for all, or one for each
    bool has_hostaddr = false;
    std::string problem;  ///< libpq could not read the conninfo

    bool needs_look_up() const;
};
conninfo_hosts parse_hosts(const std::string& conninfo);
/// Where a server may be: all addresses of all hosts are tried, in order.
struct place {
    std::string host;
    std::string address;  ///< empty: a socket
    std::string port;     ///< empty: libpq's default
};
bool is_address_or_socket(const std::string& host);

}  // namespace insula::pg::detail
