#include "pg/detail/counters.hpp"

namespace insula::pg::detail {
namespace {

using source = std::atomic<std::uint64_t> pool_counters::*;

struct instrument {
    const char* name;
    const char* help;
    source value;
};

constexpr instrument counters[] = {
    {"insula_pg_units_total", "Units of work sent for callers", &pool_counters::units},
    {"insula_pg_round_trips_total", "Syncs sent for callers", &pool_counters::round_trips},
    {"insula_pg_maintenance_total", "Syncs of the pool's own", &pool_counters::maintenance},
    {"insula_pg_prepares_total", "Statements prepared", &pool_counters::prepares},
    {"insula_pg_reprepares_total", "Units repeated after DDL", &pool_counters::reprepares},
    {"insula_pg_lock_retries_total", "Units repeated on an exclusive connection after 55P03",
     &pool_counters::lock_retries},
    {"insula_pg_connects_total", "Connections opened", &pool_counters::connects},
    {"insula_pg_connect_failures_total", "Connection attempts that failed",
     &pool_counters::connect_failures},
    {"insula_pg_connections_lost_total", "Connections that died", &pool_counters::lost},
    {"insula_pg_refused_total", "Requests refused because too many waited for a connection",
     &pool_counters::refused},
};
constexpr instrument gauges[] = {
    {"insula_pg_connections_open", "Connections open", &pool_counters::open},
    {"insula_pg_connections_idle", "Connections open that nobody uses", &pool_counters::idle},
    {"insula_pg_waiters", "Requests waiting for a connection", &pool_counters::waiters},
};

}  // namespace

pool_stats pool_counters::snapshot() const noexcept {
    const auto get = [](const std::atomic<std::uint64_t>& value) {
        return value.load(std::memory_order_relaxed);
    };
    return {.units = get(units),
            .round_trips = get(round_trips),
            .maintenance = get(maintenance),
            .prepares = get(prepares),
            .reprepares = get(reprepares),
            .lock_retries = get(lock_retries),
            .connects = get(connects),
            .connect_failures = get(connect_failures),
            .lost = get(lost),
            .open = get(open),
            .idle = get(idle),
            .waiters = get(waiters)};
}

std::shared_ptr<pool_counters> register_counters(observe::metrics& metrics,
                                                 const std::string& pool) {
    auto shared = std::make_shared<pool_counters>();
    const observe::labels with{{"pool", pool}};
    const auto reader = [&](source member) {
        return [shared, member] {
            return static_cast<double>(((*shared).*member).load(std::memory_order_relaxed));
        };
    };
    for (const instrument& i : counters) {
        metrics.counter_from(i.name, i.help, with, reader(i.value));
    }
    for (const instrument& i : gauges) {
        metrics.gauge_from(i.name, i.help, with, reader(i.value));
    }
    return shared;
}

void register_limits(observe::metrics& metrics, const pool_options& options) {
    const observe::labels with{{"pool", options.name}};
    metrics
        .gauge("insula_pg_connections_max",
               "Limit of insula_pg_connections_open in the pool; all pools share "
               "insula_pg_connections_budget",
               with)
        .set(options.shared_max + options.exclusive_max);
    metrics.gauge("insula_pg_waiters_max", "Limit of insula_pg_waiters", with)
        .set(options.waiters_max);
    metrics
        .gauge("insula_pg_statement_bytes_max",
               "Estimated memory of prepared statements on one connection; the least recently used "
               "go beyond it",
               with)
        .set(static_cast<double>(options.statement_bytes_max));
}

}  // namespace insula::pg::detail
