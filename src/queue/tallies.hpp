#pragma once
#include "insula/observe/metrics.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace insula::queue::detail {

/// Counted twice: for the program's own eyes (any thread) and for Prometheus.
class tally {
public:
    tally(observe::metrics& m, const char* name, const char* help, const observe::labels& with = {})
        : shown_(m.counter(name, help, with)) {}
    void add(std::uint64_t n = 1) noexcept {
        count_.fetch_add(n, std::memory_order_relaxed);
        shown_.add(static_cast<double>(n));
    }
    std::uint64_t value() const noexcept { return count_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> count_{0};
    observe::counter& shown_;
};

struct tallies {
    explicit tallies(observe::metrics& m);
    tally claimed, steps, finished, retried, undone, held, stale_refused, lost_landed,
        lost_repeated, rescued, postponed_unknown, wakes_local, wakes_notified, wakes_polled,
        registrations, recurring_fired, cleaned_up;
    observe::histogram& pickup;
    observe::histogram& claim_seconds;
    observe::histogram& step_seconds;
    observe::histogram& run_seconds;
    observe::histogram& batch_size;
    observe::histogram& attempts;
    observe::gauge& running;
};

/// Gauges set together from one look at the tables: what a look does not mention is zero.
class measured {
public:
    explicit measured(observe::metrics& m) : metrics_(m) {}
    void begin() noexcept { ++round_; }
    void set(const char* name, const char* help, const observe::labels& with, double value);
    void end();

private:
    struct shown {
        observe::gauge* gauge = nullptr;
        unsigned round = 0;
    };
    observe::metrics& metrics_;
    unsigned round_ = 0;
    std::map<std::pair<std::string, observe::labels>, shown> all_;
};

}  // namespace insula::queue::detail
