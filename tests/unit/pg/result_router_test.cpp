#include "pg/detail/result_router.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace insula::pg::detail {
namespace {

using event = result_router::routed::what;
using part = sent_part::what;

const std::vector<sent_part> three{{part::preamble}, {part::prepare, 0, 7}, {part::execute, 0, 7}};

TEST(pg_result_router, gives_each_result_to_the_message_it_answers) {
    result_router router;
    router.sent(three);
    for (const sent_part& expected : three) {
        const auto routed = router.take(reply::ok);
        EXPECT_EQ(routed.event, event::part_ok);
        EXPECT_EQ(routed.part.kind, expected.kind);
        EXPECT_EQ(routed.part.prepared, expected.prepared);
        EXPECT_EQ(router.take(reply::none).event, event::nothing);
    }
    EXPECT_TRUE(router.only_sync_missing());
    EXPECT_EQ(router.take(reply::sync).event, event::unit_done);
    EXPECT_EQ(router.in_flight(), 0U);
}

// An error injected at each successive place: this unit's rest is aborted, the neighbour's results
// are its own.
TEST(pg_result_router, G43_an_error_at_any_part_stays_in_its_unit) {
    for (std::size_t at = 0; at < three.size(); ++at) {
        result_router router;
        router.sent(three);
        router.sent(std::vector<sent_part>{{part::execute, 5}});
        for (std::size_t i = 0; i < at; ++i) {
            EXPECT_EQ(router.take(reply::ok).event, event::part_ok);
            (void)router.take(reply::none);
        }
        EXPECT_EQ(router.take(reply::error).event, event::part_failed);
        (void)router.take(reply::none);
        for (std::size_t i = at + 1; i < three.size(); ++i) {
            const auto routed = router.take(reply::aborted);
            EXPECT_EQ(routed.event, event::part_aborted);
            EXPECT_EQ(routed.part.kind, three[i].kind);
            (void)router.take(reply::none);
        }
        EXPECT_EQ(router.take(reply::sync).event, event::unit_done);
        const auto neighbour = router.take(reply::ok);
        EXPECT_EQ(neighbour.event, event::part_ok);
        EXPECT_EQ(neighbour.part.statement, 5);
        (void)router.take(reply::none);
        EXPECT_EQ(router.take(reply::sync).event, event::unit_done);
    }
}

TEST(pg_result_router, an_error_behind_the_last_part_is_the_commits) {
    result_router router;
    router.sent(std::vector<sent_part>{{part::execute, 0}});
    (void)router.take(reply::ok);
    (void)router.take(reply::none);
    EXPECT_EQ(router.take(reply::error).event, event::failed_at_end);
    (void)router.take(reply::none);
    EXPECT_EQ(router.take(reply::sync).event, event::unit_done);
}

TEST(pg_result_router, an_empty_unit_is_its_sync) {
    result_router router;
    router.sent({});
    EXPECT_EQ(router.take(reply::sync).event, event::unit_done);
}

TEST(pg_result_router, three_nulls_in_a_row_mean_the_sync_will_never_come) {
    result_router router;
    router.sent(three);
    EXPECT_EQ(router.take(reply::none).event, event::nothing);
    EXPECT_EQ(router.take(reply::none).event, event::nothing);
    EXPECT_EQ(router.take(reply::none).event, event::broken);
}

TEST(pg_result_router, nulls_between_results_do_not_add_up) {
    result_router router;
    router.sent(three);
    for (int i = 0; i < 3; ++i) {
        (void)router.take(reply::ok);
        EXPECT_EQ(router.take(reply::none).event, event::nothing);
        EXPECT_EQ(router.take(reply::none).event, event::nothing);
    }
}

TEST(pg_result_router, whatever_does_not_fit_what_was_sent_breaks_the_connection) {
    const auto fresh = [](std::vector<sent_part> parts) {
        result_router router;
        router.sent(parts);
        return router;
    };
    EXPECT_EQ(result_router().take(reply::ok).event, event::broken);
    EXPECT_EQ(result_router().take(reply::sync).event, event::broken);
    EXPECT_EQ(fresh(three).take(reply::sync).event, event::broken) << "a unit with answers missing";
    EXPECT_EQ(fresh(three).take(reply::aborted).event, event::broken) << "aborted without an error";
    EXPECT_EQ(fresh({}).take(reply::ok).event, event::broken) << "an answer too many";
    EXPECT_EQ(fresh(three).take(reply::other).event, event::broken) << "COPY";
    auto router = fresh(three);
    (void)router.take(reply::error);
    EXPECT_EQ(router.take(reply::ok).event, event::broken) << "a result after the error";
    auto second = fresh(three);
    (void)second.take(reply::error);
    EXPECT_EQ(second.take(reply::error).event, event::broken) << "two errors in one unit";
}

TEST(pg_result_router, clear_forgets_everything) {
    result_router router;
    router.sent(three);
    (void)router.take(reply::error);
    router.clear();
    EXPECT_EQ(router.in_flight(), 0U);
    router.sent(three);
    EXPECT_EQ(router.take(reply::ok).event, event::part_ok);
}

}  // namespace
}  // namespace insula::pg::detail
