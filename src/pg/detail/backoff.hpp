#pragma once
#include <algorithm>
#include <chrono>

namespace insula::pg::detail {

/// When to try again to reach a server that is away: 20 ms doubling to a maximum, each with jitter
/// of ± 50 %, so that many processes do not come back in step. Knows no clock and no randomness:
/// both are passed in.
class backoff {
public:
    using clock = std::chrono::steady_clock;

    explicit backoff(std::chrono::milliseconds longest) noexcept
        : longest_(std::max(longest, first)) {}

    /// `random` in [0, 1).
    void failed(clock::time_point now, double random) noexcept {
        pause_ = pause_.count() == 0 ? first : std::min(pause_ * 2, longest_);
        const auto jittered = std::chrono::duration_cast<clock::duration>(pause_ * (0.5 + random));
        next_ = now + std::min<clock::duration>(jittered, longest_);
    }
    void succeeded() noexcept {
        pause_ = {};
        next_ = {};
    }
    bool may_try(clock::time_point now) const noexcept { return now >= next_; }
    /// After a failure one attempt at a time is enough to see whether the server is back.
    bool failing() const noexcept { return pause_.count() != 0; }
    clock::time_point next() const noexcept { return next_; }

private:
    static constexpr std::chrono::milliseconds first{20};

    std::chrono::milliseconds longest_;
    std::chrono::milliseconds pause_{0};
    clock::time_point next_{};
};

}  // namespace insula::pg::detail
