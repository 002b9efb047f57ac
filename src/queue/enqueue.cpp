#include "insula/queue/enqueue.hpp"

#include "queue/fair_clock.hpp"
#include "queue/statements.hpp"

#include <algorithm>
#include <stdexcept>
#include <string_view>

namespace insula::queue {

namespace {

/// The one of this process: whoever enqueues for a tenant, it is the same line.
std::int64_t next_lead(const enqueue_request& what) {
    static detail::fair_clock turns;
    const auto lead =
        turns.lead({.tenant = what.tenant, .queue = what.queue, .priority = what.priority},
                   what.weight, std::chrono::steady_clock::now());
    return lead.count();
}

using batch = std::span<const std::pair<run_id, enqueue_request>>;

template <class T, class F>
std::vector<T> column(batch runs, F read) {
    std::vector<T> values;
    values.reserve(runs.size());
    for (const auto& [id, what] : runs) {
        values.push_back(read(what));
    }
    return values;
}

/// Most batches use few of the optional columns: one that is empty travels as one null.
template <class T, class F>
std::optional<std::vector<std::optional<T>>> optional_column(batch runs, F read) {
    if (std::none_of(runs.begin(), runs.end(),
                     [&](const auto& r) { return read(r.second).has_value(); })) {
        return std::nullopt;
    }
    return column<std::optional<T>>(runs, read);
}

std::optional<std::string_view> view(const std::optional<std::string>& text) {
    return text ? std::optional<std::string_view>(*text) : std::nullopt;
}

}  // namespace

void add_enqueue(pg::unit& work, run_id id, const enqueue_request& what) {
    work.add(sql::enqueue, id, what.kind, what.version, what.queue, what.priority, next_lead(what),
             what.tenant, what.key, what.key_lifetime, what.lock_key, what.run_at, what.delay,
             what.deadline, what.input);
}

run_id enqueued_run(const pg::result_set& answer) {
    return run_id(answer.scalar<uuid>());
}

void add_enqueue_batch(pg::unit& work, batch runs) {
    if (runs.size() > enqueue_batch_max) {
        throw std::length_error("a batch has at most 20,000 runs");
    }
    using request = enqueue_request;
    std::vector<run_id> ids;
    ids.reserve(runs.size());
    for (const auto& r : runs) {
        ids.push_back(r.first);
    }
    const auto keys =
        optional_column<std::string_view>(runs, [](const request& r) { return view(r.key); });
    const bool delayed = std::any_of(runs.begin(), runs.end(), [](const auto& r) {
        return r.second.delay != std::chrono::microseconds(0);
    });
    work.add(
        sql::enqueue_batch, ids,
        column<std::string_view>(runs, [](const request& r) -> std::string_view { return r.kind; }),
        column<std::int32_t>(runs, [](const request& r) { return r.version; }),
        column<std::int16_t>(runs, [](const request& r) { return r.queue; }),
        column<std::int16_t>(runs, [](const request& r) { return r.priority; }),
        column<std::int64_t>(runs, next_lead),
        optional_column<tenant_id>(runs, [](const request& r) { return r.tenant; }), keys,
        keys ? std::optional(column<std::chrono::microseconds>(
                   runs, [](const request& r) { return r.key_lifetime; }))
             : std::nullopt,
        optional_column<std::string_view>(runs, [](const request& r) { return view(r.lock_key); }),
        optional_column<timestamp>(runs, [](const request& r) { return r.run_at; }),
        delayed ? std::optional(column<std::chrono::microseconds>(
                      runs, [](const request& r) { return r.delay; }))
                : std::nullopt,
        optional_column<timestamp>(runs, [](const request& r) { return r.deadline; }),
        column<std::string_view>(runs,
                                 [](const request& r) -> std::string_view { return r.input; }));
}

std::vector<run_id> enqueued_runs(const pg::result_set& answer) {
    std::vector<run_id> runs;
    for (const uuid& id : answer.scalar<std::vector<uuid>>()) {
        runs.emplace_back(id);
    }
    return runs;
}

}  // namespace insula::queue
