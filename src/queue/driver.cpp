#include "queue/driver.hpp"

#include "queue/statements.hpp"

#include "insula/observe/log.hpp"
#include "insula/queue/fault.hpp"
#include "insula/runtime/timer.hpp"

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace insula::queue::detail {

namespace {

/// More crashes than this and the run is set aside, whatever its steps allow.
constexpr int crashes_max = 20;
constexpr unsigned doubts_max = 20;

}  // namespace

runtime::awaitable<step_result<>> guarded(runtime::awaitable<step_result<>> call) {
    std::string what;
    bool aborted = false;
    try {
        co_return co_await std::move(call);
    } catch (const boost::system::system_error& e) {
        aborted = e.code() == boost::asio::error::operation_aborted;
        what = e.what();
    } catch (const std::exception& e) {
        what = e.what();
    } catch (...) {
        what = "not a std::exception";
    }
    // A step may run into an abort of its own making, such as a timeout by cancelling.
    if (aborted && (co_await boost::asio::this_coro::cancellation_state).cancelled() !=
                       boost::asio::cancellation_type::none) {
        // This engine is being stopped.
        throw boost::system::system_error(boost::asio::error::operation_aborted);
    }
    co_return failure::retryable("exception", {}, std::move(what));
}

namespace {

/// Marks the engine's one place for a suspect as taken.
class solo_guard {
public:
    explicit solo_guard(engine::state& owner) : owner_(owner) { owner_.solo_ = true; }
    solo_guard(const solo_guard&) = delete;
    solo_guard& operator=(const solo_guard&) = delete;
    ~solo_guard() { owner_.solo_ = false; }

private:
    engine::state& owner_;
};

}  // namespace

/// Everything claimed and not begun goes back first.
runtime::awaitable<void> driver::clear_the_way() {
    const auto patience = runtime::deadline::after(std::chrono::seconds(1));
    co_await engine_.hand_back();
    do {
        // Those that were begun in the same turn as this one see that the place is taken.
        co_await runtime::sleep_for(std::chrono::milliseconds(2));
    } while (engine_.leaving_ > 0 && !patience.expired());
}

runtime::awaitable<void> driver::drive() {
    // A run whose processes died again and again may be what kills them. One such run works at a
    // time in a process, and the others are given back before it begins: if it kills once more,
    // they lose no attempt.
    std::optional<solo_guard> alone;
    if (run_.attempt > 2 && run_.crashes > 1) {
        if (engine_.solo_) {
            ++engine_.leaving_;
            (void)co_await give_back(std::chrono::milliseconds(40));
            --engine_.leaving_;
            co_return;
        }
        alone.emplace(engine_);
        co_await clear_the_way();
    }
    INSULA_FAULT_POINT("queue.after_claim");
    if (!co_await prepare()) {
        co_return;
    }
    while (engine_.owns(run_.epoch)) {
        if (engine_.draining()) {
            (void)co_await give_back({});
            co_return;
        }
        const auto begun = std::chrono::steady_clock::now();
        const move made = co_await next_move();
        engine_.count_.step_seconds.observe(std::chrono::steady_clock::now() - begun);
        switch (made) {
            case move::advanced:
                doubts_ = 0;
                commit_lost_ = false;
                engine_.moved(run_.id);
                break;
            case move::gone:
                engine_.moved(run_.id);
                co_return;
            case move::stale:
            case move::lost:
                if (!co_await resync(made)) {
                    co_return;
                }
                break;
        }
    }
    observe::warn("queue: lease lost, run dropped", {{"run", run_.id}, {"kind", run_.kind}});
}

/// False: the run is out of our hands already.
runtime::awaitable<bool> driver::prepare() {
    definition_ = engine_.workflows_.find(run_.kind, run_.version);
    if (definition_ == nullptr) {
        engine_.count_.postponed_unknown.add();
        (void)co_await give_back(engine_.options_.unknown_kind_delay);
        co_return false;
    }
    const bool touched =
        run_.step > 0 || run_.direction < 0 || run_.begun || run_.attempt > 1 || run_.crashes > 0;
    if (touched && !co_await load_rows()) {
        co_return false;
    }
    if (run_.crashes > crashes_max) {
        const auto [step, end] = present();
        (void)co_await hold(fmt::format("its process died {} times", run_.crashes), step, end);
        co_return false;
    }
    auto input = definition_->read_input(run_.input);
    if (!input) {
        co_await unreadable(
            fmt::format("input of {} does not fit: {}", run_.kind, input.error().describe()));
        co_return false;
    }
    input_ = std::move(*input);
    co_return definition_->version() == run_.version || co_await take_over();
}

/// Where a run stands, as skip_step wants to know it.
std::pair<std::string_view, std::optional<run_state>> driver::present() const {
    const int at = run_.direction > 0 ? run_.step : undo_target();
    if (at < 0) {
        return {"on_finish",
                run_.error_code == "cancelled" ? run_state::cancelled : run_state::failed};
    }
    if (at >= static_cast<int>(size())) {
        return {"on_finish", run_state::done};
    }
    return {info(static_cast<std::size_t>(at)).name, std::nullopt};
}

/// This definition declares to continue the run's, and the steps on record are its own.
runtime::awaitable<bool> driver::take_over() {
    pg::unit work;
    work.add(sql::adopt, run_.id, run_.token, definition_->version());
    if (co_await send(std::move(work)) != move::advanced) {
        (void)co_await give_back({});
        co_return false;
    }
    observe::info("queue: run continued by a newer definition", {{"run", run_.id},
                                                                 {"kind", run_.kind},
                                                                 {"from", run_.version},
                                                                 {"to", definition_->version()}});
    run_.version = definition_->version();
    co_return true;
}

runtime::awaitable<void> driver::unreadable(std::string what) {
    observe::error("queue: poison input", {{"run", run_.id}, {"kind", run_.kind}, {"error", what}});
    if (run_.step > 0 || run_.direction < 0 || run_.begun ||
        definition_->version() != run_.version) {
        // Something was done and nothing can say how to undo it; or a successor promised to be
        // able to read this.
        (void)co_await hold(std::move(what));
        co_return;
    }
    const move ended = co_await finish(ending::outcome::undone, 0,
                                       failure::final("invalid_input", {}, std::move(what)));
    if (ended == move::gone) {
        engine_.moved(run_.id);
    }
}

/// The rows of what was done before this claim; a name that is not the definition's is never
/// guessed at.
runtime::awaitable<bool> driver::load_rows() {
    pg::unit work;
    work.add(sql::steps_of, run_.id);
    auto got = co_await engine_.pool_.run(std::move(work), engine_.call_deadline());
    if (!got) {
        (void)settle(got.error());
        (void)co_await give_back({});
        co_return false;
    }
    rows_.clear();
    bool fits = run_.step <= static_cast<int>(size());
    for (const pg::row r : got->front()) {
        step_row s{.direction = r.get<std::int16_t>(0),
                   .seq = r.get<std::int32_t>(1),
                   .name = r.get<std::string>(2),
                   .state = r.get<std::int16_t>(3),
                   .result = r.get<std::optional<std::string>>(4),
                   .compensable = !r.is_null(5)};
        const auto index = static_cast<std::size_t>(s.seq);
        // A finish that failed behind the last step leaves no row, so every row has a step.
        fits = fits && index < size() && info(index).name == s.name;
        rows_.push_back(std::move(s));
    }
    if (!fits) {
        (void)co_await hold("the steps on record are not those of this definition");
    }
    co_return fits;
}

runtime::awaitable<driver::move> driver::next_move() {
    if (run_.direction < 0) {
        co_return co_await undo_next();
    }
    const auto index = static_cast<std::size_t>(run_.step);
    if (index == size()) {
        co_return co_await finish(ending::outcome::done, 0, std::nullopt);
    }
    if ((run_.cancel_requested || run_.overdue) && heeds()) {
        co_return co_await turn_back(
            index,
            run_.cancel_requested ? failure::final("cancelled", "Cancelled by an operator.")
                                  : failure::final("deadline_passed", "Not finished in time."),
            false);
    }
    if (crashed_too_often(run_.attempt, attempts_max(info(index).retry))) {
        // Only a crash gets here: an ordinary last attempt ends in failed().
        co_return co_await failed(index, failure::final("attempts_exhausted", "Tried too often.",
                                                        fmt::format("{} crashes", run_.crashes)));
    }
    if (info(index).outside) {
        co_return co_await forward_outside();
    }
    co_return co_await forward_group();
}

/// After a doubt: reads the row, the only truth. False: not ours any more.
runtime::awaitable<bool> driver::resync(move doubt) {
    while (engine_.owns(run_.epoch) && ++doubts_ <= doubts_max) {
        if (doubt == move::lost) {
            // A server that is restarting is not hammered, a cut connection costs next to nothing.
            const auto pause = std::min(std::chrono::milliseconds(2 << std::min(doubts_, 9U)),
                                        std::chrono::milliseconds(500));
            co_await runtime::sleep_until(engine_.jittered(pause));
        }
        pg::unit work;
        work.add(sql::position, run_.id);
        auto got = co_await engine_.pool_.run(std::move(work), engine_.call_deadline());
        if (!got) {
            doubt = move::lost;
            continue;
        }
        const bool mine = !got->front().empty() &&
                          got->front()[0].get<std::optional<std::int64_t>>("token") == run_.token;
        if (!mine) {
            if (!commit_lost_) {
                engine_.count_.stale_refused.add();
                observe::warn("queue: claim is stale, run dropped",
                              {{"run", run_.id}, {"kind", run_.kind}, {"step", run_.step}});
            }
            engine_.moved(run_.id);
            co_return false;
        }
        const pg::row now = got->front()[0];
        if (!now.get<bool>("alive")) {
            engine_.count_.lost_landed.add();
            engine_.count_.finished.add();
            engine_.moved(run_.id);
            co_return false;
        }
        const bool moved = now.get<std::int32_t>("step") != run_.step ||
                           now.get<std::int16_t>("direction") != run_.direction;
        if (commit_lost_) {
            (moved ? engine_.count_.lost_landed : engine_.count_.lost_repeated).add();
        }
        run_.step = now.get<std::int32_t>("step");
        run_.direction = now.get<std::int16_t>("direction");
        run_.attempt = now.get<std::int32_t>("attempt");
        run_.overdue = now.get<bool>("overdue");
        run_.cancel_requested = now.get<bool>("cancel_requested");
        if (moved) {
            doubts_ = 0;
            engine_.moved(run_.id);
        }
        // Not forgotten when nothing moved: the first COMMIT may still be on its way, and then our
        // repeat meets the fence once more.
        commit_lost_ = commit_lost_ && !moved;
        co_return co_await load_rows();
    }
    observe::error("queue: run dropped in doubt", {{"run", run_.id}, {"kind", run_.kind}});
    co_return false;
}

runtime::awaitable<driver::move> driver::give_back(std::chrono::microseconds delay) {
    pg::unit work;
    work.add(sql::give_back, run_.id, run_.token, delay);
    const move made = co_await send(std::move(work));
    co_return made == move::advanced ? move::gone : made;
}

/// One unit of ours on a shared connection: a transaction of its own, fenced by its function.
runtime::awaitable<driver::move> driver::send(pg::unit work) {
    auto got = co_await engine_.pool_.run(std::move(work), engine_.call_deadline());
    co_return got ? move::advanced : settle(got.error());
}

driver::move driver::settle(const pg::pg_error& error) {
    if (error.state == stale_claim || error.state == stop_here) {
        return move::stale;
    }
    commit_lost_ = commit_lost_ || error.maybe_committed;
    observe::warn("queue: outcome unknown, looking at the row", {{"run", run_.id},
                                                                 {"kind", run_.kind},
                                                                 {"step", run_.step},
                                                                 {"sqlstate", error.state.str()},
                                                                 {"error", error.message}});
    return move::lost;
}

bool driver::beyond_return() const {
    for (int i = 0; i < run_.step && i < static_cast<int>(size()); ++i) {
        if (run_.direction > 0 && info(static_cast<std::size_t>(i)).point_of_no_return) {
            return true;
        }
    }
    return false;
}

}  // namespace insula::queue::detail
