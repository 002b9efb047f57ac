#include "pg/detail/libpq.hpp"

#include <string_view>
#include <utility>

namespace insula::pg::detail {
namespace {

constexpr std::string_view data_exception = "22";
constexpr std::string_view integrity_violation = "23";

std::string_view field(const PGresult* result, int code) noexcept {
    const char* text = PQresultErrorField(result, code);
    return text == nullptr ? std::string_view() : std::string_view(text);
}

// Messages are translated; the server's source routine is not.
bool is_transient(sqlstate state, const PGresult* result) {
    const std::string_view routine = field(result, PG_DIAG_SOURCE_FUNCTION);
    if (state == sqlstate::internal_error) {
        // "tuple concurrently updated" and "… deleted"
        return routine == "simple_heap_update" || routine == "simple_heap_delete" ||
               routine == "simple_table_tuple_update" || routine == "simple_table_tuple_delete";
    }
    // "cached plan must not change result type"
    return state == sqlstate::feature_not_supported && routine == "RevalidateCachedQuery";
}

/// The text up to what it quotes, which may have quotation marks itself.
std::string without_quoted(std::string text) {
    if (const auto at = text.find('"'); at != std::string::npos) {
        text.replace(at, std::string::npos, "...");
    }
    return text;
}

}  // namespace

reply classify(const PGresult* result) noexcept {
    if (result == nullptr) {
        return reply::none;
    }
    switch (PQresultStatus(result)) {
        case PGRES_TUPLES_OK:
        case PGRES_COMMAND_OK:
        case PGRES_EMPTY_QUERY:
            return reply::ok;
        case PGRES_FATAL_ERROR:
            return reply::error;
        case PGRES_PIPELINE_ABORTED:
            return reply::aborted;
        case PGRES_PIPELINE_SYNC:
            return reply::sync;
        default:
            return reply::other;
    }
}

/// Errors end in logs, where nobody's data belongs (G04): of a value that does not fit its type the
/// message quotes the value, of a row that breaks a constraint the detail has the whole row. The
/// constraint's name says enough.
pg_error error_of(const PGresult* result) {
    pg_error error;
    const std::string_view state = field(result, PG_DIAG_SQLSTATE);
    error.state = state.empty() ? sqlstate::connection_failure : sqlstate::from(state);
    error.message = field(result, PG_DIAG_MESSAGE_PRIMARY);
    if (error.message.empty()) {
        error.message = PQresultErrorMessage(result);
    }
    error.constraint = field(result, PG_DIAG_CONSTRAINT_NAME);
    if (error.state.class_code() == data_exception) {
        error.message = without_quoted(std::move(error.message));
    } else if (error.state.class_code() != integrity_violation) {
        error.detail = field(result, PG_DIAG_MESSAGE_DETAIL);
    }
    error.transient = is_transient(error.state, result);
    return error;
}

bool ends_session(const PGresult* result) noexcept {
    const std::string_view severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return severity == "FATAL" || severity == "PANIC";
}

std::string message_of(const PGconn* connection) {
    std::string text = PQerrorMessage(connection);
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

}  // namespace insula::pg::detail
