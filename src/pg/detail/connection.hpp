#pragma once
#include "pg/detail/budget.hpp"
#include "pg/detail/counters.hpp"
#include "pg/detail/libpq.hpp"
#include "pg/detail/request.hpp"
#include "pg/detail/result_router.hpp"
#include "pg/detail/statement_cache.hpp"

#include "insula/pg/error.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/descriptor.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace insula::pg::detail {

class connection;

/// Whoever keeps connections. Called on the home loop, never from inside a call to the connection,
/// but for units that end at once because it is broken.
class connection_owner {
public:
    virtual ~connection_owner() = default;
    /// A unit is over: the pipeline is shorter.
    virtual void unit_finished(connection& which) noexcept = 0;
    /// It died, or condemn() was called. Its units have been told already.
    virtual void connection_broken(connection& which) noexcept = 0;
    /// The socket is closed and the backend told; nothing of it is left.
    virtual void connection_closed(connection& which) noexcept = 0;
    virtual void notified(std::string channel, std::string payload);
};

/// One libpq connection in pipeline mode, on one loop. Units are sent by send() at once and
/// answered in order. drive() is its life: it waits for the socket, gives results to their units,
/// and when the connection is broken or shut down waits until the kernel has forgotten the
/// descriptor, closes it, and tells the owner.
class connection : public std::enable_shared_from_this<connection> {
public:
    using clock = runtime::steady_clock;

    /// `opened` is connected, non-blocking and in pipeline mode.
    connection(runtime::loop& home, pgconn_ptr opened, std::shared_ptr<pool_counters> counters,
               std::size_t statement_bytes_max, budget_ticket ticket);
    ~connection();

    /// Until a connection has an owner nobody is told anything.
    void belong_to(std::weak_ptr<connection_owner> owner) { owner_ = std::move(owner); }
    /// The task that must run as long as the connection is used:
    /// `spawn(connection->drive(connection))`.
    static runtime::awaitable<void> drive(std::shared_ptr<connection> self);

    /// Encodes and flushes the whole unit behind what is in flight. Never waits; on a broken
    /// connection the request fails at once.
    void send(const request_ptr& what);
    /// The simple protocol: several statements in one text. Nothing may be in flight.
    runtime::awaitable<pg_result<>> script(const std::string& sql, runtime::deadline until,
                                           request::purpose why = request::purpose::caller);
    /// Ends drive(); units in flight fail as lost.
    void shut_down() noexcept;
    void condemn(pg_error why) noexcept;
    /// Deallocates what the cache no longer wants, `at_least` so many at once.
    void collect_garbage(std::size_t at_least);
    void forget_statements(const request& of);

    bool usable() const noexcept { return !broken_ && !closing_; }
    std::size_t in_flight() const noexcept { return in_flight_.size() + (script_ ? 1 : 0); }
    /// Nothing in flight and no transaction open.
    bool idle() const noexcept;
    PGTransactionStatusType transaction_status() const noexcept;
    /// A unit is overdue by `grace` and nothing at all has come for as long: the peer is gone or
    /// hangs.
    bool stalled(clock::time_point now, clock::duration grace) const noexcept;
    /// What the start-up named: a pooler names a backend of its own invention.
    int claimed_pid() const noexcept { return PQbackendPID(conn_.get()); }
    /// The one that answers; 0 until set_backend().
    int backend_pid() const noexcept { return answering_pid_; }
    /// Noted when it was opened, and kept when the server has gone.
    const backend_id& backend() const noexcept { return backend_; }
    /// `started`: nothing where pg_stat_activity does not tell.
    void set_backend(int pid, std::optional<timestamp> started) noexcept {
        answering_pid_ = pid;
        if (started) {
            backend_ = {pid, started->time_since_epoch().count()};
        }
    }
    std::uint64_t units() const noexcept { return units_; }
    clock::time_point since() const noexcept { return since_; }
    clock::time_point last_used() const noexcept { return last_progress_; }
    const statement_cache& statements() const noexcept { return cache_; }

private:
    struct script_state;

    // connection_send.cpp
    bool encode(request& what);
    bool encode_preamble(const request& what);
    bool encode_entry(request& what, const unit::entry& entry, std::int32_t index);
    bool encode_command(const char* sql, sent_part::what kind);
    void gather(const request& what, const unit::entry& entry);
    std::uint64_t use_statement(request& what, const unit::entry& entry, bool& prepare) noexcept;
    void flush() noexcept;

    // connection.cpp
    void on_readable();
    void drain();
    void drain_script();
    void take(pgresult_ptr result);
    void fail_part(const sent_part& part, const PGresult* result);
    void finish_front();
    void fail_all(const pg_error& why) noexcept;
    void take_notifications();

    runtime::loop& home_;
    budget_ticket ticket_;  // goes after the connection
    pgconn_ptr conn_;
    std::shared_ptr<pool_counters> counters_;
    std::weak_ptr<connection_owner> owner_;
    std::optional<runtime::descriptor_watch> watch_;
    result_router router_;
    statement_cache cache_;
    std::deque<request_ptr> in_flight_;
    script_state* script_ = nullptr;
    backend_id backend_;
    int answering_pid_ = 0;
    std::optional<pg_error> fatal_;  // the server's farewell
    bool fatal_before_commit_ = false;
    // The preamble's name has a number that is never used again once the server has lost it: units
    // that find out one after another must not prepare the same name twice.
    std::uint64_t preamble_number_ = 1;
    std::string preamble_name_ = "preamble1";
    bool preamble_prepared_ = false;
    bool want_write_ = false;
    bool broken_ = false;
    bool closing_ = false;
    std::uint64_t units_ = 0;
    clock::time_point since_ = clock::now();
    clock::time_point last_progress_ = since_;

    // Scratch for encoding, kept to save allocations.
    std::vector<sent_part> parts_;
    std::vector<const char*> values_;
    std::vector<int> lengths_;
    std::vector<int> formats_;
    std::vector<Oid> types_;
};

}  // namespace insula::pg::detail
