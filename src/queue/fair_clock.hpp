#pragma once
#include "insula/core/ids.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace insula::queue::detail {

/// How far behind their turn a tenant's next runs go. Each run moves its tenant's clock on by a
/// fixed cost, and real time moves it back: a tenant with many waiting runs is spread over the time
/// ahead, while the single run of another one goes in at now. Steady time only: a jump of the wall
/// clock changes nobody's turn. Each process keeps its own; what several enqueue for one tenant at
/// once is spread that much less.
class fair_clock {
public:
    using time_point = std::chrono::steady_clock::time_point;
    /// Whose turn: a tenant (or nobody) in one queue at one priority, since only there runs stand
    /// in one line.
    struct line {
        std::optional<tenant_id> tenant;
        std::int16_t queue = 0;
        std::int16_t priority = 0;
        bool operator==(const line&) const = default;
    };

    static constexpr std::chrono::microseconds cost{10'000};  ///< of a run with weight 1
    /// A backlog is not pushed further away than this.
    static constexpr std::chrono::microseconds lead_max = std::chrono::hours(1);

    explicit fair_clock(std::size_t lines_max = 10'000) : lines_max_(lines_max) {}

    /// Of one more run: weight 2 goes twice as often. From any thread.
    std::chrono::microseconds lead(const line& who, int weight, time_point now);
    [[nodiscard]] std::size_t size() const;

private:
    struct hash {
        std::size_t operator()(const line& l) const noexcept;
    };
    void make_room(time_point now);

    const std::size_t lines_max_;
    mutable std::mutex mutex_;
    std::unordered_map<line, time_point, hash> until_;  // when a line's clock and real time meet
};

}  // namespace insula::queue::detail
