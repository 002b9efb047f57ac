#pragma once
// What a workflow is made of. One file per workflow:
//
//   struct provisioning_input { tenant_id tenant; int cell; };
//   BOOST_DESCRIBE_STRUCT(provisioning_input, (), (tenant, cell))
//
//   class provisioning {
//   public:
//       static constexpr std::string_view kind = "tenant.provision";
//       using input = provisioning_input;
//
//       awaitable<step_result<>> create_schema(database_step& step, const input& in) const;
//       awaitable<step_result<>> drop_schema(database_step& step, const input& in) const;
//       awaitable<step_result<>> mark_ready(database_step& step, const input& in) const;
//       awaitable<step_result<>> send_mail(outside_step& step, const input& in) const;
//       awaitable<step_result<>> on_finish(database_step& step, const input& in, const ending& how)
//       const;
//
//       static constexpr auto steps() {
//           return queue::steps<provisioning>({
//               {.name = "create_schema", .run = &provisioning::create_schema, .undo =
//               &provisioning::drop_schema},
//               {.name = "mark_ready", .run = &provisioning::mark_ready, .joins_previous = true,
//                .point_of_no_return = true},
//               {.name = "send_mail", .call = &provisioning::send_mail, .retry = {.attempts_max =
//               20}},
//           });
//       }
//   };
//
// and one line where the registry is made: `workflows.add(provisioning{…what it needs…});`.

#include "insula/core/ids.hpp"
#include "insula/pg/pool.hpp"
#include "insula/pg/statement.hpp"
#include "insula/queue/failure.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace insula::queue {

namespace detail {
class step_transaction;
struct step_view;
}  // namespace detail

/// What every step can ask about the run it belongs to. Views and ids stay valid until the step
/// returns.
class step_base {
public:
    [[nodiscard]] run_id run() const noexcept;
    [[nodiscard]] const std::optional<tenant_id>& tenant() const noexcept;
    [[nodiscard]] std::string_view name() const noexcept;
    /// 1 for the first try of this step.
    [[nodiscard]] int attempt() const noexcept;
    /// What an earlier (or, in an undo, this) step stored with set_result; nullopt when it stored
    /// nothing. Of this step itself: what its last batch stored before again().
    [[nodiscard]] std::optional<std::string_view> result_of(std::string_view step) const;
    /// JSON text kept with the checkpoint, for later steps and the undo. At most 64 KiB.
    void set_result(std::string json);

protected:
    explicit step_base(detail::step_view& view) noexcept : view_(view) {}
    ~step_base() = default;
    detail::step_view& view_;
};

/// A step whose effects are SQL. Everything it does through this object happens in one transaction
/// with the checkpoint, behind the fence: exactly once, whatever dies. The function may be run
/// again after a failure or a lost COMMIT that did not land, so it must have no effects but its
/// SQL. It must not commit, roll back, or keep references past its return.
class database_step : public step_base {
public:
    database_step(detail::step_view& view, detail::step_transaction& transaction) noexcept
        : step_base(view), transaction_(transaction) {}

    /// One round trip, of which BEGIN and the fence are part when it is the first. After an error
    /// the transaction is lost: return the error.
    runtime::awaitable<pg::pg_result<pg::results>> exec(pg::unit work);

    /// Adds statements to a unit that travels with the next exec(), or else with the checkpoint and
    /// COMMIT in one flush: a step that only defers costs no round trip of its own. Results are not
    /// seen; a check must RAISE. Child runs: `add_enqueue(step.deferred(), id, request)`.
    pg::unit& deferred() noexcept;

    /// For work too large for one transaction: when the step now returns success, what was done is
    /// committed (with set_result, for result_of(name())), and the step is run again at once as
    /// attempt 1; it is done when it returns without having called this. Every batch is fenced, a
    /// crash repeats only the one that had not committed, and cancelling stops between two. An
    /// undo may do the same. Not for steps that share a transaction, nor for on_finish: throws
    /// std::logic_error.
    void again();

    /// For code that wants a lease: it is inside the transaction, fence passed. Sends what was
    /// deferred.
    runtime::awaitable<pg::pg_result<pg::lease*>> lease();

private:
    detail::step_transaction& transaction_;
};

