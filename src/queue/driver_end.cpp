#include "queue/driver.hpp"
#include "queue/statements.hpp"

#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/timer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace insula::queue::detail {

/// The last step not yet undone that left a compensation; -1: none.
int driver::undo_target() const {
    int found = -1;
    for (const step_row& r : rows_) {
        if (r.direction == 1 && r.compensable && r.seq < run_.step && r.seq > found) {
            found = r.seq;
        }
    }
    return found;
}

runtime::awaitable<driver::move> driver::undo_next() {
    const int seq = undo_target();
    if (seq < 0) {
        co_return co_await finish(
            ending::outcome::undone, 0,
            failure::final(run_.error_code, run_.error_detail, run_.error_internal));
    }
    const auto index = static_cast<std::size_t>(seq);
    if (!info(index).has_undo) {
        co_return co_await hold(
            fmt::format("step {} was to be undone, and its definition has no undo now",
                        info(index).name),
            info(index).name);
    }
    const int limit = attempts_max(info(index).retry);
    if (crashed_too_often(run_.attempt, limit)) {
        co_return co_await hold(
            fmt::format("undo of {}: {} crashes", info(index).name, run_.crashes),
            info(index).name);
    }
    if (info(index).undo_outside) {
        co_return co_await undo_outside(index);
    }
    for (unsigned round = 1;; ++round) {
        trial made = co_await try_undo(index);
        if (!made.why) {
            co_return made.what;
        }
        if (made.conflict && round < conflicts_max) {
            co_await runtime::sleep_until(engine_.jittered(std::chrono::milliseconds(2U << round)));
            continue;
        }
        if (!made.why->is_final() && (limit == 0 || run_.attempt < limit)) {
            co_return co_await retry_later(info(index).retry, seq, info(index).name,
                                           std::move(*made.why));
        }
        co_return co_await hold(
            fmt::format("undo of {}: {}", info(index).name, made.why->describe()), info(index).name,
            std::nullopt, made.why);
    }
}

runtime::awaitable<driver::trial> driver::try_undo(std::size_t index) {
    pg::lease connection;
    if (auto refused = co_await begin(connection, runtime::deadline::after(info(index).timeout))) {
        co_return *refused;
    }
    step_transaction transaction(connection, engine_.options_.lock_timeout);
    add_fence(transaction.pending(), static_cast<int>(index));
    step_view view{.run = &run_,
                   .name = info(index).name,
                   .attempt = run_.attempt,
                   .rows = &rows_,
                   .result = std::nullopt,
                   .may_repeat = true};
    database_step step(view, transaction);
    INSULA_FAULT_POINT("queue.before_undo");
    const step_result<> done = co_await guarded(definition_->undo(index, step, input_.get()));
    std::vector<step_row> rows = rows_;
    if (done && transaction.failed() == nullptr) {
        INSULA_FAULT_POINT("queue.after_undo");
        add_row(transaction.pending(), rows, index, view);
        INSULA_FAULT_POINT("queue.undo_commit_on_wire");
        (void)co_await transaction.commit();
    }
    if (!done || transaction.failed() != nullptr) {
        co_return co_await end_trial(transaction, connection,
                                     done ? std::nullopt : std::optional(done.error()), index);
    }
    INSULA_FAULT_POINT("queue.after_undo_commit");
    engine_.committed(transaction.enqueues());
    engine_.put_back(std::move(connection));
    engine_.count_.steps.add();
    rows_ = std::move(rows);
    if (!view.again) {
        engine_.count_.undone.add();
        run_.step = static_cast<int>(index);
    }
    run_.attempt = 1;
    run_.begun = view.again;
    co_return trial{};
}

/// The end of a run as a transaction of its own: on_finish, a failed step's row, history, the key.
runtime::awaitable<driver::move> driver::finish(ending::outcome what, std::size_t failed_at,
                                                std::optional<failure> why) {
    ending how{.what = what, .step = {}, .reason = why ? &*why : nullptr};
    if (what != ending::outcome::done) {
        how.step = info(failed_at).name;
        for (const step_row& r : rows_) {
            if (r.direction == 1 && r.state == 2) {
                how.step = r.name;
            }
        }
    }
    const bool has_more = input_ ? definition_->has_finish() : definition_->has_unreadable();
    if (!has_more && what != ending::outcome::incomplete) {
        pg::unit work;
        add_finish(work, how, run_.step);
        INSULA_FAULT_POINT("queue.before_finish");
        const move made = co_await send(std::move(work));
        if (made != move::advanced) {
            co_return made;
        }
        INSULA_FAULT_POINT("queue.after_finish");
        engine_.count_.finished.add();
        co_return move::gone;
    }
    for (unsigned round = 1;; ++round) {
        trial made = co_await try_finish(how, failed_at);
        if (!made.why) {
            co_return made.what;
        }
        if (made.conflict && round < conflicts_max) {
            co_await runtime::sleep_until(engine_.jittered(std::chrono::milliseconds(2U << round)));
            continue;
        }
        co_return co_await failed_ending(std::move(*made.why),
                                         why ? ended_as(*why) : run_state::done);
    }
}

runtime::awaitable<driver::trial> driver::try_finish(const ending& how, std::size_t failed_at) {
    pg::lease connection;
    if (auto refused = co_await begin(connection, engine_.call_deadline())) {
        co_return *refused;
    }
    step_transaction transaction(connection, engine_.options_.lock_timeout);
    add_fence(transaction.pending(), run_.step);
    step_view view{.run = &run_,
                   .name = "on_finish",
                   .attempt = run_.attempt,
                   .rows = &rows_,
                   .result = std::nullopt};
    database_step step(view, transaction);
    step_result<> done;
    if (input_) {
        done = co_await guarded(definition_->finish(step, input_.get(), how));
    } else {
        done = co_await guarded(definition_->unreadable(step, *how.reason));
    }
    if (done && transaction.failed() == nullptr) {
        if (how.what == ending::outcome::incomplete) {
            transaction.pending().add(sql::insert_failed_step, run_.id,
                                      static_cast<std::int32_t>(failed_at), info(failed_at).name,
                                      run_.token, run_.attempt);
            note_failure(transaction.pending(), static_cast<int>(failed_at), info(failed_at).name,
                         *how.reason);
        }
        add_finish(transaction.pending(), how, run_.step);
        INSULA_FAULT_POINT("queue.before_finish");
        (void)co_await transaction.commit();
    }
    if (!done || transaction.failed() != nullptr) {
        co_return co_await end_trial(transaction, connection,
                                     done ? std::nullopt : std::optional(done.error()), failed_at);
    }
    INSULA_FAULT_POINT("queue.after_finish");
    engine_.committed(transaction.enqueues());
    engine_.put_back(std::move(connection));
    engine_.count_.finished.add();
    co_return trial{.what = move::gone};
}

}  // namespace insula::queue::detail
