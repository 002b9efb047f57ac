#include "queue/driver.hpp"
#include "queue/statements.hpp"

#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/timer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace insula::queue::detail {

namespace {

std::optional<std::string_view> compensation_of(const step_info& s) {
    return s.has_undo ? std::optional(s.name) : std::nullopt;
}

}  // namespace

void driver::add_fence(pg::unit& work, int next, bool heed) const {
    const auto idle =
        std::chrono::duration_cast<std::chrono::milliseconds>(engine_.options_.lease / 2);
#ifdef INSULA_FAULT_POINTS
    if (engine_.options_.unfenced_for_negative_control) {
        // Nor the witness's primary key, which would stop most of what a missing fence lets
        // through.
        work.add_once("update queue.run set step = $2, attempt = 1 where id = $1", run_.id, next);
        work.add_once(
            "delete from queue.step where run = $1 and direction = $2 and seq >= $3 and seq < $4 "
            "and state = 1",
            run_.id, run_.direction, std::min(run_.step, next), std::max(run_.step, next));
        return;
    }
#endif
    work.add(sql::fence, run_.id, run_.token, run_.direction, run_.step, next,
             static_cast<std::int32_t>(idle.count()), heed);
}

void driver::add_finish(pg::unit& work, const ending& how, int step) const {
    std::int16_t state = static_cast<std::int16_t>(run_state::done);
    std::optional<std::string_view> code;
    std::optional<std::string_view> detail;
    std::optional<std::string_view> internal;
    if (how.reason != nullptr) {
        state = static_cast<std::int16_t>(ended_as(*how.reason));
        code = how.reason->code();
        detail = how.reason->detail();
        internal = how.reason->internal();
    }
    work.add(sql::finish, run_.id, run_.token, run_.direction, step, state, code, detail, internal);
}

/// Steps that share a transaction: from the present one to the last that joins it.
runtime::awaitable<driver::move> driver::forward_group() {
    const auto first = static_cast<std::size_t>(run_.step);
    std::size_t end = first + 1;
    while (end < size() && info(end).joins_previous) {
        ++end;
    }
    for (unsigned round = 1;; ++round) {
        const bool with_finish = end == size() && !finish_alone_;
        trial made = co_await try_group(first, end, with_finish);
        if (!made.why) {
            co_return made.what;
        }
        if (made.in_finish) {
            finish_alone_ = true;  // the steps are good: on_finish gets attempts of its own
            continue;
        }
        if (made.conflict && round < conflicts_max) {
            co_await runtime::sleep_until(engine_.jittered(std::chrono::milliseconds(2U << round)));
            continue;
        }
        co_return co_await failed(made.at, std::move(*made.why));
    }
}

/// An exclusive connection with BEGIN on its way; or what became of the try instead.
runtime::awaitable<std::optional<driver::trial>> driver::begin(pg::lease& connection,
                                                               runtime::deadline until) {
    auto borrowed = co_await engine_.borrow(until);
    if (!borrowed) {
        co_return trial{.what = settle(borrowed.error())};
    }
    connection = std::move(*borrowed);
    if (auto begun = co_await connection.begin(); !begun) {
        co_return trial{.what = settle(begun.error())};
    }
    co_return std::nullopt;
}

/// One database step inside an open transaction. Set: it failed.
runtime::awaitable<std::optional<driver::trial>> driver::try_step(step_transaction& transaction,
                                                                  pg::lease& connection,
                                                                  std::vector<step_row>& rows,
                                                                  std::size_t index,
                                                                  step_view& view) {
    const bool counted = static_cast<int>(index) == run_.step;
    view.run = &run_;
    view.name = info(index).name;
    view.attempt = counted ? run_.attempt : 1;
    view.rows = &rows;
    transaction.belongs_to(index);
    database_step step(view, transaction);
    INSULA_FAULT_POINT("queue.before_effect");
    const step_result<> done = co_await guarded(definition_->run(index, step, input_.get()));
    if (!done || transaction.failed() != nullptr) {
        co_return co_await end_trial(transaction, connection,
                                     done ? std::nullopt : std::optional(done.error()), index);
    }
    INSULA_FAULT_POINT("queue.after_effect");
    co_return std::nullopt;
}

/// The row of a step (or undo) that was done, or of a batch of one that is not done yet.
void driver::add_row(pg::unit& work, std::vector<step_row>& rows, std::size_t index,
                     const step_view& view) const {
    const auto seq = static_cast<std::int32_t>(index);
    const auto compensation = run_.direction > 0 ? compensation_of(info(index)) : std::nullopt;
    step_row* row = nullptr;
    for (step_row& r : rows) {
        if (r.direction == run_.direction && r.seq == seq) {
            row = &r;
        }
    }
    // What the last batch did not store anew stays what the one before it stored.
    const std::optional<std::string> stored =
        view.result || row == nullptr ? view.result : row->result;
    if (view.again) {
        work.add(sql::stay, run_.id, run_.token, run_.direction, run_.step, seq, info(index).name,
                 view.attempt, stored, compensation);
    } else if (row != nullptr) {
        work.add(sql::complete_step, run_.id, run_.direction, seq, run_.token, view.attempt,
                 stored);
    } else {
        work.add(sql::insert_step, run_.id, run_.direction, seq, info(index).name, run_.token,
                 view.attempt, stored, compensation);
    }
    if (row == nullptr) {
        row = &rows.emplace_back();
    }
    *row = {.direction = run_.direction,
            .seq = seq,
            .name = std::string(info(index).name),
            .state = static_cast<std::int16_t>(view.again ? 0 : 1),
            .result = stored,
            .compensable = compensation.has_value()};
}

