// Workflows for single questions: steps in batches, calls that hang, SQL that fails later than it
// was written, input nobody can read, versions. Their database steps write to t.note.
#pragma once

#include "journey.hpp"
#include "world.hpp"

#include "insula/runtime/timer.hpp"

#include <array>
#include <atomic>
#include <string>

namespace insula::queue::test_support {

using outcome = runtime::awaitable<step_result<>>;

inline constexpr pg::statement add_note{"t.note", "insert into t.note (run, what) values ($1, $2)"};

/// A registry of one workflow, or more.
template <class... W>
registry knowing(W... workflows) {
    registry all;
    (all.add(std::move(workflows)), ...);
    return all;
}

/// A step of three batches behind an ordinary one, and an undo of two.
class heaps {
public:
    static constexpr std::string_view kind = "test.heaps";
    using input = journey_input;
    outcome first(database_step& step, const input&) const { return note(step, "first"); }
    outcome unfirst(database_step& step, const input&) const { return note(step, "unfirst"); }
    outcome heap(database_step& step, const input& in) const { return batch(step, in, "heap", 3); }
    outcome unheap(database_step& step, const input& in) const {
        return batch(step, in, "unheap", 2);
    }
    outcome last(database_step& step, const input& in) const {
        step.deferred().add(add_note, step.run(),
                            "last after " + std::string(step.result_of("heap").value_or("?")));
        co_return in.fail_at == "last" ? step_result<>(failure::final("no_good", "no"))
                                       : step_result<>();
    }
    static constexpr auto steps() {
        constexpr retry_policy soon{.attempts_max = 4, .base = std::chrono::milliseconds(5)};
        return queue::steps<heaps>({
            {.name = "first", .run = &heaps::first, .undo = &heaps::unfirst},
            {.name = "heap", .run = &heaps::heap, .undo = &heaps::unheap, .retry = soon},
            {.name = "last", .run = &heaps::last},
        });
    }

private:
    static outcome note(database_step& step, std::string what) {
        step.deferred().add(add_note, step.run(), what);
        co_return step_result<>();
    }
    static outcome batch(database_step& step, const input& in, std::string what, int batches) {
        const auto before = step.result_of(step.name());
        // The undo begins with what the step left, and counts for itself from then on.
        const bool own = before && before->starts_with(what);
        const int n = own ? std::stoi(std::string(before->substr(what.size()))) + 1 : 1;
        step.deferred().add(add_note, step.run(), what + std::to_string(n));
        step.set_result(what + std::to_string(n));
        if (in.fail_at == what + std::to_string(n) && step.attempt() <= in.fail_times) {
            co_return failure::retryable("slipped", "slipped");
        }
        if (n < batches) {
            step.again();
        }
        co_return step_result<>();
    }
};

/// Three batches, and nothing before them.
class pile {
public:
    static constexpr std::string_view kind = "test.pile";
    using input = journey_input;
    outcome add(database_step& step, const input&) const {
        const int n = std::stoi(std::string(step.result_of("add").value_or("0"))) + 1;
        step.deferred().add(add_note, step.run(), std::to_string(n));
        step.set_result(std::to_string(n));
        if (n < 3) {
            step.again();
        }
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<pile>({{.name = "add", .run = &pile::add}});
    }
};

/// How often stubborn::wait and hanging::wait were begun, and ended.
inline std::atomic<int> calls_begun{0};
inline std::atomic<int> calls_ended{0};

/// An outside step that never comes back; `Stubborn`: not even when it is cancelled, before
/// `release` is set.
template <bool Stubborn>
class hanging {
public:
    static constexpr std::string_view kind = Stubborn ? "test.stubborn" : "test.hanging";
    using input = journey_input;
    outcome wait(outside_step& step, const input& in) const {
        ++calls_begun;
        if (step.attempt() > in.fail_times) {
            ++calls_ended;
            co_return step_result<>();
        }
        if constexpr (Stubborn) {
            co_await boost::asio::this_coro::throw_if_cancelled(false);
            co_await boost::asio::this_coro::reset_cancellation_state(
                boost::asio::disable_cancellation());
        }
        struct counted {
            ~counted() { ++calls_ended; }
        } const at_the_end;
        const auto until =
            runtime::deadline::after(std::chrono::milliseconds(Stubborn ? 700 : 60'000));
        while (!until.expired()) {
            co_await runtime::sleep_until(until);
        }
        // What a call says after its time is up counts for nothing.
        co_return Stubborn ? step_result<>() : step_result<>(failure::final("late", "late"));
    }
    static constexpr auto steps() {
        return queue::steps<hanging>(
            {{.name = "wait",
              .call = &hanging::wait,
              .retry = {.attempts_max = 3, .base = std::chrono::milliseconds(5)},
              .timeout = std::chrono::milliseconds(150)}});
    }
};

/// A database step that sleeps in the database for longer than it may; `deferred`: with COMMIT.
class sleeper {
public:
    static constexpr std::string_view kind = "test.sleeper";
    using input = journey_input;
    outcome sleep(database_step& step, const input& in) const {
        const char* how_long = step.attempt() > in.fail_times ? "0" : "60";
        if (in.how == "deferred") {
            step.deferred().add_once(std::string("select pg_sleep(") + how_long + ")");
            step.deferred().add(add_note, step.run(), "slept");
            co_return step_result<>();
        }
        pg::unit work;
        work.add_once(std::string("select pg_sleep(") + how_long + ")");
        work.add(add_note, step.run(), "slept");
        const auto done = co_await step.exec(std::move(work));
        co_return done ? step_result<>() : step_result<>(done.error());
    }
    static constexpr auto steps() {
        return queue::steps<sleeper>(
            {{.name = "sleep",
              .run = &sleeper::sleep,
              .retry = {.attempts_max = 3, .base = std::chrono::milliseconds(5)},
              .timeout = std::chrono::milliseconds(300)}});
    }
};

/// Three steps in one transaction, of which the one named by fail_at defers SQL that fails.
class debtors {
public:
    static constexpr std::string_view kind = "test.debtors";
    using input = journey_input;
    outcome owe(database_step& step, const input& in) const {
        if (in.fail_at == step.name()) {
            step.deferred().add_once("select 1 / 0");
        }
        step.deferred().add(add_note, step.run(), step.name());
        if (step.name() == in.child) {  // sends what the others left
            pg::unit work;
            work.add(add_note, step.run(), "sent");
            const auto done = co_await step.exec(std::move(work));
            co_return done ? step_result<>() : step_result<>(done.error());
        }
        co_return step_result<>();
    }
    outcome on_finish(database_step& step, const input& in, const ending& how) const {
        if (in.fail_at == "on_finish" && how.what == ending::outcome::done) {
            step.deferred().add_once("select 1 / 0");
        }
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<debtors>({
            {.name = "one", .run = &debtors::owe},
            {.name = "two", .run = &debtors::owe, .joins_previous = true},
            {.name = "three", .run = &debtors::owe, .joins_previous = true},
        });
    }
};

/// Fails, and would try again in an hour.
class patient {
public:
    static constexpr std::string_view kind = "test.patient";
    using input = journey_input;
    outcome fail(database_step&, const input&) const {
        co_return failure::retryable("later", "later");
    }
    static constexpr auto steps() {
        return queue::steps<patient>(
            {{.name = "fail",
              .run = &patient::fail,
              .retry = {.base = std::chrono::hours(1), .cap = std::chrono::hours(1)}}});
    }
};

/// Says what it knows of a run that it cannot read.
class reader {
public:
    static constexpr std::string_view kind = "test.reader";
    using input = journey_input;
    outcome read(database_step& step, const input&) const {
        step.deferred().add(add_note, step.run(), "read");
        co_return step_result<>();
    }
    outcome on_unreadable(database_step& step, const failure& why) const {
        step.deferred().add(add_note, step.run(),
                            why.code() + (step.tenant() ? " of " + step.tenant()->str() : ""));
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<reader>({{.name = "read", .run = &reader::read}});
    }
};

}  // namespace insula::queue::test_support
