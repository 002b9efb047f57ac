// Undoing a call: retried, then held for somebody who decides. And definitions whose last step is a
// call, or that have lost an undo.

#include "special.hpp"

#include "insula/queue/operate.hpp"

namespace insula::queue::test_support {
namespace {

std::atomic<int> letters_recalled{0};

/// A call that is recalled when the step behind it fails; `fail_at` says how the recall goes.
class letter {
public:
    static constexpr std::string_view kind = "test.letter";
    using input = journey_input;
    outcome send(outside_step& step, const input&) const {
        step.set_result("\"sent\"");
        co_return step_result<>();
    }
    outcome recall(outside_step& step, const input& in) const {
        ++letters_recalled;
        if (in.how == "never") {
            co_return failure::final("gone", "It has been read.");
        }
        co_return step.attempt() <= in.fail_times
            ? step_result<>(failure::retryable("busy", "The post office is closed."))
            : step_result<>();
    }
    outcome fails(database_step& step, const input&) const {
        step.deferred().add(add_note, step.run(), "never seen");
        co_return failure::final("no_good", "no");
    }
    outcome on_finish(database_step& step, const input&, const ending& how) const {
        step.deferred().add(add_note, step.run(), "ended at " + std::string(how.step));
        co_return step_result<>();
    }
    static constexpr auto steps() {
        constexpr retry_policy soon{.attempts_max = 3, .base = std::chrono::milliseconds(5)};
        return queue::steps<letter>(
            {{.name = "send", .call = &letter::send, .undo_call = &letter::recall, .retry = soon},
             {.name = "fails", .run = &letter::fails}});
    }
};

/// The same kind and version, by a program that has forgotten how to recall.
class letter_without_recall : public letter {
public:
    static constexpr auto steps() {
        return queue::steps<letter_without_recall>(
            {{.name = "send", .call = &letter_without_recall::send},
             {.name = "fails", .run = &letter_without_recall::fails}});
    }
};

std::atomic<int> pages_erased{0};

/// The same in the database.
class page {
public:
    static constexpr std::string_view kind = "test.page";
    using input = journey_input;
    outcome write(database_step& step, const input&) const {
        step.deferred().add(add_note, step.run(), "written");
        co_return step_result<>();
    }
    outcome erase(database_step& step, const input& in) const {
        ++pages_erased;
        step.deferred().add(add_note, step.run(), "erased");
        co_return step.attempt() <= in.fail_times
            ? step_result<>(failure::retryable("stuck", "The page sticks."))
            : step_result<>();
    }
    outcome fails(database_step&, const input&) const { co_return failure::final("no_good", "no"); }
    static constexpr auto steps() {
        constexpr retry_policy soon{.attempts_max = 3, .base = std::chrono::milliseconds(5)};
        return queue::steps<page>(
            {{.name = "write", .run = &page::write, .undo = &page::erase, .retry = soon},
             {.name = "fails", .run = &page::fails}});
    }
};

/// Something in the database, then a call, and nothing at the end.
class parcel {
public:
    static constexpr std::string_view kind = "test.parcel";
    using input = journey_input;
    outcome pack(database_step& step, const input&) const {
        step.deferred().add(add_note, step.run(), "packed");
        co_return step_result<>();
    }
    outcome ship(outside_step& step, const input& in) const {
        step.set_result("\"shipped\"");
        co_return step.attempt() <= in.fail_times
            ? step_result<>(failure::retryable("busy", "busy"))
            : step_result<>();
    }
    static constexpr auto steps() {
        constexpr retry_policy soon{.attempts_max = 3, .base = std::chrono::milliseconds(5)};
        return queue::steps<parcel>({{.name = "pack", .run = &parcel::pack},
                                     {.name = "ship", .call = &parcel::ship, .retry = soon}});
    }
};

class queue_undo : public testing::TestWithParam<runtime::backend> {
protected:
    void SetUp() override { letters_recalled = pages_erased = 0; }
    template <class W>
    std::unique_ptr<process> start() {
        known_ = knowing(W{}, parcel{}, page{});
        return std::make_unique<process>(world_.worker_conninfo(), known_, quick(), GetParam());
    }
    template <class W>
    run_id enqueue(const journey_input& in) {
        return world_.enqueue(request_for<W>(in));
    }
    operated act(process& at, void (*add)(pg::unit&, run_id), run_id id) {
        pg::unit work;
        add(work, id);
        auto got = at.thread().run(
            at.pool().run(std::move(work), runtime::deadline::after(std::chrono::seconds(5))));
        EXPECT_TRUE(got);
        return got ? parse_operation(got->front()).what : operated::not_possible;
    }
    std::string held_because(run_id id) {
        return world_.text("select undo_error from queue.run where id = '" + id.str() + "'");
    }

