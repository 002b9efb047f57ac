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

std::string driver::outside_key(std::string_view step) const {
    return fmt::format("{}/{}/{}", run_.id.str(), step, run_.direction > 0 ? "run" : "undo");
}

void driver::add_fence(pg::unit& work, int next) const {
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
             static_cast<std::int32_t>(idle.count()));
}

void driver::add_finish(pg::unit& work, const ending& how, int step) const {
    std::int16_t state = static_cast<std::int16_t>(run_state::done);
    std::optional<std::string_view> code, detail, internal;
    if (how.reason != nullptr) {
        state = static_cast<std::int16_t>(how.reason->code() == "cancelled" ? run_state::cancelled
                                                                            : run_state::failed);
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

/// One database step inside an open transaction, and the row that proves it. Set: it failed.
runtime::awaitable<std::optional<driver::trial>> driver::try_step(step_transaction& transaction,
                                                                  pg::lease& connection,
                                                                  std::vector<step_row>& rows,
                                                                  std::size_t index) {
    const bool counted = static_cast<int>(index) == run_.step;
    step_view view{.run = &run_,
                   .name = info(index).name,
                   .attempt = counted ? run_.attempt : 1,
                   .rows = &rows,
                   .result = std::nullopt};
    database_step step(view, transaction);
    INSULA_FAULT_POINT("queue.before_effect");
    const step_result<> done = co_await guarded(definition_->run(index, step, input_.get()));
    if (!done || transaction.failed() != nullptr) {
        co_return co_await end_trial(transaction, connection,
                                     done ? std::nullopt : std::optional(done.error()), index);
    }
    INSULA_FAULT_POINT("queue.after_effect");
    transaction.pending().add(sql::insert_step, run_.id, run_.direction,
                              static_cast<std::int32_t>(index), info(index).name, run_.token,
                              view.attempt, view.result, compensation_of(info(index)));
    rows.push_back({.seq = static_cast<int>(index),
                    .name = std::string(info(index).name),
                    .result = std::move(view.result),
                    .compensable = info(index).has_undo});
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
    add_fence(transaction.pending(), static_cast<int>(end));
    std::vector<step_row> rows = rows_;
    for (std::size_t i = first; i < end; ++i) {
        if (auto ended = co_await try_step(transaction, connection, rows, i)) {
            co_return *ended;
        }
    }
    if (with_finish) {
        const ending how;
        step_view view{.run = &run_, .name = "on_finish", .rows = &rows, .result = std::nullopt};
        database_step step(view, transaction);
        step_result<> done = co_await guarded(definition_->finish(step, input_.get(), how));
        if (!done || transaction.failed() != nullptr) {
            trial ended =
                co_await end_trial(transaction, connection,
                                   done ? std::nullopt : std::optional(done.error()), end - 1);
            ended.in_finish = ended.why.has_value() && !ended.conflict;
            co_return ended;
        }
        add_finish(transaction.pending(), how, static_cast<int>(end));
    }
    INSULA_FAULT_POINT("queue.before_commit");
    INSULA_FAULT_POINT("queue.commit_on_wire");
    (void)co_await transaction.commit();
    if (transaction.failed() != nullptr) {
        trial ended = co_await end_trial(transaction, connection, std::nullopt, end - 1);
        // It may be what on_finish deferred: apart, each failure shows whose it is.
        ended.in_finish =
            with_finish && definition_->has_finish() && ended.why.has_value() && !ended.conflict;
        co_return ended;
    }
    INSULA_FAULT_POINT("queue.after_commit");
    engine_.committed(transaction.enqueues());
    engine_.put_back(std::move(connection));
    engine_.count_.steps.add(end - first);
    rows_ = std::move(rows);
    run_.step = static_cast<int>(end);
    run_.attempt = 1;
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
        const bool ours_to_judge = error->state == stale_claim || error->lost();
        if (ours_to_judge) {
            made.what = settle(*error);
            connection = pg::lease();
            co_return made;
        }
        made.conflict = error->retryable();
        if (!why || made.conflict) {
            why = failure(*error);
        }
    }
    (void)co_await connection.rollback();
    connection = pg::lease();
    made.why =
        why ? std::move(why) : failure::retryable("exception", {}, "step failed without a reason");
    co_return made;
}

/// Intent, call, result: at least once, with one key.
runtime::awaitable<driver::move> driver::forward_outside() {
    const auto index = static_cast<std::size_t>(run_.step);
    const step_info& step = info(index);
    const auto seq = static_cast<std::int32_t>(index);
    if (const step_row* before = find_row(rows_, 1, run_.step);
        before == nullptr || run_.attempt > 1) {
        pg::unit intent;
        intent.add(sql::intend, run_.id, run_.token, run_.direction, run_.step, seq, step.name,
                   run_.attempt, compensation_of(step));
        if (const move made = co_await send(std::move(intent)); made != move::advanced) {
            co_return made;
        }
        if (before == nullptr) {
            rows_.push_back({.seq = seq,
                             .name = std::string(step.name),
                             .state = 0,
                             .compensable = step.has_undo});
        }
    }
    INSULA_FAULT_POINT("queue.after_intent");
    step_view view{.run = &run_,
                   .name = step.name,
                   .attempt = run_.attempt,
                   .rows = &rows_,
                   .result = std::nullopt};
    outside_step call(view, outside_key(step.name), runtime::deadline::after(step.timeout));
    const step_result<> done = co_await guarded(definition_->call(index, call, input_.get()));
    if (!done) {
        co_return co_await failed(index, done.error());
    }
    INSULA_FAULT_POINT("queue.after_call");
    pg::unit work;
    add_fence(work, run_.step + 1);
    work.add(sql::complete_step, run_.id, run_.direction, seq, run_.token, view.attempt,
             view.result);
    const bool last = index + 1 == size() && !definition_->has_finish();
    if (last) {
        add_finish(work, ending{}, run_.step + 1);
    }
    const move made = co_await send(std::move(work));
    if (made != move::advanced) {
        co_return made;
    }
    INSULA_FAULT_POINT("queue.after_commit");
    engine_.count_.steps.add();
    if (last) {
        engine_.count_.finished.add();
        co_return move::gone;
    }
    for (step_row& r : rows_) {
        if (r.direction == 1 && r.seq == seq) {
            r.state = 1;
            r.result = view.result;
        }
    }
    run_.step += 1;
    run_.attempt = 1;
    co_return move::advanced;
}

}  // namespace insula::queue::detail
