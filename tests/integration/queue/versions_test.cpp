// A rolling deploy: old and new processes on one database, and runs of several versions.

#include "special.hpp"

#include "insula/queue/fault.hpp"

namespace insula::queue::test_support {
namespace {

/// Two steps; the second may be told to fail its first attempts, so that somebody else takes over.
class growing_1 {
public:
    static constexpr std::string_view kind = "test.growing";
    using input = journey_input;
    outcome work(database_step& step, const input& in) const {
        step.deferred().add(add_note, step.run(), std::string(step.name()) + "@1");
        co_return in.fail_at == step.name() && step.attempt() <= in.fail_times
            ? step_result<>(failure::retryable("later", "later"))
            : step_result<>();
    }
    static constexpr auto steps() {
        constexpr retry_policy soon{.attempts_max = 50,
                                    .base = std::chrono::milliseconds(5),
                                    .cap = std::chrono::milliseconds(20)};
        return queue::steps<growing_1>({{.name = "a", .run = &growing_1::work, .retry = soon},
                                        {.name = "b", .run = &growing_1::work, .retry = soon}});
    }
};

/// One step more. `Continues`: it takes over runs of version 1.
template <bool Continues>
class growing_2_base {
public:
    static constexpr std::string_view kind = "test.growing";
    static constexpr int version = 2;
    using input = journey_input;
    outcome work(database_step& step, const input&) const {
        step.deferred().add(add_note, step.run(), std::string(step.name()) + "@2");
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<growing_2_base>({{.name = "a", .run = &growing_2_base::work},
                                             {.name = "b", .run = &growing_2_base::work},
                                             {.name = "c", .run = &growing_2_base::work}});
    }
};
class growing_2 : public growing_2_base<false> {
public:
    static constexpr auto steps() {
        return queue::steps<growing_2>({{.name = "a", .run = &growing_2::work},
                                        {.name = "b", .run = &growing_2::work},
                                        {.name = "c", .run = &growing_2::work}});
    }
};
class successor : public growing_2_base<true> {
public:
    static constexpr std::array<int, 1> continues{1};
    static constexpr auto steps() {
        return queue::steps<successor>({{.name = "a", .run = &successor::work},
                                        {.name = "b", .run = &successor::work},
                                        {.name = "c", .run = &successor::work}});
    }
};
/// Declares to continue, and does not: its second step has another name.
class liar {
public:
    static constexpr std::string_view kind = "test.growing";
    static constexpr int version = 3;
    static constexpr std::array<int, 1> continues{1};
    using input = journey_input;
    outcome work(database_step& step, const input&) const {
        step.deferred().add(add_note, step.run(), std::string(step.name()) + "@3");
        co_return step_result<>();
    }
    static constexpr auto steps() {
        return queue::steps<liar>(
            {{.name = "z", .run = &liar::work}, {.name = "b", .run = &liar::work}});
    }
};

/// Older than what it says it continues.
class upside_down : public growing_1 {
public:
    static constexpr std::string_view kind = "test.upside_down";
    static constexpr std::array<int, 1> continues{1};
    static constexpr auto steps() {
        return queue::steps<upside_down>({{.name = "a", .run = &upside_down::work}});
    }
};

class queue_versions : public testing::Test {
protected:
    std::unique_ptr<process> start(const registry& known) {
        return std::make_unique<process>(world_.worker_conninfo(), known, quick(),
                                         runtime::backend::epoll);
    }
    /// A run of version 1 that has done its step a and cannot do b for a while.
    run_id half_done(const registry& known) {
        const run_id id = world_.enqueue(
            request_for<growing_1>({.fail_at = "b", .fail_times = 40, .how = {}, .child = {}}));
        auto old = start(known);
        EXPECT_TRUE(world_.becomes("select count(*) > 0 from queue.failed_attempt", "t"));
        return id;
    }
    /// That it gives back, again and again, what it does not know.
    static bool postpones(process& p, std::uint64_t times) {
        const auto until = std::chrono::steady_clock::now() + 10s;
        while (p.engine().stats().postponed_unknown < times) {
            if (std::chrono::steady_clock::now() > until) {
                return false;
            }
            std::this_thread::yield();
        }
        return true;
    }

    world world_;
};

TEST_F(queue_versions, a_run_ends_on_the_definition_it_began_with) {
    const registry old_one = knowing(growing_1());
    const registry both = knowing(growing_1(), growing_2());
    auto a = start(old_one);
    auto b = start(both);
    std::vector<run_id> ids;
    for (int i = 0; i < 20; ++i) {
        ids.push_back(world_.enqueue(request_for<growing_1>({})));
        ids.push_back(world_.enqueue(request_for<growing_2>({})));
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
        ASSERT_TRUE(world_.ends(ids[i], "done"));
        EXPECT_EQ(world_.notes_of(ids[i]), i % 2 == 0 ? "a@1 b@1" : "a@2 b@2 c@2");
    }
    EXPECT_TRUE(world_.in_order());
}

TEST_F(queue_versions, what_an_old_process_does_not_know_costs_no_attempt) {
    const registry old_one = knowing(growing_1());
    const registry both = knowing(growing_1(), growing_2());
    auto a = start(old_one);
    const run_id id = world_.enqueue(request_for<growing_2>({}));
    ASSERT_TRUE(world_.becomes("select state || ' ' || attempt from queue.run", "2 0"));
    ASSERT_TRUE(postpones(*a, 3));
    auto b = start(both);
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.notes_of(id), "a@2 b@2 c@2");
    EXPECT_EQ(world_.text("select crashes from queue.history"), "0");
}

TEST_F(queue_versions, a_declared_successor_takes_a_run_over_for_good) {
    const registry old_one = knowing(growing_1());
    const registry next = knowing(successor());
    const run_id id = half_done(old_one);
    {
        fault::clear();
        fault::arm("queue.after_commit", 1, fault::action::throws);  // behind b@2: its driver dies
        auto b = start(next);
        ASSERT_TRUE(world_.becomes("select count(*) from t.note where what = 'b@2'", "1"));
    }
    fault::clear();
    // The old process must leave it alone: it knows no step c.
    auto a = start(old_one);
    ASSERT_TRUE(postpones(*a, 1));
    EXPECT_TRUE(world_.becomes("select version || ' ' || state from queue.run", "2 2"));
    auto b = start(next);
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.notes_of(id), "a@1 b@2 c@2");
    EXPECT_TRUE(world_.in_order());
}

TEST_F(queue_versions, steps_that_do_not_fit_are_held_and_never_guessed) {
    const registry old_one = knowing(growing_1());
    const registry wrong = knowing(liar());
    const run_id id = half_done(old_one);
    {
        auto b = start(wrong);
        ASSERT_TRUE(world_.ends(id, "held"));
        EXPECT_TRUE(counts(b->engine(), &engine_stats::held, 1U));
    }
    EXPECT_EQ(world_.notes_of(id), "a@1");
    EXPECT_EQ(world_.text("select version from queue.run"), "1");
    // With the right definition back, an operator lets it go on where it was.
    world_.db().query_admin("update queue.run set input = '" + encode_input(journey_input{}) + "'");
    EXPECT_EQ(world_.text("select outcome from queue.retry_run('" + id.str() + "', null)"), "0");
    auto a = start(old_one);
    ASSERT_TRUE(world_.ends(id, "done"));
    EXPECT_EQ(world_.notes_of(id), "a@1 b@1");
}

TEST_F(queue_versions, a_version_can_only_continue_older_ones) {
    registry all;
    EXPECT_THROW(all.add(upside_down()), std::logic_error);
}

}  // namespace
}  // namespace insula::queue::test_support
