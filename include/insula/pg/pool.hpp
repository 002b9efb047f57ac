#pragma once
#include "insula/pg/error.hpp"
#include "insula/pg/statement.hpp"
#include "insula/pg/value.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace insula::observe {
class metrics;
}
namespace insula::runtime {
class cpu_pool;
class loop;
}  // namespace insula::runtime

namespace insula::pg {

namespace detail {
class pool_core;
class budget_core;
struct pool_test_access;
struct lease_state;
}  // namespace detail

/// How many connections all pools of a process may have open together
/// (INSULA_DATABASE_CONNECTIONS). A pool that finds it spent waits its turn; pools that hold idle
/// connections are asked to close one. Thread-safe. Must outlive the pools that use it.
class connection_budget {
public:
    explicit connection_budget(unsigned connections_max);
    ~connection_budget();
    connection_budget(const connection_budget&) = delete;
    connection_budget& operator=(const connection_budget&) = delete;

    unsigned limit() const noexcept;
    unsigned open() const noexcept;
    detail::budget_core& core() noexcept { return *core_; }

private:
    std::unique_ptr<detail::budget_core> core_;
};

struct pool_options {
    std::string name;  ///< label of metrics and log lines: "app", "cell_3"
    std::string
        conninfo;  ///< libpq's key=value form or URI, with user and password; host may be a name
    unsigned shared_max = 1;     ///< connections whose pipeline many requests share
    unsigned exclusive_max = 4;  ///< connections lent as a lease, or for units that met a lock
    unsigned waiters_max =
        1024;  ///< requests that may wait for a connection; more get pool_exhausted
    unsigned pipeline_max = 64;  ///< units in flight on one shared connection; more wait
    std::size_t statement_bytes_max =
        4u << 20;  ///< estimated server memory of prepared statements, per connection
    std::chrono::milliseconds connect_timeout{3000};
    std::chrono::milliseconds idle_timeout{60'000};  ///< an unused connection is closed
    std::chrono::milliseconds backoff_max{
        500};  ///< between attempts when the server is away, with jitter
    std::uint64_t recycle_units = 1'000'000;  ///< a connection is replaced after so many units
    std::chrono::minutes recycle_age{60};
};

/// Counters of one pool since its start; a consistent-enough snapshot, readable from any thread.
struct pool_stats {
    std::uint64_t units = 0;
    std::uint64_t round_trips =
        0;  ///< Syncs sent for callers: a unit that went through cleanly costs exactly one
    std::uint64_t maintenance = 0;  ///< Syncs of the pool's own (deallocation, reset)
    std::uint64_t prepares = 0;
    std::uint64_t reprepares = 0;    ///< units repeated because DDL changed a plan underneath
    std::uint64_t lock_retries = 0;  ///< units repeated on an exclusive connection after 55P03
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t lost = 0;  ///< connections that died
    std::uint64_t open = 0;
    std::uint64_t idle = 0;
    std::uint64_t waiters = 0;
};

enum class isolation { read_committed, repeatable_read, serializable };

/// An exclusive connection on loan. Move-only; usable from any loop, one operation at a time. The
/// destructor only marks: the pool's own task rolls back, checks that the connection is idle and
/// resets it, or closes it. Every operation is bounded by the lease's deadline; when that passes
/// during a query, the query is cancelled through a second connection and, failing that, the
/// connection is closed. Cancelling the awaiting coroutine does not cancel the operation: it runs
/// on the pool's loop to its end.
class lease {
public:
    lease() noexcept = default;
    lease(lease&&) noexcept;
    lease& operator=(lease&&) noexcept;
    ~lease();

    explicit operator bool() const noexcept { return state_ != nullptr; }

