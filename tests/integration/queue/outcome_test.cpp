// What a step leaves behind when it ends in an odd way: text that the database does not take, an
// exception from where none is expected, an answer that cannot be written down at once.

#include "special.hpp"

#include "insula/queue/fault.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <stdexcept>

namespace insula::queue::test_support {
namespace {

using namespace std::string_view_literals;

const std::string no_text("caf\xe9 \0 \xff", 8);

/// Does what `how` says, as an outside step without more.
class mumbler {
public:
    static constexpr std::string_view kind = "test.mumbler";
    using input = journey_input;
    outcome speak(outside_step& step, const input& in) const {
        ++calls_begun;
        if (in.how == "fails") {
            co_return failure::retryable("no_text", no_text, no_text);
        }
        if (in.how == "throws") {
            throw std::runtime_error(no_text);
        }
        if (in.how == "stores") {
            step.set_result("\"" + no_text + "\"");
        }
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<mumbler>(
            {{.name = "speak",
              .call = &mumbler::speak,
              .retry = {.attempts_max = 3, .base = std::chrono::milliseconds(5)}}});
    }
};

/// An outside step with more behind it, so that its answer is committed by itself.
class caller {
public:
    static constexpr std::string_view kind = "test.caller";
    using input = journey_input;
    outcome call(outside_step& step, const input& in) const {
        ++calls_begun;
        step.set_result("\"heard\"");
        co_return in.how == "fails" ? step_result<>(failure::final("no_good", "no"))
                                    : step_result<>();
    }
    outcome last(database_step& step, const input&) const {
        step.deferred().add(add_note, step.run(), step.result_of("call").value_or("?"));
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<caller>(
            {{.name = "call", .call = &caller::call}, {.name = "last", .run = &caller::last}});
    }
};

/// A database step that is no coroutine: what it throws comes before there is one. Or one that
/// throws what looks as if the engine were being stopped.
class thrower {
public:
    static constexpr std::string_view kind = "test.thrower";
    using input = journey_input;
    outcome go(database_step& step, const input& in) const {
        if (step.attempt() <= in.fail_times && in.how == "plain") {
            throw std::runtime_error("no coroutine yet");
        }
        return inner(step, in);
    }
    static constexpr auto steps() {
        return queue::steps<thrower>(
            {{.name = "go",
              .run = &thrower::go,
              .retry = {.attempts_max = 3, .base = std::chrono::milliseconds(5)}}});
    }

private:
    static outcome inner(database_step& step, const input& in) {
        if (step.attempt() <= in.fail_times) {
            throw boost::system::system_error(boost::asio::error::operation_aborted);
        }
        step.deferred().add(add_note, step.run(), "went");
        co_return step_result<>();
    }
};

class queue_outcomes : public testing::TestWithParam<runtime::backend> {
protected:
    void SetUp() override {
        fault::clear();
        calls_begun = 0;
    }
    void TearDown() override { fault::clear(); }

    std::unique_ptr<process> start(const registry& known) {
        return std::make_unique<process>(world_.worker_conninfo(), known, quick(30'000ms),
                                         GetParam());
    }
    template <class W>
    run_id enqueue(std::string how, int fail_times = 0) {
        return world_.enqueue(request_for<W>(
            {.fail_at = {}, .fail_times = fail_times, .how = std::move(how), .child = {}}));
    }

    world world_;
};

TEST_P(queue_outcomes, G30_text_that_the_database_does_not_take_costs_one_attempt_and_no_more) {
    const registry known = knowing(mumbler());
    auto p = start(known);
    for (const char* how : {"fails", "throws", "stores"}) {
        SCOPED_TRACE(how);
        calls_begun = 0;
        const run_id id = enqueue<mumbler>(how);
        EXPECT_TRUE(world_.ends(id, "failed", 5s));
        // What has happened and cannot be put on record is not done again.
        EXPECT_EQ(calls_begun, how == "stores"sv ? 1 : 3);
    }
    EXPECT_EQ(world_.text("select count(*) from queue.failed_attempt"), "7");
}

TEST_P(queue_outcomes, G36_an_answer_that_cannot_be_written_down_is_kept_and_not_asked_for_again) {
    world_.db().query_admin(
        "create sequence t.tries;"
        "create function t.full() returns trigger language plpgsql security definer as $$ begin"
        " perform nextval('t.tries');"
        " raise exception 'no room' using errcode = '53100'; end $$;"
        "create trigger disk before update on queue.step for each row execute function t.full()");
    const registry known = knowing(caller());
    auto p = start(known);
    const run_id good = enqueue<caller>("");
    // Tried a few times: each try leaves a number, because a sequence is not rolled back.
    ASSERT_TRUE(world_.becomes("select last_value > 3 from t.tries", "t"));
    world_.db().query_admin("drop trigger disk on queue.step");
    EXPECT_TRUE(world_.ends(good, "done"));
    EXPECT_EQ(calls_begun, 1);
    EXPECT_EQ(world_.notes_of(good), "\"heard\"");
}

TEST_P(queue_outcomes, G30_whatever_a_step_throws_is_its_failure_and_no_crash) {
    const registry known = knowing(thrower());
    auto p = start(known);
    for (const char* how : {"plain", "aborted"}) {
        SCOPED_TRACE(how);
        const run_id id = enqueue<thrower>(how, 2);
        EXPECT_TRUE(world_.ends(id, "done", 5s));
        EXPECT_EQ(world_.notes_of(id), "went");
        EXPECT_EQ(world_.text("select crashes from queue.status('" + id.str() + "')"), "0");
        EXPECT_EQ(world_.text("select count(*) from queue.failed_attempt where code = 'exception'"
                              " and run = '" +
                              id.str() + "'"),
                  "2");
    }
}

INSTANTIATE_TEST_SUITE_P(both, queue_outcomes, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