/// A step that has its transaction for itself and put nothing into it.
bool driver::stands_alone(const step_transaction& transaction, const step_view& view) const {
#ifdef INSULA_FAULT_POINTS
    if (engine_.options_.unfenced_for_negative_control) {
        return false;
    }
#endif
    return view.may_repeat && !view.again && transaction.only_fence() &&
           find_row(rows_, 1, run_.step) == nullptr;
}

void driver::add_alone(step_transaction& transaction, std::vector<step_row>& rows,
                       std::size_t index, const step_view& view, bool ends) const {
    const auto compensation = compensation_of(info(index));
    const auto lock_ms = static_cast<std::int32_t>(engine_.options_.lock_timeout.count());
    pg::unit whole;
    whole.add(ends ? sql::end_alone : sql::step_alone, run_.id, run_.token, run_.step, heeds(),
              lock_ms, view.name, view.attempt, view.result, compensation);
    transaction.replace(std::move(whole));
    rows.push_back({.direction = 1,
                    .seq = run_.step,
                    .name = std::string(view.name),
                    .result = view.result,
                    .compensable = compensation.has_value()});
}

/// Behind the last step: on_finish and the move to history in the same transaction. Set: it failed.
runtime::awaitable<std::optional<driver::trial>> driver::try_finish_with(
    step_transaction& transaction, pg::lease& connection, std::vector<step_row>& rows) {
    const ending how;
    step_view view{.run = &run_, .name = "on_finish", .rows = &rows, .result = std::nullopt};
    transaction.belongs_to(size());
    database_step step(view, transaction);
    const step_result<> done = co_await guarded(definition_->finish(step, input_.get(), how));
    if (!done || transaction.failed() != nullptr) {
        co_return co_await end_trial(transaction, connection,
                                     done ? std::nullopt : std::optional(done.error()), size());
    }
    add_finish(transaction.pending(), how, static_cast<int>(size()));
    co_return std::nullopt;
}

runtime::awaitable<driver::trial> driver::try_group(std::size_t first, std::size_t end,
                                                    bool with_finish) {
    std::chrono::milliseconds budget{0};
    for (std::size_t i = first; i < end; ++i) {
        budget += info(i).timeout;
    }
    pg::lease connection;
    if (auto refused = co_await begin(connection, runtime::deadline::after(budget))) {
        co_return *refused;
    }
    step_transaction transaction(connection, engine_.options_.lock_timeout);
    add_fence(transaction.pending(), static_cast<int>(end), heeds());
    std::vector<step_row> rows = rows_;
    bool again = false;
    bool ended_alone = false;
    for (std::size_t i = first; i < end; ++i) {
        step_view view;
        view.may_repeat = end == first + 1;
        if (auto ended = co_await try_step(transaction, connection, rows, i, view)) {
            co_return *ended;
        }
        again = view.again;
        ended_alone = with_finish && !definition_->has_finish();
        if ((ended_alone || !with_finish) && stands_alone(transaction, view)) {
            add_alone(transaction, rows, i, view, ended_alone);
        } else {
            ended_alone = false;
            add_row(transaction.pending(), rows, i, view);
        }
    }
    with_finish = with_finish && !again;
    if (with_finish && !ended_alone) {
        if (auto ended = co_await try_finish_with(transaction, connection, rows)) {
            co_return *ended;
        }
    }
    INSULA_FAULT_POINT("queue.before_commit");
    INSULA_FAULT_POINT("queue.commit_on_wire");
    (void)co_await transaction.commit();
    if (transaction.failed() != nullptr) {
        co_return co_await end_trial(transaction, connection, std::nullopt, end - 1);
    }
    INSULA_FAULT_POINT("queue.after_commit");
    engine_.committed(transaction.enqueues());
    engine_.put_back(std::move(connection));
    engine_.count_.steps.add(end - first);
    rows_ = std::move(rows);
    run_.step = static_cast<int>(again ? first : end);
    run_.attempt = 1;
    run_.begun = again;
    if (with_finish) {
        engine_.count_.finished.add();
        co_return trial{.what = move::gone};
    }
    co_return trial{};
}

/// What a failed transaction means: not ours, unknown, worth repeating at once, or the step's own
/// failure.
runtime::awaitable<driver::trial> driver::end_trial(step_transaction& transaction,
                                                    pg::lease& connection,
                                                    std::optional<failure> why, std::size_t at) {
    trial made{.at = at};
    if (const pg::pg_error* error = transaction.failed()) {
        const bool ours_to_judge =
            error->state == stale_claim || error->state == stop_here || error->lost();
        if (ours_to_judge) {
            made.what = settle(*error);
            connection = pg::lease();
            co_return made;
        }
        made.conflict = error->retryable();
        // A step that deferred the statement has returned long ago; who met the error is not to
        // blame.
        if (!why || made.conflict || transaction.blamed() != at) {
            why = failure(*error);
        }
        made.at = transaction.blamed();
    }
    // on_finish stands behind the last step.
    made.in_finish = run_.direction > 0 && made.at == size() && !made.conflict;
    (void)co_await connection.rollback();
    connection = pg::lease();
    made.why =
        why ? std::move(why) : failure::retryable("exception", {}, "step failed without a reason");
    co_return made;
}

}  // namespace insula::queue::detail
