#pragma once
// Structured log: one line for each event, JSON or text, written by a background thread.
//
// A caller formats its line and puts it into a bounded queue; when the queue is full the oldest
// line is dropped and counted (log_dropped()), so a slow disk never blocks an event loop. Before
// configure_log() lines go to standard error as text, synchronously. All functions may be called
// from any thread.
//
// Fields are data, not prose: the event is a constant phrase, what varies goes into fields. Secrets
// have no conversion to a field (secret_string has no such constructor), so they cannot be logged
// by accident.

#include "insula/core/error.hpp"
#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace insula::observe {

enum class log_level { debug, info, warn, error };
enum class log_format { json, text };

[[nodiscard]] std::optional<log_level> parse_log_level(std::string_view text) noexcept;
[[nodiscard]] std::optional<log_format> parse_log_format(std::string_view text) noexcept;

/// One typed field; one with an empty key is left out. Views are read before log() returns, so
/// temporaries are fine.
struct field {
    using value_type =
        std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool, std::string>;

    std::string_view key;
    value_type value;

    field(std::string_view k, std::string_view v) : key(k), value(v) {}
    field(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
    field(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
    field(std::string_view k, bool v) : key(k), value(v) {}
    field(std::string_view k, double v) : key(k), value(v) {}
    template <class Integer>
        requires(std::integral<Integer> && !std::same_as<Integer, bool>)
    field(std::string_view k, Integer v) : key(k), value(widen(v)) {}
    field(std::string_view k, errc v) : key(k), value(name(v)) {}
    field(std::string_view k, const uuid& v) : key(k), value(v.str()) {}
    template <class Tag>
    field(std::string_view k, const basic_id<Tag>& v) : key(k), value(v.str()) {}
    field(std::string_view k, timestamp v) : key(k), value(rfc3339(v)) {}
    /// Code, client text and internal text together.
    field(std::string_view k, const insula::error& v) : key(k), value(v.describe()) {}

private:
    template <class Integer>
    static value_type widen(Integer v) {
        if constexpr (std::is_signed_v<Integer>) {
            return static_cast<std::int64_t>(v);
        } else {
            return static_cast<std::uint64_t>(v);
        }
    }
};

/// Receives finished lines without line end, on the log's own thread.
using log_sink = std::function<void(log_level, std::string_view line)>;

struct log_options {
    log_level level = log_level::info;
    log_format format = log_format::json;
    std::size_t queue_lines_max = 8192;
    /// Standard error when empty.
    log_sink sink;
};

/// Once at start, and again in tests (the former log is flushed first). Not to be called while
/// other threads are logging.
void configure_log(log_options options);

/// Writes what is queued, waiting up to two seconds, and goes back to the log before configuration:
/// last thing in main.
void shutdown_log();

/// Lines dropped because the queue was full, since the process began.
[[nodiscard]] std::uint64_t log_dropped() noexcept;

/// For what is expensive to prepare.
[[nodiscard]] bool log_enabled(log_level level) noexcept;

void log(log_level level, std::string_view event, std::initializer_list<field> fields = {});

inline void debug(std::string_view event, std::initializer_list<field> fields = {}) {
    log(log_level::debug, event, fields);
}
inline void info(std::string_view event, std::initializer_list<field> fields = {}) {
    log(log_level::info, event, fields);
}
inline void warn(std::string_view event, std::initializer_list<field> fields = {}) {
    log(log_level::warn, event, fields);
}
inline void error(std::string_view event, std::initializer_list<field> fields = {}) {
    log(log_level::error, event, fields);
}

/// The line log() would write; also what tests look at.
[[nodiscard]] std::string format_log_line(log_format format, log_level level, timestamp at,
                                          std::string_view event,
                                          std::initializer_list<field> fields);

}  // namespace insula::observe
