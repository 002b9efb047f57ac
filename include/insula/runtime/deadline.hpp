#pragma once

#include <chrono>
#include <compare>

namespace insula::runtime {

using steady_clock = std::chrono::steady_clock;

// A point on the monotonic clock after which waiting is pointless. One deadline travels from the
// HTTP request to the pool wait, the socket wait and the database's statement_timeout; a duration
// would be counted from the start again at every hop.
struct deadline {
    steady_clock::time_point at = steady_clock::time_point::max();

    // Saturates: a span too long to represent is never().
    static deadline after(std::chrono::nanoseconds span) {
        const auto now = steady_clock::now();
        if (span >= steady_clock::time_point::max() - now) {
            return never();
        }
        return {now + span};
    }
    static constexpr deadline never() { return {}; }

    bool is_never() const { return at == steady_clock::time_point::max(); }
    bool expired() const { return !is_never() && steady_clock::now() >= at; }

    // Zero once expired; nanoseconds::max() for never().
    std::chrono::nanoseconds remaining() const {
        if (is_never()) {
            return std::chrono::nanoseconds::max();
        }
        const auto left = at - steady_clock::now();
        return left.count() > 0 ? left : std::chrono::nanoseconds::zero();
    }
    deadline sooner(deadline other) const { return at < other.at ? *this : other; }

    auto operator<=>(const deadline&) const = default;
};

}  // namespace insula::runtime
