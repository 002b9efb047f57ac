#pragma once
// How a step says that it did not work.

#include "insula/core/error.hpp"
#include "insula/pg/error.hpp"

#include <boost/system/result.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace insula::queue {

/// Why a step failed, and whether trying again can help. `code` is stable snake_case, `detail` is
/// safe for clients (a waiting registrant reads both), `internal` is for operators and logs. Bytes
/// that are no text become U+FFFD, and each of the three is cut at 16 KiB.
class failure {
public:
    failure() = default;  ///< no failure: what error() of a success gives
    /// Retryable unless the statement itself is wrong: classes 0A, 21, 22, 23, 2F, 42 and P0 are
    /// final (the same SQL fails again), and so are raises of our own (IT…); lost connections,
    /// locks, serialization, full disks and everything unforeseen are tried again. Nothing was
    /// committed either way. Code "database_error"; the server's text goes to `internal`.
    failure(const pg::pg_error& error);  // NOLINT(google-explicit-constructor)
    /// Final, except errc::overloaded. Code and detail are the error's own.
    failure(const insula::error& error);  // NOLINT(google-explicit-constructor)

    static failure retryable(std::string code, std::string detail = {}, std::string internal = {}) {
        return {false, std::move(code), std::move(detail), std::move(internal)};
    }
    static failure final(std::string code, std::string detail = {}, std::string internal = {}) {
        return {true, std::move(code), std::move(detail), std::move(internal)};
    }

    [[nodiscard]] bool is_final() const noexcept { return final_; }
    [[nodiscard]] const std::string& code() const noexcept { return code_; }
    [[nodiscard]] const std::string& detail() const noexcept { return detail_; }
    [[nodiscard]] const std::string& internal() const noexcept { return internal_; }
    [[nodiscard]] std::string describe() const;

private:
    failure(bool final, std::string code, std::string detail, std::string internal);

    bool final_ = false;
    std::string code_;
    std::string detail_;
    std::string internal_;
};

/// Asking for the value of a failed step is a bug.
[[noreturn]] void throw_exception_from_error(const failure& e, const boost::source_location& where);

/// `co_return some_pg_error;`, `co_return some_error;` and `co_return failure::final("…");` all
/// work.
template <class T = void>
using step_result = boost::system::result<T, failure>;

}  // namespace insula::queue
