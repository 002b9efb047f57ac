#pragma once
#include "pg/detail/budget.hpp"
#include "pg/detail/connect.hpp"
#include "pg/detail/connection.hpp"
#include "pg/detail/pool_machine.hpp"
#include "pg/detail/waiters.hpp"

#include "insula/pg/pool.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/task_group.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace insula::pg::detail {

struct pool_test_access;

/// A lease as its pool sees it. Written by one operation at a time, on the pool's loop.
struct lease_state {
    enum class transaction { none, pending, open, failed };

    std::shared_ptr<pool_core> pool;
    std::shared_ptr<detail::connection> connection;
    pool_machine::node_id node = 0;
    int pid = 0;
    runtime::deadline until;
    transaction phase = transaction::none;
    std::string begin_sql;            ///< for the next unit, while pending
    std::optional<pg_error> failure;  ///< first one since begin()
    std::optional<pg_error> spoiled;  ///< a unit was given up: nothing more can be run here
    request_ptr last;
};

/// What is behind a pool. Everything but the constructor, stats and the budget's calls happens on
/// the home loop.
class pool_core final : public connection_owner,
                        public budget_member,
                        public std::enable_shared_from_this<pool_core> {
public:
    pool_core(runtime::loop& home, pool_options options, budget_core& budget,
              observe::metrics& metrics, runtime::cpu_pool* resolver);
    ~pool_core() override;

    runtime::awaitable<pg_result<results>> run(unit work, unit_options options,
                                               runtime::deadline until);
    runtime::awaitable<pg_result<lease>> acquire(runtime::deadline until);
    runtime::awaitable<void> close(runtime::deadline until);

    // Operations of a lease (exclusive.cpp).
    runtime::awaitable<pg_result<results>> exec(std::shared_ptr<lease_state> on, unit work,
                                                unit_options options, bool commit);
    runtime::awaitable<pg_result<>> commit(std::shared_ptr<lease_state> on);
    runtime::awaitable<pg_result<>> rollback(std::shared_ptr<lease_state> on);
    runtime::awaitable<pg_result<>> script(std::shared_ptr<lease_state> on, std::string sql);
    void take_back(std::shared_ptr<lease_state> returned);

    runtime::loop& home() const noexcept { return home_; }
    const pool_options& options() const noexcept { return options_; }
    pool_stats stats() const noexcept { return counters_->snapshot(); }

    void unit_finished(connection& which) noexcept override;
    void connection_broken(connection& which) noexcept override;
    void connection_closed(connection& which) noexcept override;
    void budget_freed() noexcept override;
    void budget_wanted() noexcept override;

private:
    friend struct pool_test_access;
    struct waiter;
    struct leave_unsent;
    using shared_connection = std::shared_ptr<connection>;

    struct shared_place {
        shared_connection open;
        bool connecting = false;
        bool second = false;                 // beside an attempt that hangs
        backoff::clock::time_point since{};  // when it began to connect
    };

    // pool_core.cpp
    pg_error out_of_time() const;
    void ensure_started();
    void serve();
    void serve_shared();
    void serve_exclusive();
    shared_connection pick_shared();
    void begin_open_shared(std::size_t place);
    runtime::awaitable<void> open_shared(std::size_t place, budget_ticket ticket, bool second);
    runtime::awaitable<void> open_exclusive(std::size_t node, budget_ticket ticket, bool second);
    runtime::awaitable<pg_result<shared_connection>> open_one(budget_ticket ticket, bool second);
    bool cut_off(const connection& which) const;
    void fail_waiting(const pg_error& why);
    void retry_at(backoff::clock::time_point when);
    void update_gauges() noexcept;
    void refuse_bugs(const unit& work, bool shared) const;
    /// After the wait for an answer. Where none came, the budget learns that a peer is silent.
    bool answered(const request& what);
    runtime::awaitable<pg_result<results>> run_alone(const unit& work, unit_options options,
                                                     runtime::deadline until);

    // pool_upkeep.cpp
    runtime::awaitable<void> upkeep();
    void tick();
    void retire_shared(shared_place& place);
    void inquire_after_doubtful();
    runtime::awaitable<void> inquire(shared_connection after);
    bool close_something_idle();
    bool recycle_due(const connection& which) const;
    bool quiet() const noexcept;

    // exclusive.cpp
    runtime::awaitable<void> reclaim(std::shared_ptr<lease_state> returned);
    runtime::awaitable<bool> make_clean(connection& which, const request_ptr& last);
    enum class ending { commit, rollback };
    runtime::awaitable<pg_result<>> command(lease_state& on, ending end);
    void settle(lease_state& on, const std::optional<pg_error>& error) const;

    runtime::loop& home_;
    pool_options options_;
    budget_core& budget_;
    std::shared_ptr<pool_counters> counters_;
    runtime::cpu_pool* resolver_;
    runtime::task_group tasks_;
    runtime::event wake_;     // upkeep: look now
    runtime::event changed_;  // close: something ended

    std::vector<shared_place> shared_;
    std::vector<shared_view> views_;  // scratch
    std::vector<shared_connection> retiring_;
    waiter_queue<request> unsent_;
    backoff shared_backoff_;

    pool_machine machine_;
    std::vector<shared_connection> exclusive_;  // by node
    waiter_queue<waiter> waiters_;

    std::optional<pg_error> last_failure_;  // of connecting, while it fails
    backoff::clock::time_point retry_at_ = backoff::clock::time_point::max();
    backoff::clock::time_point next_inquiry_{};
    bool started_ = false;
    bool closed_ = false;
};

}  // namespace insula::pg::detail