    /// Sends the whole unit in one flush and waits for its end. Outside begin() … commit() it is an
    /// implicit transaction of its own; inside, it is part of that one, and after an error only
    /// rollback() helps. `options.lock_timeout` of 0 means none; the default of 50 ms is for shared
    /// connections, so pass what this transaction may wait. One result per statement of the unit.
    runtime::awaitable<pg_result<results>> exec(unit work,
                                                unit_options options = exclusive_defaults());
    /// As exec, then COMMIT in the same flush: the last round trip of a transaction. If the unit
    /// fails, nothing is committed. Lost on the way: the error says maybe_committed.
    runtime::awaitable<pg_result<results>> exec_and_commit(
        unit work, unit_options options = exclusive_defaults());

    /// Costs no round trip: BEGIN travels in front of the next unit.
    runtime::awaitable<pg_result<>> begin(isolation level = isolation::read_committed,
                                          bool read_only = false);
    /// An error means rolled back, except when it is lost() and maybe_committed. COMMIT of a
    /// transaction that has already failed is an error here (25P02), not PostgreSQL's silent
    /// ROLLBACK.
    runtime::awaitable<pg_result<>> commit();
    runtime::awaitable<pg_result<>> rollback();

    /// Several statements in one text over the simple protocol, as psql -f would: migrations only.
    runtime::awaitable<pg_result<>> exec_script(std::string text);

    /// Bounds every following operation. Initially the deadline given to
    /// acquire().
    void expires_at(runtime::deadline when) noexcept;
    runtime::deadline expires() const noexcept;
    bool in_transaction() const noexcept;
    /// Process id of the backend, to look for in pg_stat_activity ("is the old backend gone?",
    /// G41).
    int backend_pid() const noexcept;
    /// The first error of the current transaction (cleared by begin), for in_transaction().
    const pg_error* failure() const noexcept;

    static constexpr unit_options exclusive_defaults() noexcept {
        return {.lock_timeout = std::chrono::milliseconds{0},
                .statement_timeout = std::chrono::milliseconds{0},
                .allow_exclusive_retry = false};
    }

    /// For this module.
    explicit lease(std::shared_ptr<detail::lease_state> state) noexcept
        : state_(std::move(state)) {}
    const std::shared_ptr<detail::lease_state>& state() const noexcept { return state_; }

private:
    void give_back() noexcept;

    std::shared_ptr<detail::lease_state> state_;
};

/// Connections of one login role, living on one loop, callable from any: a call from elsewhere is
/// posted there and resumes where it came from.
class pool {
public:
    /// `resolver` looks host names up; without one `host` must be an address, a socket folder, or
    /// absent.
    pool(runtime::loop& home, pool_options options, connection_budget& budget,
         observe::metrics& metrics, runtime::cpu_pool* resolver = nullptr);
    ~pool();  ///< close() must have finished, or the home loop must have stopped for good
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;

    /// Runs the unit on a shared connection: one round trip, one result per statement. Nobody can
    /// hold it up by more than options.lock_timeout per statement: after 55P03 it is repeated on an
    /// exclusive connection, where only statement_timeout (the deadline by default) bounds it.
    /// Errors of neighbours never show. Cancelling the awaiting coroutine does not recall a unit
    /// that was sent.
    runtime::awaitable<pg_result<results>> run(unit work, unit_options options,
                                               runtime::deadline until);
    runtime::awaitable<pg_result<results>> run(unit work, runtime::deadline until) {
        return run(std::move(work), unit_options{}, until);
    }

    /// An exclusive connection; waiters are served in order. The lease inherits the deadline.
    runtime::awaitable<pg_result<lease>> acquire(runtime::deadline until);

    /// Refuses new work, waits for what runs until the deadline, then closes every connection.
    /// Idempotent.
    runtime::awaitable<void> close(runtime::deadline until);

    pool_stats stats() const noexcept;
    const std::string& name() const noexcept;
    runtime::loop& home() const noexcept;

private:
    friend struct detail::pool_test_access;
    std::shared_ptr<detail::pool_core> core_;
};

}  // namespace insula::pg
