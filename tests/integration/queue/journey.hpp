// The workflow that the tests send through the engine: three database steps and a call, each with
// its undo, told by its input what shall go wrong.
#pragma once

#include "insula/queue/enqueue.hpp"
#include "insula/queue/registry.hpp"
#include "insula/queue/workflow.hpp"

#include <boost/describe.hpp>

#include <string>
#include <string_view>

namespace insula::queue::test_support {

struct journey_input {
    std::string fail_at;  ///< name of a step, "undo <name>" or "on_finish"; empty: nothing fails
    int fail_times = 0;   ///< attempts that fail; 0: all
    std::string how;  ///< "final", "retryable", "throw", "sql" (a unique violation), "lock" (55P03
                      ///< by raise)
    std::string child;  ///< a run of this kind is enqueued by the last step
};
BOOST_DESCRIBE_STRUCT(journey_input, (), (fail_at, fail_times, how, child))

/// Where journey's outside calls go: a connection of their own.
void set_call_conninfo(std::string conninfo);

class journey {
public:
    static constexpr std::string_view kind = "test.journey";
    using input = journey_input;
    using outcome = runtime::awaitable<step_result<>>;

    outcome a(database_step& step, const input& in) const { return effect(step, in, 1); }
    outcome b(database_step& step, const input& in) const { return deferred_effect(step, in, 1); }
    outcome c(outside_step& step, const input& in) const { return call(step, in, 1); }
    outcome d(database_step& step, const input& in) const { return last(step, in); }
    outcome undo_a(database_step& step, const input& in) const {
        return deferred_effect(step, in, -1);
    }
    outcome undo_b(database_step& step, const input& in) const { return effect(step, in, -1); }
    outcome undo_c(outside_step& step, const input& in) const { return call(step, in, -1); }
    outcome undo_d(database_step& step, const input& in) const { return effect(step, in, -1); }
    outcome on_finish(database_step& step, const input& in, const ending& how) const;

    static constexpr auto steps() {
        constexpr retry_policy soon{.attempts_max = 4, .base = std::chrono::milliseconds(5)};
        return queue::steps<journey>({
            {.name = "a", .run = &journey::a, .undo = &journey::undo_a, .retry = soon},
            {.name = "b", .run = &journey::b, .undo = &journey::undo_b, .retry = soon},
            {.name = "c", .call = &journey::c, .undo_call = &journey::undo_c, .retry = soon},
            {.name = "d", .run = &journey::d, .undo = &journey::undo_d, .retry = soon},
        });
    }

private:
    static outcome effect(database_step& step, const input& in, int direction);
    static outcome deferred_effect(database_step& step, const input& in, int direction);
    static outcome call(outside_step& step, const input& in, int direction);
    static outcome last(database_step& step, const input& in);
};

/// Two steps in one transaction, then bookkeeping behind the point of no return.
class tour {
public:
    static constexpr std::string_view kind = "test.tour";
    using input = journey_input;
    using outcome = runtime::awaitable<step_result<>>;

    outcome make(database_step& step, const input& in) const;
    outcome open(database_step& step, const input& in) const;
    outcome book(database_step& step, const input& in) const;
    outcome unmake(database_step& step, const input& in) const;
    outcome on_finish(database_step& step, const input& in, const ending& how) const;

    static constexpr auto steps() {
        constexpr retry_policy soon{.attempts_max = 3, .base = std::chrono::milliseconds(5)};
        return queue::steps<tour>({
            {.name = "make", .run = &tour::make, .undo = &tour::unmake, .retry = soon},
            {.name = "open",
             .run = &tour::open,
             .retry = soon,
             .joins_previous = true,
             .point_of_no_return = true},
            {.name = "book", .run = &tour::book, .retry = soon},
        });
    }
};

/// One database step, nothing else.
class single {
public:
    static constexpr std::string_view kind = "test.single";
    using input = journey_input;
    runtime::awaitable<step_result<>> only(database_step& step, const input& in) const;
    static constexpr auto steps() {
        return queue::steps<single>(
            {{.name = "only",
              .run = &single::only,
              .retry = {.attempts_max = 3, .base = std::chrono::milliseconds(5)}}});
    }
};

/// One outside step, nothing else: ends in a batch with others. `how` = "quiet": no row in t.call.
class errand {
public:
    static constexpr std::string_view kind = "test.errand";
    using input = journey_input;
    runtime::awaitable<step_result<>> go(outside_step& step, const input& in) const;
    static constexpr auto steps() {
        return queue::steps<errand>(
            {{.name = "go",
              .call = &errand::go,
              .retry = {.attempts_max = 4, .base = std::chrono::milliseconds(5)}}});
    }
};

/// Three steps that take a tenth of a second each, and say what time their process thinks it is.
class nap {
public:
    static constexpr std::string_view kind = "test.nap";
    using input = journey_input;
    runtime::awaitable<step_result<>> doze(database_step& step, const input& in) const;
    static constexpr auto steps() {
        return queue::steps<nap>({{.name = "one", .run = &nap::doze},
                                  {.name = "two", .run = &nap::doze},
                                  {.name = "three", .run = &nap::doze}});
    }
};

/// All of the above, and `heaps` of special.hpp.
const registry& test_workflows();

}  // namespace insula::queue::test_support
