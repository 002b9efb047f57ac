#include "insula/queue/failure.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace insula::queue {

namespace {

/// The statement itself is wrong, or says no: the same SQL will fail again.
bool hopeless(const pg::pg_error& error) {
    if (error.lost() || error.retryable()) {
        return false;
    }
    const std::string_view kind = error.state.class_code();
    if (kind == "IN") {
        return false;  // the pool had no connection, or no time: ours, and passing
    }
    return kind == "0A" || kind == "21" || kind == "22" || kind == "23" || kind == "2F" ||
           kind == "42" || kind == "P0" || kind == "IT";
}

}  // namespace

failure::failure(const pg::pg_error& error)
    : final_(hopeless(error)),
      code_(error.state == pg::sqlstate::query_canceled ? "timeout" : "database_error"),
      internal_(fmt::format("{} {}", error.state.str(), error.message)) {}

failure::failure(const insula::error& error)
    : final_(error.code() != errc::overloaded),
      code_(error.name()),
      detail_(error.detail()),
      internal_(error.internal()) {}

std::string failure::describe() const {
    return fmt::format("{}{}: {} [{}]", code_, final_ ? " (final)" : "", detail_, internal_);
}

void throw_exception_from_error(const failure& e, const boost::source_location& where) {
    throw std::logic_error(fmt::format("the value of a failed step was asked for: {} at {}:{}",
                                       e.describe(), where.file_name(), where.line()));
}

}  // namespace insula::queue
