#include "insula/queue/registry.hpp"

#include "insula/queue/enqueue.hpp"

#include <gtest/gtest.h>

namespace insula::queue {
namespace {

struct greeting {
    tenant_id tenant;
    std::string text;
    int times = 0;
    bool loud = false;
    std::optional<std::string> note;
};
BOOST_DESCRIBE_STRUCT(greeting, (), (tenant, text, times, loud, note))

class greet {
public:
    static constexpr std::string_view kind = "test.greet";
    static constexpr int version = 3;
    using input = greeting;
    using outcome = runtime::awaitable<step_result<>>;
    outcome write(database_step&, const input&) const { co_return step_result<>(); }
    outcome send(outside_step&, const input&) const { co_return step_result<>(); }
    static constexpr auto steps() {
        return queue::steps<greet>({
            {.name = "write", .run = &greet::write, .undo = &greet::write},
            {.name = "again",
             .run = &greet::write,
             .joins_previous = true,
             .point_of_no_return = true},
            {.name = "send", .call = &greet::send, .timeout = std::chrono::seconds(5)},
        });
    }
};

using row = step<greet>;
template <std::size_t N>
constexpr bool accepted(const std::array<row, N>& rows) {
    return detail::wrong_steps(rows).empty();
}

// The rules of a list of steps hold at compile time.
static_assert(accepted(greet::steps()));
static_assert(!accepted(std::array<row, 0>{}));
static_assert(!accepted(std::array{row{.name = "", .run = &greet::write}}));
static_assert(!accepted(std::array{row{.name = "none"}}));
static_assert(!accepted(std::array{
    row{.name = "both", .run = &greet::write, .call = &greet::send}}));
static_assert(!accepted(std::array{row{.name = "x", .run = &greet::write},
                                   row{.name = "x", .run = &greet::write}}));
static_assert(!accepted(std::array{
    row{.name = "x", .run = &greet::write, .joins_previous = true}}));
static_assert(!accepted(std::array{
    row{.name = "x", .call = &greet::send},
    row{.name = "y", .run = &greet::write, .joins_previous = true}}));
static_assert(!accepted(std::array{
    row{.name = "x", .run = &greet::write, .point_of_no_return = true},
    row{.name = "y", .run = &greet::write, .undo = &greet::write}}));
static_assert(!accepted(std::array{
    row{.name = "x", .run = &greet::write, .point_of_no_return = true},
    row{.name = "y", .run = &greet::write, .point_of_no_return = true}}));

TEST(queue_registry, finds_by_kind_and_version_and_refuses_doubles) {
    registry known;
    known.add(greet());
    ASSERT_NE(known.find("test.greet", 3), nullptr);
    EXPECT_EQ(known.find("test.greet", 1), nullptr);
    EXPECT_EQ(known.find("test.greet.", 3), nullptr);
    EXPECT_THROW(known.add(greet()), std::logic_error);
    const auto steps = known.find("test.greet", 3)->steps();
    ASSERT_EQ(steps.size(), 3U);
    EXPECT_TRUE(steps[0].has_undo);
    EXPECT_TRUE(steps[1].joins_previous);
    EXPECT_TRUE(steps[1].point_of_no_return);
    EXPECT_TRUE(steps[2].outside);
    EXPECT_EQ(steps[2].timeout, std::chrono::seconds(5));
}

TEST(queue_registry, input_survives_the_way_through_the_database) {
    registry known;
    known.add(greet());
    const definition& d = *known.find("test.greet", 3);
    const greeting before{tenant_id::make(), "h\u00e9llo \"you\"\n", -7, true, std::nullopt};
    const enqueue_request request = request_for<greet>(before);
    EXPECT_EQ(request.kind, "test.greet");
    EXPECT_EQ(request.version, 3);
    auto read = d.read_input(request.input);
    ASSERT_TRUE(read) << read.error().describe();
    const auto& after = *static_cast<const greeting*>(read->get());
    EXPECT_EQ(after.tenant, before.tenant);
    EXPECT_EQ(after.text, before.text);
    EXPECT_EQ(after.times, before.times);
    EXPECT_EQ(after.loud, before.loud);
    EXPECT_FALSE(after.note);
}

TEST(queue_registry, input_that_does_not_fit_is_an_error_not_a_crash) {
    registry known;
    known.add(greet());
    const definition& d = *known.find("test.greet", 3);
    for (const char* bad : {"", "null", "[]", "{}", "{\"text\":1}", "\xff"}) {
        EXPECT_FALSE(d.read_input(bad)) << bad;
    }
}

}  // namespace
}  // namespace insula::queue
