#include "insula/queue/failure.hpp"

#include "insula/core/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

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

constexpr std::size_t text_bytes_max = 16 * 1024;

/// What the database takes: whoever wrote it, a failure must be possible to record.
std::string storable(std::string text) {
    if (text.size() <= text_bytes_max && valid_utf8(text) && text.find('\0') == text.npos) {
        return text;
    }
    std::string_view rest = text;
    std::string good;
    while (!rest.empty() && good.size() < text_bytes_max) {
        std::size_t size = 1;
        while (size < std::min<std::size_t>(rest.size(), 4) && !valid_utf8(rest.substr(0, size))) {
            ++size;
        }
        const bool fine = valid_utf8(rest.substr(0, size)) && rest.front() != '\0';
        good += fine ? rest.substr(0, size) : "\xef\xbf\xbd";
        rest.remove_prefix(fine ? size : 1);
    }
    return good;
}

}  // namespace

failure::failure(bool final, std::string code, std::string detail, std::string internal)
    : final_(final),
      code_(storable(std::move(code))),
      detail_(storable(std::move(detail))),
      internal_(storable(std::move(internal))) {}

failure::failure(const pg::pg_error& error)
    : failure(hopeless(error),
              error.state == pg::sqlstate::query_canceled ? "timeout" : "database_error", {},
              fmt::format("{} {}", error.state.str(), error.message)) {}

failure::failure(const insula::error& error)
    : failure(error.code() != errc::overloaded, std::string(error.name()),
              std::string(error.detail()), std::string(error.internal())) {}

std::string failure::describe() const {
    return fmt::format("{}{}: {} [{}]", code_, final_ ? " (final)" : "", detail_, internal_);
}

void throw_exception_from_error(const failure& e, const boost::source_location& where) {
    throw std::logic_error(fmt::format("the value of a failed step was asked for: {} at {}:{}",
                                       e.describe(), where.file_name(), where.line()));
}

}  // namespace insula::queue
