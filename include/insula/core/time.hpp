#pragma once
// Points in time as PostgreSQL keeps them (microseconds), their one text form, and a clock to
// inject.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace insula {

/// Microseconds since 1970 in UTC: exactly what timestamptz holds.
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

[[nodiscard]] inline timestamp now() noexcept {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
}

/// "2026-11-23T06:30:00.123456Z": always six digits and Z, so that text order is time order.
/// Defined for the years 0000 to 9999; a time outside is clamped to them.
[[nodiscard]] std::string rfc3339(timestamp at);
/// The same 27 characters written to `out`; no terminator.
void write_rfc3339(timestamp at, char* out) noexcept;
inline constexpr std::size_t rfc3339_size = 27;

/// RFC 3339 date-time: any offset, 0 to 9 fraction digits (below microseconds cut off), a space or
/// `t` for `T`. A leap second (:60) is refused: neither PostgreSQL nor the system clock can hold
/// one.
[[nodiscard]] std::optional<timestamp> parse_rfc3339(std::string_view text) noexcept;

/// The time of day as a dependency, for whatever compares it with stored times (tokens, queue,
/// grace periods). May be called from any thread.
class clock_source {
public:
    clock_source() = default;
    clock_source(const clock_source&) = delete;
    clock_source& operator=(const clock_source&) = delete;
    virtual ~clock_source() = default;
    [[nodiscard]] virtual timestamp now() const noexcept = 0;
};

/// The real clock; lives for the whole process.
[[nodiscard]] const clock_source& system_clock_source() noexcept;

/// A clock that stands until it is moved; for tests.
class manual_clock final : public clock_source {
public:
    explicit manual_clock(timestamp start) noexcept : micros_(start.time_since_epoch().count()) {}
    [[nodiscard]] timestamp now() const noexcept override {
        return timestamp(std::chrono::microseconds(micros_.load(std::memory_order_relaxed)));
    }
    void set(timestamp at) noexcept { micros_.store(at.time_since_epoch().count()); }
    void advance(std::chrono::microseconds by) noexcept { micros_.fetch_add(by.count()); }

private:
    std::atomic<std::int64_t> micros_;
};

}  // namespace insula
