#include "insula/observe/metrics.hpp"

#include <prometheus/check_names.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace insula::observe {

void counter::add(double amount) noexcept {
    impl_->Increment(amount);
}
double counter::value() const noexcept {
    return impl_->Value();
}

void gauge::set(double value) noexcept {
    impl_->Set(value);
}
void gauge::add(double amount) noexcept {
    impl_->Increment(amount);
}
void gauge::subtract(double amount) noexcept {
    impl_->Decrement(amount);
}
double gauge::value() const noexcept {
    return impl_->Value();
}

void histogram::observe(double value) noexcept {
    impl_->Observe(value);
}
void histogram::observe(std::chrono::nanoseconds duration) noexcept {
    impl_->Observe(std::chrono::duration<double>(duration).count());
}

const std::vector<double>& latency_buckets() {
    static const std::vector<double> bounds{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                            0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
                                            1,      2.5,     5,      10};
    return bounds;
}

namespace {

using key = std::pair<std::string, labels>;

// A metric whose value is asked for when it is serialised.
struct computed {
    std::string help;
    prometheus::MetricType type = prometheus::MetricType::Untyped;
    std::map<labels, std::function<double()>> reads;
};

void require_labels(const labels& with) {
    for (const auto& [name, value] : with) {
        if (!prometheus::CheckLabelName(name)) {
            throw std::invalid_argument("not a label name: " + name);
        }
    }
}

}  // namespace

struct metrics::state {
    mutable std::mutex mutex;
    prometheus::Registry registry;
    std::map<std::string, prometheus::MetricType> kinds;
    std::map<key, observe::counter> counters;
    std::map<key, observe::gauge> gauges;
    std::map<key, observe::histogram> histograms;
    std::map<std::string, computed> computed_ones;

    // Prometheus refuses a page on which one name has two kinds.
    void claim(const std::string& name, prometheus::MetricType kind) {
        if (!prometheus::CheckMetricName(name)) {
            throw std::invalid_argument("not a metric name: " + name);
        }
        const auto [at, fresh] = kinds.try_emplace(name, kind);
        if (!fresh && at->second != kind) {
            throw std::invalid_argument("metric of another kind: " + name);
        }
    }

    void add_computed(const std::string& name, const std::string& help, prometheus::MetricType kind,
                      const labels& with, std::function<double()> read) {
        const std::lock_guard lock(mutex);
        claim(name, kind);
        require_labels(with);
        auto& family = computed_ones[name];
        family.help = help;
        family.type = kind;
        family.reads.insert_or_assign(with, std::move(read));
    }

    [[nodiscard]] std::vector<prometheus::MetricFamily> collect_computed() const {
        std::vector<prometheus::MetricFamily> families;
        const std::lock_guard lock(mutex);
        for (const auto& [name, one] : computed_ones) {
            prometheus::MetricFamily family{name, one.help, one.type, {}};
            for (const auto& [with, read] : one.reads) {
                prometheus::ClientMetric metric;
                for (const auto& [label, value] : with) {
                    metric.label.push_back({label, value});
                }
                (one.type == prometheus::MetricType::Counter ? metric.counter.value
                                                             : metric.gauge.value) = read();
                family.metric.push_back(std::move(metric));
            }
            families.push_back(std::move(family));
        }
        return families;
    }
};

metrics::metrics() : state_(std::make_unique<state>()) {}
metrics::~metrics() = default;

counter& metrics::counter(const std::string& name, const std::string& help, const labels& with) {
    const std::lock_guard lock(state_->mutex);
    state_->claim(name, prometheus::MetricType::Counter);
    const auto found = state_->counters.find({name, with});
    if (found != state_->counters.end()) {
        return found->second;
    }
    require_labels(with);
    auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(state_->registry);
    return state_->counters.try_emplace({name, with}, family.Add(with)).first->second;
}

gauge& metrics::gauge(const std::string& name, const std::string& help, const labels& with) {
    const std::lock_guard lock(state_->mutex);
    state_->claim(name, prometheus::MetricType::Gauge);
    const auto found = state_->gauges.find({name, with});
    if (found != state_->gauges.end()) {
        return found->second;
    }
    require_labels(with);
    auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry);
    return state_->gauges.try_emplace({name, with}, family.Add(with)).first->second;
}

histogram& metrics::histogram(const std::string& name, const std::string& help, const labels& with,
                              const std::vector<double>& bounds) {
    const std::lock_guard lock(state_->mutex);
    state_->claim(name, prometheus::MetricType::Histogram);
    const auto found = state_->histograms.find({name, with});
    if (found != state_->histograms.end()) {
        return found->second;
    }
    require_labels(with);
    auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(state_->registry);
    return state_->histograms.try_emplace({name, with}, family.Add(with, bounds)).first->second;
}

void metrics::counter_from(const std::string& name, const std::string& help, const labels& with,
                           std::function<double()> read) {
    state_->add_computed(name, help, prometheus::MetricType::Counter, with, std::move(read));
}

void metrics::gauge_from(const std::string& name, const std::string& help, const labels& with,
                         std::function<double()> read) {
    state_->add_computed(name, help, prometheus::MetricType::Gauge, with, std::move(read));
}

std::string metrics::serialize() const {
    auto families = state_->registry.Collect();
    auto computed_families = state_->collect_computed();
    families.insert(families.end(), std::make_move_iterator(computed_families.begin()),
                    std::make_move_iterator(computed_families.end()));
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families);
    return std::move(out).str();
}

}  // namespace insula::observe
