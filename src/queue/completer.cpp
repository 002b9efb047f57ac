#include "queue/completer.hpp"

#include "queue/engine_state.hpp"
#include "queue/statements.hpp"

#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/timer.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace insula::queue::detail {

namespace {
constexpr unsigned tries_max = 8;
}

runtime::awaitable<completion> completer::complete(completion what) {
    auto mine = std::make_shared<item>(home_);
    mine->what = std::move(what);
    gathered_.push_back(mine);
    bell_.set();
    co_await mine->ended.wait(runtime::deadline::never());
    co_return std::move(mine->what);
}

completer::items completer::take() {
    const std::size_t count = std::min(gathered_.size(), batch_max);
    items batch(std::make_move_iterator(gathered_.begin()),
                std::make_move_iterator(gathered_.begin() + static_cast<std::ptrdiff_t>(count)));
    gathered_.erase(gathered_.begin(), gathered_.begin() + static_cast<std::ptrdiff_t>(count));
    return batch;
}

runtime::awaitable<void> completer::run(engine::state& owner) {
    for (;;) {
        if (gathered_.empty()) {
            if (!co_await bell_.wait(runtime::deadline::never())) {
                co_return;
            }
            continue;
        }
        items batch = take();
        if (!gathered_.empty()) {
            bell_.set();  // the other lane may be asleep
        }
        owner.count_.batch_size.observe(static_cast<double>(batch.size()));
        co_await finish(owner, std::move(batch));
    }
}

runtime::awaitable<void> completer::finish(engine::state& owner, items batch) {
    std::optional<pg::pg_error> error;
    for (unsigned n = 1;; ++n) {
        error = co_await try_batch(owner, batch);
        if (!error || !(error->lost() || error->retryable()) || n == tries_max ||
            !owner.healthy()) {
            break;
        }
        for (const auto& one : batch) {
            one->what.repeated = one->what.repeated || error->maybe_committed;
        }
        co_await runtime::sleep_until(owner.jittered(std::chrono::milliseconds(2U << n)));
    }
    if (error && !error->lost() && batch.size() > 1) {
        // One of them is what the server does not take: alone, the others are fine.
        for (const auto& one : batch) {
            co_await finish(owner, {one});
        }
        co_return;
    }
    for (const auto& one : batch) {
        one->what.error = error;
        one->ended.set();
    }
}

/// One statement, one transaction. Nothing: `done` says of each whether it was ours.
runtime::awaitable<std::optional<pg::pg_error>> completer::try_batch(engine::state& owner,
                                                                     const items& batch) {
    std::vector<run_id> ids;
    std::vector<std::int64_t> tokens;
    std::vector<std::string_view> names;
    std::vector<std::int32_t> attempts;
    std::vector<std::optional<std::string_view>> results;
    for (const auto& one : batch) {
        ids.push_back(one->what.id);
        tokens.push_back(one->what.token);
        names.emplace_back(one->what.step);
        attempts.push_back(one->what.attempts);
        results.push_back(one->what.result ? std::optional<std::string_view>(*one->what.result)
                                           : std::nullopt);
    }
    pg::unit work;
    work.add(sql::complete_batch, ids, tokens, names, attempts, results);
    INSULA_FAULT_POINT("queue.before_batch");
    auto connection = co_await owner.borrow(owner.call_deadline());
    if (!connection) {
        co_return connection.error();
    }
    INSULA_FAULT_POINT("queue.batch_on_wire");
    auto got = co_await connection->exec(std::move(work));
    if (!got) {
        co_return got.error();
    }
    INSULA_FAULT_POINT("queue.after_batch");
    owner.put_back(std::move(*connection));
    std::unordered_set<uuid> done;
    for (const uuid& id : got->front().scalar<std::vector<uuid>>()) {
        done.insert(id);
    }
    for (const auto& one : batch) {
        one->what.done = done.contains(one->what.id.value());
    }
    co_return std::nullopt;
}

}  // namespace insula::queue::detail
