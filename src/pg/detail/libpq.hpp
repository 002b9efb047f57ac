#pragma once
#include "pg/detail/result_router.hpp"

#include "insula/pg/error.hpp"

#include <libpq-fe.h>

#include <memory>

namespace insula::pg::detail {

struct finish_connection {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
using pgconn_ptr = std::unique_ptr<PGconn, finish_connection>;

struct clear_result {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using pgresult_ptr = std::unique_ptr<PGresult, clear_result>;

reply classify(const PGresult* result) noexcept;

/// Of a PGRES_FATAL_ERROR; without a SQLSTATE (libpq's own complaints) it is a connection_failure.
pg_error error_of(const PGresult* result);

/// The server ends the session with this error.
bool ends_session(const PGresult* result) noexcept;

/// PQerrorMessage without its line end.
std::string message_of(const PGconn* connection);

}  // namespace insula::pg::detail
