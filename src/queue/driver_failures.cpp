// What comes of an attempt that failed: another one later, the way back, or an operator.

#include "queue/driver.hpp"
#include "queue/statements.hpp"

#include "insula/core/mailboxes.hpp"
#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"

#include <fmt/format.h>

#include <utility>

namespace insula::queue::detail {

runtime::awaitable<driver::move> driver::failed(std::size_t index, failure why) {
    const retry_policy& policy = info(index).retry;
    const int limit = attempts_max(policy);
    if (!why.is_final() && (limit == 0 || run_.attempt < limit)) {
        co_return co_await retry_later(policy, static_cast<int>(index), info(index).name,
                                       std::move(why));
    }
    observe::error("queue: step failed finally", {{"run", run_.id},
                                                  {"kind", run_.kind},
                                                  {"step", info(index).name},
                                                  {"attempt", run_.attempt},
                                                  {"error", without_mailboxes(why.describe())}});
    if (beyond_return()) {
        co_return co_await finish(ending::outcome::incomplete, index, std::move(why));
    }
    co_return co_await turn_back(index, std::move(why), true);
}

/// on_finish or the move to history failed: there is nothing left to undo, so it is tried again,
/// then held.
runtime::awaitable<driver::move> driver::failed_ending(failure why, run_state end) {
    const retry_policy policy;
    if (!why.is_final() && run_.attempt < attempts_max(policy)) {
        co_return co_await retry_later(policy, static_cast<int>(size()), "on_finish",
                                       std::move(why));
    }
    co_return co_await hold("on_finish: " + why.describe(), "on_finish", end, why);
}

void driver::note_failure(pg::unit& work, int seq, std::string_view step,
                          const failure& why) const {
    work.add(sql::note_failure, run_.id, run_.direction, static_cast<std::int32_t>(seq), step,
             run_.attempt, why.code(), why.detail(), why.internal());
}

runtime::awaitable<driver::move> driver::retry_later(const retry_policy& policy, int seq,
                                                     std::string_view name, failure why) {
    const auto delay = engine_.backoff(policy, run_.attempt);
    observe::info("queue: step will be tried again",
                  {{"run", run_.id},
                   {"kind", run_.kind},
                   {"step", name},
                   {"attempt", run_.attempt},
                   {"delay_us", delay.count()},
                   {"error", without_mailboxes(why.describe())}});
    pg::unit work;
    work.add(sql::retry_later, run_.id, run_.token, run_.direction, run_.step, delay, why.code(),
             why.detail(), why.internal(), heeds());
    note_failure(work, seq, name, why);
    INSULA_FAULT_POINT("queue.before_retry");
    const move made = co_await send(std::move(work));
    if (made == move::advanced) {
        engine_.count_.retried.add();
        co_return move::gone;
    }
    co_return made;
}

runtime::awaitable<driver::move> driver::turn_back(std::size_t index, failure why, bool tried) {
    // An outside step whose intent is on record may have happened: it is undone as well.
    const int seq = static_cast<int>(index);
    const bool intended = find_row(rows_, 1, seq) != nullptr;
    const int undo = intended ? seq + 1 : run_.step;
    pg::unit work;
    work.add(sql::turn_back, run_.id, run_.token, run_.step, undo, seq, info(index).name,
             run_.attempt, why.code(), why.detail(), why.internal());
    if (tried) {
        note_failure(work, seq, info(index).name, why);
    }
    INSULA_FAULT_POINT("queue.before_turn");
    const move made = co_await send(std::move(work));
    if (made == move::advanced) {
        INSULA_FAULT_POINT("queue.after_turn");
        if (!intended) {
            rows_.push_back({.seq = seq, .name = std::string(info(index).name)});
        }
        for (step_row& r : rows_) {
            if (r.direction == 1 && r.seq == seq) {
                r.state = 2;
            }
        }
        run_.direction = -1;
        run_.step = undo;
        run_.attempt = 1;
        run_.error_code = why.code();
        run_.error_detail = why.detail();
        run_.error_internal = why.internal();
    }
    co_return made;
}

runtime::awaitable<driver::move> driver::hold(std::string why, std::string_view step,
                                              std::optional<run_state> end,
                                              std::optional<failure> tried) {
    const std::string_view to_do = step.empty() ? "retry or cancel"
                                   : end        ? "retry or skip"
                                                : "retry, skip or cancel";
    observe::error("queue: run held for an operator",
                   {{"run", run_.id},
                    {"kind", run_.kind},
                    {"step", step.empty() ? "the whole run" : step},
                    {"why", why},
                    {"to_do", fmt::format("POST /api/v1/admin/tasks/{}/… ({})", run_.id.str(),
                                          run_.direction < 0 && !end ? "retry or skip" : to_do)}});
    std::optional<std::string_view> held_step;
    std::optional<std::int16_t> held_end;
    if (!step.empty()) {
        held_step = step;
    }
    if (end) {
        held_end = static_cast<std::int16_t>(*end);
    }
    pg::unit work;
    work.add(sql::hold, run_.id, run_.token, why, held_step, held_end);
    if (tried) {
        note_failure(work, end ? static_cast<int>(size()) : undo_target(), step, *tried);
    }
    const move made = co_await send(std::move(work));
    if (made == move::advanced) {
        engine_.count_.held.add();
        engine_.moved(run_.id);
        co_return move::gone;
    }
    co_return made;
}

}  // namespace insula::queue::detail
