#include "journey.hpp"

#include "special.hpp"
#include "support/postgres.hpp"

#include "insula/queue/registry.hpp"

#include <unistd.h>

#include <csignal>
#include <stdexcept>

namespace insula::queue::test_support {

namespace {

constexpr pg::statement add_effect{
    "t.effect", "insert into t.effect (run, step, direction) values ($1, $2, $3)"};
constexpr pg::statement add_ended{
    "t.ended", "insert into t.ended (run, what, step, code) values ($1, $2, $3, $4)"};
constexpr pg::statement violate{"t.violate",
                                "insert into t.effect (run, step, direction) values ($1, null, 1)"};

std::string call_conninfo;

std::int16_t narrow(int direction) {
    return static_cast<std::int16_t>(direction);
}

/// What the input says shall happen to this try.
step_result<> fate(const step_base& step, const journey_input& in, const std::string& name) {
    const bool fails =
        in.fail_at == name && (in.fail_times == 0 || step.attempt() <= in.fail_times);
    if (!fails) {
        return {};
    }
    if (in.how == "throw") {
        throw std::runtime_error("thrown by the test");
    }
    if (in.how == "kill") {
        ::kill(::getpid(), SIGKILL);
    }
    if (in.how == "retryable") {
        return failure::retryable("try_again", "try again", "as the test wanted");
    }
    return failure::final("no_good", "it will never work", "as the test wanted");
}

std::string name_of(const step_base& step, int direction) {
    return (direction > 0 ? "" : "undo ") + std::string(step.name());
}

}  // namespace

void set_call_conninfo(std::string conninfo) {
    call_conninfo = std::move(conninfo);
}

journey::outcome journey::effect(database_step& step, const input& in, int direction) {
    pg::unit work;
    work.add(add_effect, step.run(), step.name(), narrow(direction));
    if (in.how == "sql" && in.fail_at == name_of(step, direction)) {
        work.add(violate, step.run());
    }
    const auto done = co_await step.exec(std::move(work));
    if (!done) {
        co_return done.error();
    }
    if (done->size() < 1 || done->front().affected() != 1) {
        co_return failure::final("wrong_results", {},
                                 "the results are not those of the step's own unit");
    }
    if (in.how == "sql") {
        co_return step_result<>();
    }
    step.set_result("{\"from\":\"" + std::string(step.name()) + "\"}");
    co_return fate(step, in, name_of(step, direction));
}

journey::outcome journey::deferred_effect(database_step& step, const input& in, int direction) {
    step.deferred().add(add_effect, step.run(), step.name(), narrow(direction));
    if (step.name() == "b" && direction > 0 && step.result_of("a") != "{\"from\":\"a\"}") {
        co_return failure::final("no_result", {}, "the result of step a is not to be had");
    }
    co_return fate(step, in, name_of(step, direction));
}

journey::outcome journey::call(outside_step& step, const input& in, int direction) {
    test::sql_connection outside(call_conninfo);
    outside.query(
        "insert into t.call (run, step, direction, key) values ($1, $2, $3, $4)",
        {step.run().str(), std::string(step.name()), std::to_string(direction), step.key()});
    co_return fate(step, in, name_of(step, direction));
}

journey::outcome journey::last(database_step& step, const input& in) {
    auto inside = co_await step.lease();
    if (!inside) {
        co_return inside.error();
    }
    pg::unit work;
    work.add(add_effect, step.run(), step.name(), narrow(1));
    const auto done = co_await (*inside)->exec(std::move(work));
    if (!done) {
        co_return done.error();
    }
    if (!in.child.empty()) {
        enqueue_request child;
        child.kind = in.child;
        child.input = encode_input(journey_input{});
        add_enqueue(step.deferred(), run_id::make(), child);
    }
    co_return fate(step, in, "d");
}

namespace {

journey::outcome note_end(database_step& step, const journey_input& in, const ending& how) {
    constexpr std::string_view names[] = {"done", "undone", "incomplete"};
    step.deferred().add(add_ended, step.run(), names[static_cast<int>(how.what)], how.step,
                        how.reason == nullptr ? std::string() : how.reason->code());
    co_return fate(step, in, "on_finish");
}

journey::outcome note_effect(database_step& step, const journey_input& in, int direction) {
    step.deferred().add(add_effect, step.run(), step.name(), narrow(direction));
    co_return fate(step, in, name_of(step, direction));
}

}  // namespace

journey::outcome journey::on_finish(database_step& step, const input& in, const ending& how) const {
    return note_end(step, in, how);
}
tour::outcome tour::make(database_step& step, const input& in) const {
    return note_effect(step, in, 1);
}
tour::outcome tour::open(database_step& step, const input& in) const {
    return note_effect(step, in, 1);
}
tour::outcome tour::book(database_step& step, const input& in) const {
    return note_effect(step, in, 1);
}
tour::outcome tour::unmake(database_step& step, const input& in) const {
    return note_effect(step, in, -1);
}
tour::outcome tour::on_finish(database_step& step, const input& in, const ending& how) const {
    return note_end(step, in, how);
}
runtime::awaitable<step_result<>> single::only(database_step& step, const input& in) const {
    return note_effect(step, in, 1);
}

runtime::awaitable<step_result<>> errand::go(outside_step& step, const input& in) const {
    if (in.how != "quiet") {
        test::sql_connection outside(call_conninfo);
        outside.query("insert into t.call (run, step, direction, key) values ($1, $2, 1, $3)",
                      {step.run().str(), std::string(step.name()), step.key()});
        step.set_result("{\"sent\":1}");
    }
    co_return fate(step, in, "go");
}

runtime::awaitable<step_result<>> nap::doze(database_step& step, const input&) const {
    pg::unit work;
    work.add(add_effect, step.run(), step.name(), narrow(1));
    work.add_once("select pg_sleep(0.1)");
    const auto done = co_await step.exec(std::move(work));
    if (!done) {
        co_return done.error();
    }
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    step.set_result(std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count()));
    co_return step_result<>();
}

const registry& test_workflows() {
    static const registry all = [] {
        registry r;
        r.add(journey()).add(tour()).add(single()).add(errand()).add(nap()).add(heaps());
        return r;
    }();
    return all;
}

}  // namespace insula::queue::test_support
