#pragma once
#include "insula/observe/metrics.hpp"
#include "insula/pg/pool.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace insula::pg::detail {

/// What a pool counts; written on its loop, read anywhere. Shared with the metrics, which may
/// outlive the pool.
struct pool_counters {
    std::atomic<std::uint64_t> units{0}, round_trips{0}, maintenance{0}, prepares{0}, reprepares{0},
        lock_retries{0}, connects{0}, connect_failures{0}, lost{0}, open{0}, idle{0}, waiters{0},
        refused{0};

    static void add(std::atomic<std::uint64_t>& counter) noexcept {
        counter.fetch_add(1, std::memory_order_relaxed);
    }
    static void set(std::atomic<std::uint64_t>& gauge, std::size_t value) noexcept {
        gauge.store(value, std::memory_order_relaxed);
    }
    pool_stats snapshot() const noexcept;
};

std::shared_ptr<pool_counters> register_counters(observe::metrics& metrics,
                                                 const std::string& pool);
/// The limits that the gauges of a pool are held against.
void register_limits(observe::metrics& metrics, const pool_options& options);

}  // namespace insula::pg::detail