/// A step whose effect lies outside the database (mail). At least once: its intent is committed
/// before the call, its result after it, and a crash in between repeats the call with the same key.
class outside_step : public step_base {
public:
    outside_step(detail::step_view& view, std::string key, runtime::deadline until) noexcept
        : step_base(view), key_(std::move(key)), deadline_(until) {}

    /// The same at every attempt and different for every run, step and direction: give it to
    /// whatever can refuse to do a thing twice.
    [[nodiscard]] const std::string& key() const noexcept { return key_; }
    /// When the call must have come back (step::timeout from now).
    [[nodiscard]] runtime::deadline deadline() const noexcept { return deadline_; }

private:
    std::string key_;
    runtime::deadline deadline_;
};

/// Retries wait min(cap, base · 2^(attempt−1)) · random(0.5 … 1.5).
struct retry_policy {
    int attempts_max = 8;  ///< 0: for ever
    std::chrono::milliseconds base{100};
    std::chrono::milliseconds cap{60'000};
};

/// How a run ended, told to on_finish inside the transaction that ends it.
struct ending {
    enum class outcome {
        done,        ///< every step
        undone,      ///< failed (or cancelled); what had been done was undone in reverse
        incomplete,  ///< failed behind the point of no return: nothing was undone
    };
    outcome what = outcome::done;
    std::string_view step;            ///< that failed; empty when done
    const failure* reason = nullptr;  ///< null when done
};

/// One row of a workflow. Exactly one of `run` and `call`; at most one of `undo` and `undo_call`.
template <class W>
struct step {
    using input = typename W::input;
    using database_function = runtime::awaitable<step_result<>> (W::*)(database_step&,
                                                                       const input&) const;
    using outside_function = runtime::awaitable<step_result<>> (W::*)(outside_step&,
                                                                      const input&) const;

    std::string_view name;
    database_function run = nullptr;
    outside_function call = nullptr;
    /// Run in reverse order when a later step fails finally. Must succeed when there is nothing to
    /// undo.
    database_function undo = nullptr;
    outside_function undo_call = nullptr;
    retry_policy retry{};
    /// Of one attempt. For a database step it bounds the transaction.
    std::chrono::milliseconds timeout{30'000};
    /// Shares the transaction of the step before it (both database steps): together or not at all.
    bool joins_previous = false;
    /// Once this step has committed, later failures undo nothing.
    bool point_of_no_return = false;
};

template <class W, std::size_t N>
constexpr std::array<step<W>, N> steps(step<W> (&&rows)[N]) {
    return std::to_array(std::move(rows));
}

/// Optional member of a workflow, called inside the transaction that ends the run, with its own
/// retries: awaitable<step_result<>> on_finish(database_step&, const input&, const ending&) const.
/// Not called for a run whose input could not be read: see on_unreadable.
template <class W>
concept has_on_finish =
    requires(const W& w, database_step& s, const typename W::input& in, const ending& how) {
        { w.on_finish(s, in, how) } -> std::same_as<runtime::awaitable<step_result<>>>;
    };

/// Optional member of a workflow, called inside the transaction that ends a run whose input cannot
/// be read, before anything was done: awaitable<step_result<>> on_unreadable(database_step&, const
/// failure&) const. What is known is the step's tenant() and run(): enough for the tenant's
/// bookkeeping.
template <class W>
concept has_on_unreadable = requires(const W& w, database_step& s, const failure& why) {
    { w.on_unreadable(s, why) } -> std::same_as<runtime::awaitable<step_result<>>>;
};

/// Versions. `static constexpr int version` (1 without it) is part of a workflow's identity: change
/// it whenever the list of steps or the meaning of the input changes, and register the old class
/// beside the new one until no run of it is left. Or declare that the new one can continue runs of
/// older ones: `static constexpr std::array<int, N> continues{…}`: same input, and the steps a run
/// may have done are the same by name and number. A run that does not fit is held, never guessed;
/// one taken over belongs to the new version from then on, so that an old process leaves it alone.
template <class W>
concept has_continues = requires { W::continues; };

}  // namespace insula::queue
