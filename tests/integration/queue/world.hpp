// A database with the queue's tables and the tests' own, and "processes": a loop on a thread with
// pool and engine.
#pragma once

#include "support/gate.hpp"
#include "support/postgres.hpp"
#include "support/queue_invariants.hpp"

#include "insula/observe/metrics.hpp"
#include "insula/pg/pool.hpp"
#include "insula/queue/engine.hpp"
#include "insula/queue/enqueue.hpp"
#include "insula/queue/registry.hpp"
#include "insula/runtime/cpu_pool.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/post.hpp"

#include <boost/asio/co_spawn.hpp>

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace insula::queue::test_support {

using namespace std::chrono_literals;
using test::test_database;

/// A counter moves when an answer arrives, a moment after others see the rows.
inline testing::AssertionResult counts(const engine& which, std::uint64_t engine_stats::* counter,
                                       std::uint64_t wanted) {
    const auto until = std::chrono::steady_clock::now() + 5s;
    while (which.stats().*counter < wanted && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    const std::uint64_t found = which.stats().*counter;
    return found == wanted
               ? testing::AssertionSuccess()
               : testing::AssertionFailure() << "counted " << found << ", not " << wanted;
}

/// Roles, schema and migration as the service has them, and a schema `t` for what the tests' steps
/// do: t.effect (run, step, direction, n), t.call (run, step, direction, key), t.ended (run, what,
/// step, code), t.note (run, what, n).
class world {
public:
    explicit world(test::cluster& where = test::shared_cluster());

    test_database& db() { return db_; }
    /// The same on TCP, behind `between`, by a name that must be looked up.
    std::string named_worker_conninfo(const insula::test::gate& between) const;
    std::string worker_conninfo() const { return db_.conninfo(db_.role_prefix() + "_worker"); }
    std::string app_conninfo() const { return db_.conninfo(db_.role_prefix() + "_app"); }
    /// Enqueues as the API's login does, without waking anybody.
    run_id enqueue(const enqueue_request& what);
    std::string state_of(run_id id);  ///< of the run, or of its history row; "none"
    std::string text(const std::string& sql) { return db_.value_admin(sql); }
    /// Asks every few milliseconds until the query answers `wanted`; the failure shows what it
    /// answered last.
    testing::AssertionResult becomes(const std::string& sql, const std::string& wanted,
                                     std::chrono::milliseconds within = 20s);
    testing::AssertionResult ends(run_id id, const std::string& state,
                                  std::chrono::milliseconds within = 20s);
    testing::AssertionResult in_order(std::chrono::milliseconds settle = 5s);
    /// What the run's steps wrote to t.note, in order, with spaces between.
    std::string notes_of(run_id id) {
        return text(
            "select coalesce(string_agg(what, ' ' order by n), '') from t.note where run = '" +
            id.str() + "'");
    }
    /// "a+ b+ b- a-": the effects of a run in the order in which they committed.
    std::string effects_of(run_id id);

private:
    test_database db_;
};

/// A loop running on a thread of its own.
class loop_thread {
public:
    explicit loop_thread(runtime::backend kind);
    ~loop_thread();
    runtime::loop& loop() { return *loop_; }

    /// Runs a coroutine there and waits for its value, at most `within`.
    template <class T>
    T run(runtime::awaitable<T> work, std::chrono::milliseconds within = 30s) {
        std::promise<T> promise;
        auto future = promise.get_future();
        boost::asio::co_spawn(loop_->get_executor(), forward(std::move(work), std::move(promise)),
                              [](std::exception_ptr) {});
        if (future.wait_for(within) != std::future_status::ready) {
            throw std::runtime_error("a coroutine on the loop did not end in time");
        }
        return future.get();
    }

private:
    template <class T>
    static runtime::awaitable<void> forward(runtime::awaitable<T> work, std::promise<T> promise) {
        try {
            if constexpr (std::is_void_v<T>) {
                co_await std::move(work);
                promise.set_value();
            } else {
                promise.set_value(co_await std::move(work));
            }
        } catch (...) {
            promise.set_exception(std::current_exception());
        }
    }

    std::unique_ptr<runtime::loop> loop_;
    std::thread thread_;
};

/// What a process of the service has of the queue.
class process {
public:
    process(std::string worker_conninfo, const registry& known, engine_options options,
            runtime::backend kind);
    ~process();  ///< drains, unless it was
    queue::engine& engine() { return *engine_; }
    loop_thread& thread() { return thread_; }
    pg::pool& pool() { return *pool_; }
    observe::metrics& metrics() { return metrics_; }
    bool drain(std::chrono::milliseconds within = 10s);

private:
    observe::metrics metrics_;
    pg::connection_budget budget_{32};
    runtime::cpu_pool resolver_{1, 8};
    loop_thread thread_;
    std::unique_ptr<pg::pool> pool_;
    std::unique_ptr<queue::engine> engine_;
    bool drained_ = false;
};

/// What tests run on: the backend that INSULA_RUNTIME names, as scripts/test does for each pass;
/// both when it names none.
std::vector<runtime::backend> backends();

/// Options for tests: a short lease and quick polls.
engine_options quick(std::chrono::milliseconds lease = 1'000ms);

}  // namespace insula::queue::test_support
