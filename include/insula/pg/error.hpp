#pragma once
#include "insula/core/error.hpp"

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace insula::pg {

/// Five characters of SQLSTATE (PostgreSQL manual, appendix A). States that begin with IN are ours:
/// class names from I to Z are left to implementations by the SQL standard and PostgreSQL uses none
/// with N.
class sqlstate {
public:
    constexpr sqlstate() noexcept = default;  ///< "00000"
    consteval sqlstate(const char (&text)[6]) noexcept
        : code_{text[0], text[1], text[2], text[3], text[4]} {}

    /// Takes what a server sent; anything that is not five characters becomes XX000 (internal
    /// error).
    static sqlstate from(std::string_view text) noexcept;

    constexpr std::string_view str() const noexcept { return {code_.data(), code_.size()}; }
    constexpr std::string_view class_code() const noexcept { return {code_.data(), 2}; }
    constexpr bool operator==(const sqlstate&) const noexcept = default;

    static const sqlstate unique_violation;        // 23505
    static const sqlstate foreign_key_violation;   // 23503
    static const sqlstate not_null_violation;      // 23502
    static const sqlstate check_violation;         // 23514
    static const sqlstate exclusion_violation;     // 23P01
    static const sqlstate insufficient_privilege;  // 42501
    static const sqlstate undefined_table;         // 42P01
    static const sqlstate undefined_object;        // 42704
    static const sqlstate duplicate_object;        // 42710
    static const sqlstate lock_not_available;      // 55P03
    static const sqlstate query_canceled;          // 57014, also statement_timeout
    static const sqlstate serialization_failure;   // 40001
    static const sqlstate deadlock_detected;       // 40P01
    static const sqlstate in_failed_transaction;   // 25P02
    static const sqlstate
        feature_not_supported;  // 0A000, also "cached plan must not change result type"
    static const sqlstate unknown_prepared;      // 26000
    static const sqlstate duplicate_prepared;    // 42P05
    static const sqlstate internal_error;        // XX000, also "tuple concurrently updated"
    static const sqlstate too_many_connections;  // 53300
    static const sqlstate admin_shutdown;        // 57P01
    static const sqlstate cannot_connect_now;    // 57P03
    static const sqlstate raise_exception;       // P0001
    static const sqlstate connection_failure;    // 08006: lost; see pg_error::maybe_committed
    static const sqlstate unable_to_connect;     // 08001
    static const sqlstate pool_exhausted;        // IN001: the queue of waiters is full
    static const sqlstate deadline_passed;       // IN002: nothing had been sent
    static const sqlstate
        pooler_between;  // IN003: PgBouncer or the like answers instead of PostgreSQL
    static const sqlstate pool_closed;        // IN004: shutting down
    static const sqlstate migration_refused;  // IN005: changed checksum, gap, newer database

private:
    std::array<char, 5> code_{'0', '0', '0', '0', '0'};
};

inline constexpr sqlstate sqlstate::unique_violation{"23505"};
inline constexpr sqlstate sqlstate::foreign_key_violation{"23503"};
inline constexpr sqlstate sqlstate::not_null_violation{"23502"};
inline constexpr sqlstate sqlstate::check_violation{"23514"};
inline constexpr sqlstate sqlstate::exclusion_violation{"23P01"};
inline constexpr sqlstate sqlstate::insufficient_privilege{"42501"};
inline constexpr sqlstate sqlstate::undefined_table{"42P01"};
inline constexpr sqlstate sqlstate::undefined_object{"42704"};
inline constexpr sqlstate sqlstate::duplicate_object{"42710"};
inline constexpr sqlstate sqlstate::lock_not_available{"55P03"};
inline constexpr sqlstate sqlstate::query_canceled{"57014"};
inline constexpr sqlstate sqlstate::serialization_failure{"40001"};
inline constexpr sqlstate sqlstate::deadlock_detected{"40P01"};
inline constexpr sqlstate sqlstate::in_failed_transaction{"25P02"};
inline constexpr sqlstate sqlstate::feature_not_supported{"0A000"};
inline constexpr sqlstate sqlstate::unknown_prepared{"26000"};
inline constexpr sqlstate sqlstate::duplicate_prepared{"42P05"};
inline constexpr sqlstate sqlstate::internal_error{"XX000"};
inline constexpr sqlstate sqlstate::too_many_connections{"53300"};
inline constexpr sqlstate sqlstate::admin_shutdown{"57P01"};
inline constexpr sqlstate sqlstate::cannot_connect_now{"57P03"};
inline constexpr sqlstate sqlstate::raise_exception{"P0001"};
inline constexpr sqlstate sqlstate::connection_failure{"08006"};
inline constexpr sqlstate sqlstate::unable_to_connect{"08001"};
inline constexpr sqlstate sqlstate::pool_exhausted{"IN001"};
inline constexpr sqlstate sqlstate::deadline_passed{"IN002"};
inline constexpr sqlstate sqlstate::pooler_between{"IN003"};
inline constexpr sqlstate sqlstate::pool_closed{"IN004"};
inline constexpr sqlstate sqlstate::migration_refused{"IN005"};

/// One backend in the life of a server: its process id alone may be used again.
struct backend_id {
    int pid = 0;                  ///< 0: not known
    std::int64_t started_us = 0;  ///< backend_start of pg_stat_activity, microseconds since 1970
};

/// Why a unit of work failed. The texts are the server's and may quote data: for logs, never for
/// clients.
struct pg_error {
    sqlstate state;
    std::string message{};
    std::string constraint{};  ///< name of the violated constraint, or empty
    std::string detail{};
    /// Index in the unit; -1: the preamble, the commit at Sync, or no statement at all.
    int statement = -1;
    /// The connection was lost, or the deadline passed, after Sync or COMMIT had been handed to it.
    bool maybe_committed = false;
    /// XX000 "tuple concurrently updated" or 0A000 "cached plan must not change result type", told
    /// apart by the server's source routine, because messages are translated.
    bool transient = false;
    /// With maybe_committed: the backend that knows. While it lives it may still commit; see
    /// witness.hpp.
    backend_id backend{};

    /// The connection or the server is gone, unreachable or silent; what is known of the outcome is
    /// `maybe_committed`.
    bool lost() const noexcept;
    /// The same transaction may succeed when it is run again from its start: 40001, 40P01, 55P03,
    /// XX000 "tuple concurrently updated", and plans or prepared names that DDL invalidated
    /// underneath.
    bool retryable() const noexcept;
    bool violates(std::string_view constraint_name) const noexcept {
        return constraint == constraint_name;
    }
};

template <class T = void>
using pg_result = boost::system::result<T, pg_error>;

/// What `pg_result::value()` throws: a lost database as infrastructure_error, all else as
/// pg_exception (a bug: somebody did not look at the error).
class pg_exception : public std::runtime_error {
public:
    explicit pg_exception(pg_error error);
    const pg_error& error() const noexcept { return error_; }

private:
    pg_error error_;
};
[[noreturn]] void throw_exception_from_error(const pg_error& error,
                                             const boost::source_location& where);

/// The API's view, for what no caller treats specially: lost, exhausted, out of time -> overloaded
/// (503); retryable -> overloaded; everything else -> internal. The server's text goes to
/// `internal()` only.
insula::error to_error(const pg_error& error);

}  // namespace insula::pg