    world world_;
    registry known_;
};

TEST_P(queue_undo, G33_an_undo_in_the_database_is_retried_and_then_held) {
    const auto id = enqueue<page>({.fail_at = {}, .fail_times = 2, .how = {}, .child = {}});
    const auto stuck = enqueue<page>({.fail_at = {}, .fail_times = 3, .how = {}, .child = {}});
    auto p = start<letter>();
    ASSERT_TRUE(world_.ends(id, "failed"));
    EXPECT_EQ(world_.notes_of(id), "written erased") << "what failed has left nothing";
    ASSERT_TRUE(world_.ends(stuck, "held"));
    EXPECT_EQ(world_.notes_of(stuck), "written");
    EXPECT_EQ(pages_erased, 6);
    EXPECT_EQ(act(*p, &add_skip, stuck), operated::done);
    ASSERT_TRUE(world_.ends(stuck, "failed"));
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_undo, G33_an_undo_by_call_is_retried) {
    const auto id = enqueue<letter>({.fail_at = {}, .fail_times = 2, .how = {}, .child = {}});
    auto p = start<letter>();
    ASSERT_TRUE(world_.ends(id, "failed"));
    EXPECT_EQ(letters_recalled, 3);
    EXPECT_EQ(world_.notes_of(id), "ended at fails");
    EXPECT_TRUE(world_.in_order());
}

TEST_P(queue_undo, G33_an_undo_by_call_that_goes_on_failing_is_held_and_never_dropped) {
    const auto tired = enqueue<letter>({.fail_at = {}, .fail_times = 99, .how = {}, .child = {}});
    const auto never =
        enqueue<letter>({.fail_at = {}, .fail_times = 0, .how = "never", .child = {}});
    auto p = start<letter>();
    for (const auto& [id, words] :
         {std::pair{tired, "The post office is closed."}, std::pair{never, "It has been read."}}) {
        ASSERT_TRUE(world_.ends(id, "held"));
        EXPECT_EQ(world_.notes_of(id), "") << "nothing has ended";
        const auto why = held_because(id);
        EXPECT_NE(why.find("undo of send"), std::string::npos) << why;
        EXPECT_NE(why.find(words), std::string::npos) << why;
    }
    EXPECT_EQ(letters_recalled, 4) << "three attempts, and one that said it is of no use";
    EXPECT_EQ(
        act(*p, [](pg::unit& work, run_id run) { add_retry(work, run); }, tired), operated::done);
    ASSERT_TRUE(world_.becomes("select count(*) from queue.run where state = 3", "2"));
    EXPECT_EQ(act(*p, &add_skip, never), operated::done);
    ASSERT_TRUE(world_.ends(never, "failed")) << "somebody has recalled it by hand";
    EXPECT_EQ(world_.notes_of(never), "ended at fails");
}

TEST_P(queue_undo, G33_what_a_program_cannot_undo_any_more_is_held) {
    const auto id = enqueue<letter>({.fail_at = {}, .fail_times = 0, .how = "never", .child = {}});
    {
        auto p = start<letter>();
        ASSERT_TRUE(world_.ends(id, "held"));
    }
    auto p = start<letter_without_recall>();
    EXPECT_EQ(
        act(*p, [](pg::unit& work, run_id run) { add_retry(work, run); }, id), operated::done);
    ASSERT_TRUE(world_.becomes(
        "select count(*) from queue.run where state = 3 and undo_error like '%has no undo now%'",
        "1"));
    EXPECT_EQ(letters_recalled, 1);
    EXPECT_EQ(world_.notes_of(id), "");
}

TEST_P(queue_undo, G30_a_run_that_ends_with_a_call_ends_with_its_result) {
    const auto id = enqueue<parcel>({.fail_at = {}, .fail_times = 1, .how = {}, .child = {}});
    auto p = start<letter>();
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.notes_of(id), "packed");
    EXPECT_TRUE(counts(p->engine(), &engine_stats::finished, 1));
    EXPECT_TRUE(world_.in_order());
}

INSTANTIATE_TEST_SUITE_P(both, queue_undo, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

}  // namespace
}  // namespace insula::queue::test_support
