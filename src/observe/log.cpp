#include "insula/observe/log.hpp"

#include <limits.h>
#include <poll.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

namespace insula::observe {
namespace {

spdlog::level::level_enum to_spdlog(log_level level) noexcept {
    switch (level) {
        case log_level::debug:
            return spdlog::level::debug;
        case log_level::info:
            return spdlog::level::info;
        case log_level::warn:
            return spdlog::level::warn;
        case log_level::error:
            break;
    }
    return spdlog::level::err;
}

log_level from_spdlog(spdlog::level::level_enum level) noexcept {
    switch (level) {
        case spdlog::level::trace:
        case spdlog::level::debug:
            return log_level::debug;
        case spdlog::level::info:
            return log_level::info;
        case spdlog::level::warn:
            return log_level::warn;
        default:
            return log_level::error;
    }
}

// After this moment (steady clock, nanoseconds; 0: never) a reader that does not read costs its
// lines: a stalled pipe on standard error must not keep the process from ending.
std::atomic<std::int64_t> give_up_at{0};

std::int64_t steady_nanos() noexcept {
    return std::chrono::steady_clock::now().time_since_epoch().count();
}

bool wait_until_writable() noexcept {
    while (true) {
        pollfd ready{STDERR_FILENO, POLLOUT, 0};
        const int count = ::poll(&ready, 1, 100);
        if (count > 0) {
            return true;
        }
        const auto limit = give_up_at.load(std::memory_order_relaxed);
        if ((count < 0 && errno != EINTR) || (limit != 0 && steady_nanos() > limit)) {
            return false;
        }
    }
}

// Up to PIPE_BUF bytes go out whole, so lines of two processes on one pipe do not mix; and a pipe
// that is writable takes that much without blocking. There is nowhere to report a failure to.
void write_standard_error(std::string_view line) noexcept {
    std::string whole(line);
    whole.push_back('\n');
    std::string_view rest(whole);
    while (!rest.empty() && wait_until_writable()) {
        const auto part = rest.substr(0, PIPE_BUF);
        const auto written = ::write(STDERR_FILENO, part.data(), part.size());
        if (written < 0 && errno != EINTR && errno != EAGAIN) {
            return;
        }
        rest.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
}

// Runs on spdlog's thread only.
class line_sink final : public spdlog::sinks::sink {
public:
    explicit line_sink(log_sink sink) : sink_(std::move(sink)) {}

    void log(const spdlog::details::log_msg& message) override {
        const std::string_view line(message.payload.data(), message.payload.size());
        if (sink_) {
            sink_(from_spdlog(message.level), line);
        } else {
            write_standard_error(line);
        }
    }
    void flush() override {}
    // Lines arrive formatted.
    void set_pattern(const std::string&) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

private:
    log_sink sink_;
};

struct process_log {
    log_format format = log_format::text;
    // Destroying the pool writes what is queued and joins its thread; the logger refers to it
    // weakly.
    std::shared_ptr<spdlog::details::thread_pool> pool;
    std::shared_ptr<spdlog::async_logger> logger;
};

// log() reads `current` without a lock. A replaced log loses its thread but stays in memory: a line
// on its way finds a logger that refuses it, not freed memory. There are as many as calls of
// configure_log().
std::atomic<const process_log*> current{nullptr};
std::atomic<log_level> current_level{log_level::info};

struct registry {
    std::mutex mutex;
    std::vector<std::unique_ptr<process_log>> logs;
    std::uint64_t dropped_before = 0;
};

// Never destroyed: static destructors may log.
registry& all_logs() {
    static auto* const instance = new registry;
    return *instance;
}

void replace(std::unique_ptr<process_log> next, log_level level) {
    auto& all = all_logs();
    const std::lock_guard lock(all.mutex);
    current_level = level;
    current = next.get();
    if (!all.logs.empty() && all.logs.back()->pool) {
        auto& previous = *all.logs.back();
        give_up_at = steady_nanos() + std::chrono::nanoseconds(std::chrono::seconds(2)).count();
        all.dropped_before += previous.pool->overrun_counter();
        previous.pool.reset();
        give_up_at = 0;
    }
    if (next) {
        all.logs.push_back(std::move(next));
    }
}

}  // namespace

std::optional<log_level> parse_log_level(std::string_view text) noexcept {
    for (const auto level :
         {log_level::debug, log_level::info, log_level::warn, log_level::error}) {
        const std::string_view names[] = {"debug", "info", "warn", "error"};
        if (text == names[static_cast<std::size_t>(level)]) {
            return level;
        }
    }
    return std::nullopt;
}

std::optional<log_format> parse_log_format(std::string_view text) noexcept {
    if (text == "json") {
        return log_format::json;
    }
    return text == "text" ? std::optional(log_format::text) : std::nullopt;
}

void configure_log(log_options options) {
    auto next = std::make_unique<process_log>();
    next->format = options.format;
    next->pool = std::make_shared<spdlog::details::thread_pool>(options.queue_lines_max, 1);
    next->logger = std::make_shared<spdlog::async_logger>(
        "insula", std::make_shared<line_sink>(std::move(options.sink)), next->pool,
        spdlog::async_overflow_policy::overrun_oldest);
    next->logger->set_level(spdlog::level::trace);
    // A line that comes when its log has been shut down; spdlog would print its own text about it.
    next->logger->set_error_handler([](const std::string&) {});
    replace(std::move(next), options.level);
}

void shutdown_log() {
    replace(nullptr, log_level::info);
}

std::uint64_t log_dropped() noexcept {
    auto& all = all_logs();
    const std::lock_guard lock(all.mutex);
    const bool running = !all.logs.empty() && all.logs.back()->pool;
    return all.dropped_before + (running ? all.logs.back()->pool->overrun_counter() : 0);
}

bool log_enabled(log_level level) noexcept {
    return level >= current_level.load(std::memory_order_relaxed);
}

void log(log_level level, std::string_view event, std::initializer_list<field> fields) {
    if (!log_enabled(level)) {
        return;
    }
    const auto* const used = current.load(std::memory_order_acquire);
    const auto format = used ? used->format : log_format::text;
    const auto line = format_log_line(format, level, now(), event, fields);
    if (used) {
        used->logger->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
    } else {
        write_standard_error(line);
    }
}

}  // namespace insula::observe
