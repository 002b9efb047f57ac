#pragma once
// Runs that the engine enqueues by itself, again and again. QUEUE.md section 8.

#include "insula/queue/encode.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace insula::queue {

/// When a recurring task is due, by the database's clock.
class schedule {
public:
    /// At a fixed distance, counted from when the task was first declared. At least a millisecond.
    static schedule every(std::chrono::milliseconds period);
    /// Once a day at this time after midnight UTC, less than 24 hours.
    static schedule daily_at(std::chrono::minutes after_midnight);

    /// "every 300000 ms" or "daily 03:30": how the table queue.recurring and operators see it.
    [[nodiscard]] const std::string& str() const noexcept { return text_; }

private:
    explicit schedule(std::string text) : text_(std::move(text)) {}

    std::string text_;
};

/// Given to engine_options::recurring by every process that knows the kind. Each firing is enqueued
/// by exactly one process, in one transaction with the note that it was. Firings that nobody was
/// there for collapse into one. A new schedule for the same name replaces the old one.
struct recurring_task {
    std::string name;  ///< identifies it across processes and versions of the program
    queue::schedule when;
    std::string kind;
    int version = 1;
    std::string input = "{}";
    std::int16_t queue = 0;
    std::int16_t priority = 0;
    std::optional<std::string> lock_key{};
    /// Normally a firing is left out while the run of the one before is still alive (and not held).
    bool may_overlap = false;
};

/// A recurring task made from a workflow (see workflow.hpp).
template <class W>
recurring_task recurring(std::string name, schedule when, const typename W::input& input) {
    return {.name = std::move(name),
            .when = std::move(when),
            .kind = std::string(W::kind),
            .version = workflow_version<W>,
            .input = encode_input(input)};
}

}  // namespace insula::queue
