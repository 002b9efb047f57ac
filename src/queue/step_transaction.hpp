#pragma once
#include "queue/claimed_run.hpp"

#include "insula/pg/pool.hpp"
#include "insula/queue/workflow.hpp"

#include <optional>
#include <string>
#include <vector>

namespace insula::queue::detail {

/// Our own SQLSTATE: the fence refused.
inline constexpr pg::sqlstate stale_claim{"IQ001"};
/// … because the run was cancelled or is overdue, and this step has not begun.
inline constexpr pg::sqlstate stop_here{"IQ002"};

/// What a step object looks at.
struct step_view {
    const claimed_run* run = nullptr;
    std::string_view name;
    int attempt = 1;
    const std::vector<step_row>* rows = nullptr;
    std::optional<std::string> result;  ///< what the step stored
    bool may_repeat = false;            ///< again() is allowed
    bool again = false;                 ///< and was called
};

/// One transaction of a run on a lease. Statements that nobody waits for (the fence first of all)
/// gather in `pending` and go out with the next exec, or with COMMIT: so the fence costs no round
/// trip, and it is still the first statement behind BEGIN.
class step_transaction {
public:
    step_transaction(pg::lease& connection, std::chrono::milliseconds lock_timeout) noexcept
        : connection_(connection) {
        options_.lock_timeout = lock_timeout;
    }

    pg::unit& pending() noexcept { return pending_; }
    /// Whose statements come from now on: who is to blame when one of them fails, however much
    /// later it is sent.
    void belongs_to(std::size_t whose);
    /// Whose statement failed(); of a COMMIT, who came last.
    std::size_t blamed() const noexcept { return blamed_; }
    runtime::awaitable<pg::pg_result<pg::results>> exec(pg::unit work);
    runtime::awaitable<pg::pg_result<pg::lease*>> flush();
    runtime::awaitable<pg::pg_result<>> commit();
    /// Nothing was sent, and only the fence waits to be.
    bool only_fence() const noexcept { return !sent_any_ && pending_.size() == 1; }
    /// Instead of what waits: the one statement that is the transaction, with limits of its own.
    /// It goes without BEGIN and COMMIT.
    void replace(pg::unit whole);

    /// The first error that PostgreSQL or the connection gave, whoever saw it; null: none.
    const pg::pg_error* failed() const noexcept { return failed_ ? &*failed_ : nullptr; }
    /// The transaction enqueues something: the engine looks at once after COMMIT.
    bool enqueues() const noexcept { return enqueues_; }

private:
    struct mark {
        std::size_t from;  ///< first statement of `pending`
        std::size_t whose;
    };

    pg::unit take_pending();
    void note_error(const pg::pg_error& error);

    pg::lease& connection_;
    pg::unit_options options_;
    pg::unit pending_;
    std::optional<pg::pg_error> failed_;
    bool enqueues_ = false;
    bool sent_any_ = false;
    bool alone_ = false;
    std::vector<mark> marks_{{0, 0}};  // of what gathers
    std::vector<mark> sent_{{0, 0}};   // of what was sent last
    std::size_t blamed_ = 0;
};

}  // namespace insula::queue::detail
