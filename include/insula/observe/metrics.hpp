#pragma once
// Counters, gauges and histograms on prometheus-cpp's registry, and their Prometheus text.
//
// `metrics` is passed by reference to whoever counts; there is no global. Instruments live as long
// as their `metrics`; fetch them once (a look-up locks), keep the reference, change them from any
// thread.

#include <chrono>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {  // NOLINTBEGIN(readability-identifier-naming): theirs
class Counter;
class Gauge;
class Histogram;
// NOLINTEND(readability-identifier-naming)
}  // namespace prometheus

namespace insula::observe {

using labels = std::map<std::string, std::string>;

/// Only grows.
class counter {
public:
    explicit counter(prometheus::Counter& impl) noexcept : impl_(&impl) {}
    void add(double amount = 1) noexcept;
    [[nodiscard]] double value() const noexcept;

private:
    prometheus::Counter* impl_;
};

/// Goes up and down.
class gauge {
public:
    explicit gauge(prometheus::Gauge& impl) noexcept : impl_(&impl) {}
    void set(double value) noexcept;
    void add(double amount = 1) noexcept;
    void subtract(double amount = 1) noexcept;
    [[nodiscard]] double value() const noexcept;

private:
    prometheus::Gauge* impl_;
};

/// Counts observations in buckets. Times are observed in seconds, as Prometheus wants them.
class histogram {
public:
    explicit histogram(prometheus::Histogram& impl) noexcept : impl_(&impl) {}
    void observe(double value) noexcept;
    void observe(std::chrono::nanoseconds duration) noexcept;

private:
    prometheus::Histogram* impl_;
};

/// Upper bounds in seconds, 100 µs to 10 s: requests, statements.
[[nodiscard]] const std::vector<double>& latency_buckets();

class metrics {
public:
    metrics();
    metrics(const metrics&) = delete;
    metrics& operator=(const metrics&) = delete;
    ~metrics();

    /// The same name and labels give the same instrument. A name that is already of another kind,
    /// or not a Prometheus name, throws std::invalid_argument: a bug. Keep label values few: never
    /// ids of tenants.
    observe::counter& counter(const std::string& name, const std::string& help,
                              const labels& with = {});
    observe::gauge& gauge(const std::string& name, const std::string& help,
                          const labels& with = {});
    observe::histogram& histogram(const std::string& name, const std::string& help,
                                  const labels& with = {},
                                  const std::vector<double>& bounds = latency_buckets());

    /// A gauge or counter read when serialize() is called (pool sizes, log_dropped). `read` may be
    /// called from the thread that serialises and must live as long as this object; it must not
    /// block.
    void counter_from(const std::string& name, const std::string& help, const labels& with,
                      std::function<double()> read);
    void gauge_from(const std::string& name, const std::string& help, const labels& with,
                    std::function<double()> read);

    /// The text exposition format 0.0.4 (Content-Type: text/plain; version=0.0.4; charset=utf-8).
    [[nodiscard]] std::string serialize() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace insula::observe
