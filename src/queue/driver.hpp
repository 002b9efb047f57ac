#pragma once
#include "queue/claimed_run.hpp"
#include "queue/engine_state.hpp"
#include "queue/step_transaction.hpp"

#include "insula/queue/registry.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace insula::queue::detail {

/// Carries one claimed run as far as it goes: to its end, to a timer, or until somebody else owns
/// it. Whatever it believes is checked by the fence; after every doubt it reads the row again.
class driver {
public:
    driver(engine::state& owner, claimed_run run) : engine_(owner), run_(std::move(run)) {}

    runtime::awaitable<void> drive();

private:
    /// How a move of the run went.
    enum class move {
        advanced,  ///< committed; go on
        gone,      ///< ended, parked, or held: not ours any more
        stale,     ///< the fence refused
        lost,      ///< unknown: the connection was lost on the way
    };
    /// One try of a step (or of steps that share a transaction).
    struct trial {
        move what = move::advanced;
        std::optional<failure> why;  ///< set: the step failed, nothing was committed
        std::size_t at = 0;          ///< which step failed
        bool conflict = false;       ///< with another transaction: worth repeating at once
        bool in_finish = false;      ///< it was on_finish that failed
    };

    // driver.cpp: the frame
    runtime::awaitable<void> clear_the_way();
    runtime::awaitable<bool> prepare();
    runtime::awaitable<bool> take_over();
    runtime::awaitable<void> unreadable(std::string what);
    std::pair<std::string_view, std::optional<run_state>> present() const;
    runtime::awaitable<bool> load_rows();
    runtime::awaitable<move> next_move();
    runtime::awaitable<bool> resync(move doubt);
    runtime::awaitable<move> failed(std::size_t index, failure why);
    runtime::awaitable<move> failed_ending(failure why, run_state end);
    runtime::awaitable<move> retry_later(const retry_policy& policy, int seq, std::string_view name,
                                         failure why);
    runtime::awaitable<move> turn_back(std::size_t index, failure why, bool tried);
    /// Set aside: at a step, at on_finish (`end`: what it would have ended as), or as a whole.
    runtime::awaitable<move> hold(std::string why, std::string_view step = {},
                                  std::optional<run_state> end = std::nullopt,
                                  std::optional<failure> tried = std::nullopt);
    void note_failure(pg::unit& work, int seq, std::string_view step, const failure& why) const;
    runtime::awaitable<move> give_back(std::chrono::microseconds delay);
    runtime::awaitable<move> send(pg::unit work);
    move settle(const pg::pg_error& error);

    // driver_steps.cpp: going forward
    runtime::awaitable<move> forward_group();
    runtime::awaitable<std::optional<trial>> begin(pg::lease& connection, runtime::deadline until);
    runtime::awaitable<std::optional<trial>> try_step(step_transaction& transaction,
                                                      pg::lease& connection,
                                                      std::vector<step_row>& rows,
                                                      std::size_t index, step_view& view);
    void add_row(pg::unit& work, std::vector<step_row>& rows, std::size_t index,
                 const step_view& view) const;
    bool stands_alone(const step_transaction& transaction, const step_view& view) const;
    void add_alone(step_transaction& transaction, std::vector<step_row>& rows, std::size_t index,
                   const step_view& view, bool ends) const;
    runtime::awaitable<std::optional<trial>> try_finish_with(step_transaction& transaction,
                                                             pg::lease& connection,
                                                             std::vector<step_row>& rows);
    runtime::awaitable<trial> try_group(std::size_t first, std::size_t end, bool with_finish);

    // driver_outside.cpp: calls, forward and undo
    runtime::awaitable<move> forward_outside();
    runtime::awaitable<move> undo_outside(std::size_t index);
    runtime::awaitable<move> intend(std::size_t index);
    runtime::awaitable<step_result<>> call(std::size_t index, std::optional<std::string>& stored);
    runtime::awaitable<step_result<>> call_now(std::size_t index,
                                               std::optional<std::string>& stored);
    std::string outside_key(std::string_view step) const;

    // driver_batch.cpp: runs that end together with others
    bool ends_in_batch() const;
    runtime::awaitable<move> end_in_batch(const step_view& view);

    // driver_end.cpp: undo, and the end
    runtime::awaitable<move> undo_next();
    runtime::awaitable<trial> try_undo(std::size_t index);
    runtime::awaitable<move> finish(ending::outcome what, std::size_t failed_at,
                                    std::optional<failure> why);
    runtime::awaitable<trial> try_finish(const ending& how, std::size_t failed_at);
    void add_fence(pg::unit& work, int next, bool heed = false) const;
    void add_finish(pg::unit& work, const ending& how, int step) const;
    runtime::awaitable<trial> end_trial(step_transaction& transaction, pg::lease& connection,
                                        std::optional<failure> why, std::size_t at);
    int undo_target() const;

    const step_info& info(std::size_t index) const { return definition_->steps()[index]; }
    std::size_t size() const { return definition_->steps().size(); }
    bool beyond_return() const;
    /// Cancelling and the overall deadline stop a run that goes forward and can still be undone.
    bool heeds() const { return run_.direction > 0 && !beyond_return(); }
    int attempts_max(const retry_policy& policy) const {
        return run_.attempts_max > 0 ? run_.attempts_max : policy.attempts_max;
    }

    /// What only crashes used up: more than the policy says, so that a run whose neighbour killed
    /// their process a few times is not taken for the killer.
    static bool crashed_too_often(int attempt, int limit) {
        return limit > 0 && attempt > std::max(limit, crash_attempts_min);
    }
    static run_state ended_as(const failure& why) {
        return why.code() == "cancelled" ? run_state::cancelled : run_state::failed;
    }

    static constexpr int crash_attempts_min = 4;
    static constexpr unsigned conflicts_max =
        4;  ///< repeats at once, before it counts as a failure

    /// What an outside call of this claim came to.
    struct answer {
        int direction;
        std::size_t index;
        step_result<> done;
        std::optional<std::string> stored;
    };

    engine::state& engine_;
    claimed_run run_;
    const definition* definition_ = nullptr;
    definition::input_ptr input_;
    std::vector<step_row> rows_;
    std::optional<answer> answer_;
    bool finish_alone_ = false;  ///< on_finish failed together with the last step: now apart
    unsigned doubts_ = 0;        ///< in a row, without progress
    bool commit_lost_ = false;   ///< the doubt may be about our own commit
};

/// An exception of a step is its failure; one of ours during a stop goes through.
runtime::awaitable<step_result<>> guarded(runtime::awaitable<step_result<>> call);

}  // namespace insula::queue::detail
