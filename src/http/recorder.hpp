#pragma once
// What a server counts. Instruments are fetched once and then only touched.

#include "http/refusal.hpp"

#include "insula/http/limits.hpp"
#include "insula/http/service.hpp"
#include "insula/observe/metrics.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace insula::http {

/// Numbers that several loops change and the limits are checked against. Shared with the metrics'
/// callbacks, which may outlive the server.
struct load {
    std::atomic<std::size_t> connections{0};
    std::atomic<std::size_t> in_flight{0};
    std::atomic<std::size_t> body_bytes{0};
};

/// One place out of a bounded number; given back at destruction.
class place {
public:
    /// nullopt when all are taken. Exact, whatever the number of threads.
    static std::optional<place> take(std::atomic<std::size_t>& used, std::size_t max) noexcept {
        if (used.fetch_add(1, std::memory_order_relaxed) < max)
            return place(used);
        used.fetch_sub(1, std::memory_order_relaxed);
        return std::nullopt;
    }
    place(place&& other) noexcept : used_(std::exchange(other.used_, nullptr)) {}
    place& operator=(place&& other) noexcept {
        std::swap(used_, other.used_);
        return *this;
    }
    ~place() {
        if (used_ != nullptr)
            used_->fetch_sub(1, std::memory_order_relaxed);
    }

private:
    explicit place(std::atomic<std::size_t>& used) noexcept : used_(&used) {}
    std::atomic<std::size_t>* used_;
};

/// Bytes out of a bounded number; given back at destruction.
class share {
public:
    explicit share(std::atomic<std::size_t>& used) noexcept : used_(used) {}
    share(const share&) = delete;
    share& operator=(const share&) = delete;
    ~share() { used_.fetch_sub(mine_, std::memory_order_relaxed); }

    /// From now on `bytes`; false, and as before, when growing to it does not fit any more.
    bool resize(std::size_t bytes, std::size_t max) noexcept {
        if (bytes > mine_) {
            const auto more = bytes - mine_;
            if (used_.fetch_add(more, std::memory_order_relaxed) + more > max) {
                used_.fetch_sub(more, std::memory_order_relaxed);
                return false;
            }
        } else {
            used_.fetch_sub(mine_ - bytes, std::memory_order_relaxed);
        }
        mine_ = bytes;
        return true;
    }

private:
    std::atomic<std::size_t>& used_;
    std::size_t mine_ = 0;
};

class recorder {
public:
    recorder(const service& s, const std::string& server, const limits& bounds,
             observe::metrics& m);

    /// `route`: index in the table, or route_count() for a request that met no route.
    void answered(std::size_t route, unsigned status, std::chrono::nanoseconds took);
    void refused(refusal why) { refused_[static_cast<std::size_t>(why)]->add(); }
    /// Refused by a bound that is not about one message.
    observe::counter& connections_refused() { return *connections_refused_; }
    observe::counter& requests_refused() { return *requests_refused_; }
    observe::counter& rate_limited() { return *rate_limited_; }
    observe::counter& slow_readers() { return *slow_readers_; }
    observe::counter& idle_closed() { return *idle_closed_; }
    observe::counter& evicted() { return *evicted_; }
    observe::counter& accepted() { return *accepted_; }

    const std::shared_ptr<load>& now() const noexcept { return load_; }

private:
    struct per_route {
        std::array<std::atomic<observe::counter*>, 6> by_class{};  // 1xx..5xx; [0] unused
        std::atomic<observe::histogram*> duration{nullptr};
    };
    observe::counter& requests_of(std::size_t route, unsigned status_class);
    observe::histogram& duration_of(std::size_t route);
    std::string label(std::size_t route) const;

    const service& service_;
    std::string server_;
    observe::metrics& metrics_;
    std::shared_ptr<load> load_ = std::make_shared<load>();
    std::vector<per_route> routes_;
    std::array<observe::counter*, refusals> refused_{};
    observe::counter* connections_refused_;
    observe::counter* requests_refused_;
    observe::counter* rate_limited_;
    observe::counter* slow_readers_;
    observe::counter* idle_closed_;
    observe::counter* evicted_;
    observe::counter* accepted_;
};

}  // namespace insula::http
