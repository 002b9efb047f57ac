#include "insula/pg/error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace insula::pg {
namespace {

std::string describe(const pg_error& error) {
    std::string text = fmt::format("{} {}", error.state.str(), error.message);
    if (!error.constraint.empty()) {
        text += fmt::format(" [constraint {}]", error.constraint);
    }
    if (!error.detail.empty()) {
        text += fmt::format(" [{}]", error.detail);
    }
    if (error.statement >= 0) {
        text += fmt::format(" [statement {}]", error.statement);
    }
    if (error.maybe_committed) {
        text += " [outcome unknown]";
    }
    return text;
}

// A standby, or a server that its operator has made read-only for a while.
constexpr sqlstate read_only{"25006"};

// Too busy to answer now, as opposed to broken: a client may come again.
bool overloaded(const pg_error& error) {
    return error.lost() || error.retryable() || error.state == sqlstate::pool_exhausted ||
           error.state == sqlstate::deadline_passed || error.state == sqlstate::pool_closed ||
           error.state == sqlstate::pooler_between || error.state == sqlstate::query_canceled ||
           error.state == read_only || error.state.class_code() == "53";
}

}  // namespace

sqlstate sqlstate::from(std::string_view text) noexcept {
    if (text.size() != 5) {
        return internal_error;
    }
    sqlstate out;
    std::copy(text.begin(), text.end(), out.code_.begin());
    return out;
}

bool pg_error::lost() const noexcept {
    return maybe_committed || state.class_code() == "08" || state == sqlstate::admin_shutdown ||
           state.str() == "57P02" || state == sqlstate::cannot_connect_now;
}

bool pg_error::retryable() const noexcept {
    if (maybe_committed) {
        return false;
    }
    return transient || state == sqlstate::serialization_failure ||
           state == sqlstate::deadlock_detected || state == sqlstate::lock_not_available ||
           state == sqlstate::unknown_prepared;
}

pg_exception::pg_exception(pg_error error)
    : std::runtime_error(describe(error)), error_(std::move(error)) {}

void throw_exception_from_error(const pg_error& error, const boost::source_location&) {
    if (error.lost()) {
        throw infrastructure_error("database: " + describe(error));
    }
    throw pg_exception(error);
}

insula::error to_error(const pg_error& error) {
    return {overloaded(error) ? errc::overloaded : errc::internal, {}, "pg: " + describe(error)};
}

}  // namespace insula::pg
