// What the engine does for the queue as a whole: recurring tasks, retention, gauges.

#include "queue/engine_state.hpp"
#include "queue/statements.hpp"

#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/timer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace insula::queue {

using namespace std::chrono_literals;

namespace {
constexpr std::int32_t clean_up_rows = 1'000;
constexpr auto recurring_gap_max = 5s;  // until a task that another process declared is seen
constexpr auto measure_gap = 5s;
constexpr int measure_share = 100;  // at most this part of a backend's time
}  // namespace

schedule schedule::every(std::chrono::milliseconds period) {
    if (period < 1ms) {
        throw std::invalid_argument("a recurring task's period is at least a millisecond");
    }
    return schedule(fmt::format("every {} ms", period.count()));
}

schedule schedule::daily_at(std::chrono::minutes after_midnight) {
    if (after_midnight < 0min || after_midnight >= 24h) {
        throw std::invalid_argument("a time of day lies within 24 hours");
    }
    return schedule(
        fmt::format("daily {:02}:{:02}", after_midnight / 60min, after_midnight.count() % 60));
}

// --- recurring tasks

runtime::awaitable<void> engine::state::recur() {
    bool declared = false;
    std::vector<std::string> names;
    names.reserve(options_.recurring.size());
    for (const recurring_task& task : options_.recurring) {
        names.push_back(task.name);
    }
    while (!drained_) {
        declared = declared || co_await declare_recurring();
        std::chrono::milliseconds pause = 500ms;
        if (declared && healthy() && !draining_) {
            std::vector<run_id> ids(names.size());
            std::generate(ids.begin(), ids.end(), [] { return run_id::make(); });
            pg::unit work;
            work.add(sql::fire_recurring, names, ids);
            INSULA_FAULT_POINT("queue.before_recurring");
            if (auto got = co_await pool_.run(std::move(work), call_deadline())) {
                INSULA_FAULT_POINT("queue.after_recurring");
                const pg::row answer = got->front().only();
                const auto fired = answer.get<std::int32_t>("fired");
                const auto next = answer.get<std::optional<std::int64_t>>("next_ms");
                pause = std::clamp<std::chrono::milliseconds>(
                    std::chrono::milliseconds(next.value_or(0)), 1ms, recurring_gap_max);
                if (fired > 0) {
                    count_.recurring_fired.add(static_cast<std::uint64_t>(fired));
                    rung_local_ = true;
                    bell_.set();
                    others_.set();
                }
            }
        }
        co_await runtime::sleep_until(runtime::deadline::after(pause));
    }
}

runtime::awaitable<bool> engine::state::declare_recurring() {
    pg::unit work;
    for (const recurring_task& task : options_.recurring) {
        work.add(sql::declare_recurring, task.name, task.when.str(), task.kind, task.version,
                 task.queue, task.priority, task.lock_key, task.input, task.may_overlap);
    }
    auto got = co_await pool_.run(std::move(work), call_deadline());
    if (!got) {
        observe::warn("queue: recurring tasks cannot be declared",
                      {{"sqlstate", got.error().state.str()}, {"error", got.error().message}});
    }
    co_return got.has_value();
}

// --- retention

runtime::awaitable<void> engine::state::clean_up() {
    while (!drained_) {
        co_await runtime::sleep_until(jittered(options_.upkeep));
        for (int removed = clean_up_rows; removed >= clean_up_rows && healthy() && !draining_;) {
            pg::unit work;
            work.add(sql::clean_up, options_.history_retention, clean_up_rows);
            auto connection = co_await borrow(call_deadline());
            if (!connection) {
                break;
            }
            const auto begun = std::chrono::steady_clock::now();
            auto got = co_await connection->exec(std::move(work));
            if (!got) {
                observe::warn("queue: clean-up failed", {{"sqlstate", got.error().state.str()},
                                                         {"error", got.error().message}});
                break;
            }
            put_back(std::move(*connection));
            removed = got->front().scalar<std::optional<std::int32_t>>().value_or(0);
            count_.cleaned_up.add(static_cast<std::uint64_t>(removed));
            // Half of the time for everybody else.
            co_await runtime::sleep_until(
                runtime::deadline::after(std::chrono::steady_clock::now() - begun));
        }
        if (running_ == 0) {
            spare_.clear();
        }
    }
}

// --- gauges

runtime::awaitable<void> engine::state::measure() {
    while (!drained_) {
        const auto begun = std::chrono::steady_clock::now();
        if (healthy()) {
            co_await measure_once();
        }
        const auto took = std::chrono::steady_clock::now() - begun;
        co_await runtime::sleep_until(runtime::deadline::after(std::max<std::chrono::nanoseconds>(
            std::min<std::chrono::nanoseconds>(measure_gap, options_.upkeep),
            took * measure_share)));
    }
}

runtime::awaitable<void> engine::state::measure_once() {
    pg::unit work;
    work.add(sql::depths).add(sql::paused).add(sql::horizon);
    auto connection = co_await borrow(call_deadline());
    if (!connection) {
        co_return;
    }
    auto got = co_await connection->exec(std::move(work));
    if (!got) {
        co_return;
    }
    put_back(std::move(*connection));
    if (running_ == 0) {
        spare_.clear();
    }
    gauges_.begin();
    for (const pg::row r : (*got)[0]) {
        const auto queue = std::to_string(r.get<std::int16_t>("queue"));
        const auto state = static_cast<run_state>(r.get<std::int16_t>("state"));
        gauges_.set("insula_queue_depth", "Live runs",
                    {{"queue", queue}, {"state", std::string(name(state))}},
                    static_cast<double>(r.get<std::int64_t>("runs")));
        if (state == run_state::ready) {
            gauges_.set("insula_queue_oldest_ready_seconds", "Age of what has been ready longest",
                        {{"queue", queue}}, std::max(r.get<double>("oldest"), 0.0));
        }
    }
    for (const pg::row r : (*got)[1]) {
        gauges_.set("insula_queue_paused", "Queues from which nothing is claimed",
                    {{"queue", std::to_string(r.get<std::int16_t>(0))}}, 1);
    }
    if (!(*got)[2].empty()) {
        const pg::row r = (*got)[2].only();
        const auto now = options_.steady_now();
        if (const auto oldest = r.get<std::string>("oldest"); oldest != horizon_) {
            horizon_ = oldest;
            horizon_since_ = now;
        }
        gauges_.set("insula_queue_horizon_transactions",
                    "Transactions since the oldest snapshot that is held", {},
                    static_cast<double>(r.get<std::int64_t>("transactions")));
        gauges_.set("insula_queue_horizon_seconds",
                    "How long the oldest snapshot has been seen to be the same", {},
                    std::chrono::duration<double>(now - horizon_since_).count());
    } else {
        horizon_.clear();
    }
    gauges_.end();
}

}  // namespace insula::queue
