// Steps whose effect lies outside the database: intent, call, result.

#include "queue/driver.hpp"
#include "queue/statements.hpp"

#include "insula/core/text.hpp"
#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/task_group.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <utility>

namespace insula::queue::detail {

namespace {

constexpr auto cancel_grace = std::chrono::milliseconds(100);

/// All that a call looks at. It may outlive its driver: a call that neither returns by its deadline
/// nor lets itself be cancelled is left behind with what it holds.
struct outside_call {
    outside_call(const claimed_run& of, const std::vector<step_row>& on_record,
                 const step_info& info, const definition& what, std::size_t which,
                 definition::input_ptr in, std::string key)
        : run(of),
          rows(on_record),
          view{.run = &run, .name = info.name, .attempt = run.attempt, .rows = &rows},
          step(view, std::move(key), runtime::deadline::after(info.timeout)),
          workflow(what),
          index(which),
          input(std::move(in)) {}

    claimed_run run;
    std::vector<step_row> rows;
    step_view view;
    outside_step step;
    const definition& workflow;
    std::size_t index;
    definition::input_ptr input;
    std::optional<step_result<>> result;  // none: cancelled
};

runtime::awaitable<void> carry(std::shared_ptr<outside_call> c) {
    c->result = co_await guarded(c->run.direction > 0
                                     ? c->workflow.call(c->index, c->step, c->input.get())
                                     : c->workflow.undo_call(c->index, c->step, c->input.get()));
}

/// The task of one call; hands it to the engine when it must be left behind.
class call_task {
public:
    explicit call_task(engine::state& owner)
        : owner_(owner), group_(std::make_unique<runtime::task_group>(owner.home_, "queue call")) {}
    call_task(const call_task&) = delete;
    call_task& operator=(const call_task&) = delete;
    ~call_task() {
        if (group_->size() > 0) {
            group_->stop();
            owner_.abandoned_.push_back(std::move(group_));
        }
    }
    runtime::task_group& operator*() { return *group_; }
    runtime::task_group* operator->() { return group_.get(); }

private:
    engine::state& owner_;
    std::unique_ptr<runtime::task_group> group_;
};

}  // namespace

std::string driver::outside_key(std::string_view step) const {
    return fmt::format("{}/{}/{}", run_.id.str(), step, run_.direction > 0 ? "run" : "undo");
}

/// A call is made once for each claim: while its answer cannot be written down, it is kept.
runtime::awaitable<step_result<>> driver::call(std::size_t index,
                                               std::optional<std::string>& stored) {
    if (!answer_ || answer_->direction != run_.direction || answer_->index != index) {
        std::optional<std::string> result;
        step_result<> done = co_await call_now(index, result);
        if (done && result && (!valid_utf8(*result) || result->find('\0') != result->npos)) {
            done = failure::final("invalid_result", {}, "what the step stored is no text");
        }
        answer_ = {run_.direction, index, std::move(done), std::move(result)};
    }
    stored = answer_->stored;
    co_return answer_->done;
}

/// The call itself, cut off at its deadline. `stored` gets what it stored.
runtime::awaitable<step_result<>> driver::call_now(std::size_t index,
                                                   std::optional<std::string>& stored) {
    const step_info& step = info(index);
    const auto frame = std::make_shared<outside_call>(run_, rows_, step, *definition_, index,
                                                      input_, outside_key(step.name));
    call_task task(engine_);
    task->spawn(carry(frame), "call");
    if (!co_await task->join(frame->step.deadline())) {
        if (!frame->step.deadline().expired()) {
            // This engine is being stopped.
            throw boost::system::system_error(boost::asio::error::operation_aborted);
        }
        task->stop();
        if (!co_await task->join(runtime::deadline::after(cancel_grace))) {
            observe::error("queue: outside call does not let itself be cancelled",
                           {{"run", run_.id}, {"kind", run_.kind}, {"step", step.name}});
        }
        // What came back at the last moment is as good as before.
        if (!frame->result || !*frame->result) {
            co_return failure::retryable("timeout", "No answer in time.",
                                         fmt::format("after {} ms", step.timeout.count()));
        }
    }
    if (!frame->result) {
        throw boost::system::system_error(boost::asio::error::operation_aborted);
    }
    stored = std::move(frame->view.result);
    co_return std::move(*frame->result);
}

/// Commits that the call may be about to happen.
runtime::awaitable<driver::move> driver::intend(std::size_t index) {
    const step_info& step = info(index);
    const auto seq = static_cast<std::int32_t>(index);
    const bool forward = run_.direction > 0;
    pg::unit intent;
    intent.add(sql::intend, run_.id, run_.token, run_.direction, run_.step, seq, step.name,
               run_.attempt, forward && step.has_undo ? std::optional(step.name) : std::nullopt,
               heeds());
    const move made = co_await send(std::move(intent));
    if (made == move::advanced && forward && find_row(rows_, 1, seq) == nullptr) {
        rows_.push_back(
            {.seq = seq, .name = std::string(step.name), .state = 0, .compensable = step.has_undo});
    }
    co_return made;
}

/// At least once, with one key.
runtime::awaitable<driver::move> driver::forward_outside() {
    const auto index = static_cast<std::size_t>(run_.step);
    // A run that is nothing but this step leaves no trace to undo: a crash finds it ready again.
    const bool in_batch = ends_in_batch();
    if (!in_batch) {
        if (const move made = co_await intend(index); made != move::advanced) {
            co_return made;
        }
    }
    INSULA_FAULT_POINT("queue.after_intent");
    step_view view{.run = &run_, .name = info(index).name, .attempt = run_.attempt, .rows = &rows_};
    const step_result<> done = co_await call(index, view.result);
    if (!done) {
        co_return co_await failed(index, done.error());
    }
    INSULA_FAULT_POINT("queue.after_call");
    if (in_batch) {
        co_return co_await end_in_batch(view);
    }
    pg::unit work;
    add_fence(work, run_.step + 1);
    work.add(sql::complete_step, run_.id, run_.direction, static_cast<std::int32_t>(index),
             run_.token, view.attempt, view.result);
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
        if (r.direction == 1 && r.seq == static_cast<int>(index)) {
            r.state = 1;
            r.result = view.result;
        }
    }
    run_.step += 1;
    run_.attempt = 1;
    co_return move::advanced;
}

runtime::awaitable<driver::move> driver::undo_outside(std::size_t index) {
    const step_info& step = info(index);
    const auto seq = static_cast<std::int32_t>(index);
    if (const move made = co_await intend(index); made != move::advanced) {
        co_return made;
    }
    INSULA_FAULT_POINT("queue.after_undo_intent");
    std::optional<std::string> stored;
    const step_result<> done = co_await call(index, stored);
    if (!done) {
        const int limit = attempts_max(step.retry);
        if (!done.error().is_final() && (limit == 0 || run_.attempt < limit)) {
            co_return co_await retry_later(step.retry, seq, step.name, done.error());
        }
        co_return co_await hold(fmt::format("undo of {}: {}", step.name, done.error().describe()),
                                step.name, std::nullopt, done.error());
    }
    INSULA_FAULT_POINT("queue.after_undo_call");
    pg::unit work;
    add_fence(work, seq);
    work.add(sql::complete_step, run_.id, run_.direction, seq, run_.token, run_.attempt, stored);
    const move made = co_await send(std::move(work));
    if (made == move::advanced) {
        engine_.count_.steps.add();
        engine_.count_.undone.add();
        run_.step = seq;
        run_.attempt = 1;
    }
    co_return made;
}

}  // namespace insula::queue::detail
