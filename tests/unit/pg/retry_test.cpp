#include "pg/detail/retry.hpp"

#include <gtest/gtest.h>

namespace insula::pg::detail {
namespace {

pg_error failed(sqlstate state, bool transient = false) {
    return {.state = state, .message = "m", .transient = transient};
}

TEST(pg_retry, a_useless_plan_is_repeated_once_and_never_inside_an_open_transaction) {
    for (const auto& error :
         {failed(sqlstate::feature_not_supported, true), failed(sqlstate::unknown_prepared)}) {
        EXPECT_EQ(decide(error, {.shared = true}), verdict::repeat);
        EXPECT_EQ(decide(error, {}), verdict::repeat);
        EXPECT_EQ(decide(error, {.repeated = true}), verdict::deliver);
        EXPECT_EQ(decide(error, {.transaction_open = true}), verdict::deliver);
    }
    EXPECT_EQ(decide(failed(sqlstate::feature_not_supported), {.shared = true}), verdict::deliver)
        << "what PostgreSQL really cannot do";
}

TEST(pg_retry, G45_a_lock_is_waited_for_elsewhere_if_that_is_allowed) {
    const auto locked = failed(sqlstate::lock_not_available);
    EXPECT_EQ(decide(locked, {.shared = true, .may_go_exclusive = true}),
              verdict::repeat_exclusive);
    EXPECT_EQ(decide(locked, {.shared = true}), verdict::deliver);
    EXPECT_EQ(decide(locked, {.may_go_exclusive = true}), verdict::deliver);
}

TEST(pg_retry, G42_what_lost_to_another_transaction_is_run_again_where_it_may_wait) {
    for (const auto& lost :
         {failed(sqlstate::serialization_failure), failed(sqlstate::deadlock_detected),
          failed(sqlstate::internal_error, true)}) {
        EXPECT_EQ(decide(lost, {.shared = true, .may_go_exclusive = true}),
                  verdict::repeat_exclusive);
        EXPECT_EQ(decide(lost, {.shared = true}), verdict::deliver);
        EXPECT_EQ(decide(lost, {.transaction_open = true}), verdict::deliver)
            << "a part of a transaction is not the whole of it";
        EXPECT_TRUE(lost_to_others(lost));
    }
    auto unknown = failed(sqlstate::serialization_failure);
    unknown.maybe_committed = true;
    EXPECT_FALSE(lost_to_others(unknown));
    EXPECT_FALSE(lost_to_others(failed(sqlstate::unique_violation)));
}

TEST(pg_retry, nothing_whose_outcome_is_unknown_is_repeated) {
    auto error = failed(sqlstate::unknown_prepared);
    error.maybe_committed = true;
    EXPECT_EQ(decide(error, {.shared = true}), verdict::deliver);
    EXPECT_FALSE(error.retryable());
    EXPECT_EQ(decide(failed(sqlstate::connection_failure), {.shared = true}), verdict::deliver);
}

TEST(pg_error, G42_what_a_whole_transaction_may_be_repeated_for) {
    for (const auto state : {sqlstate::serialization_failure, sqlstate::deadlock_detected,
                             sqlstate::lock_not_available, sqlstate::unknown_prepared}) {
        EXPECT_TRUE(failed(state).retryable()) << state.str();
    }
    EXPECT_TRUE(failed(sqlstate::internal_error, true).retryable());
    EXPECT_FALSE(failed(sqlstate::internal_error).retryable());
    EXPECT_FALSE(failed(sqlstate::unique_violation).retryable());
    EXPECT_FALSE(failed(sqlstate::connection_failure).retryable());
}

TEST(pg_error, becomes_a_503_or_a_500_and_never_shows_the_servers_text) {
    for (const auto state :
         {sqlstate::connection_failure, sqlstate::pool_exhausted, sqlstate::deadline_passed,
          sqlstate::query_canceled, sqlstate::serialization_failure, sqlstate::admin_shutdown,
          sqlstate::too_many_connections, sqlstate::pool_closed, sqlstate::pooler_between}) {
        EXPECT_EQ(to_error(failed(state)).code(), errc::overloaded) << state.str();
    }
    pg_error secret = failed(sqlstate::unique_violation);
    secret.message = "tenant text";
    secret.detail = "Key (email)=(someone)";
    const auto shown = to_error(secret);
    EXPECT_EQ(shown.code(), errc::internal);
    EXPECT_TRUE(shown.detail().empty());
    EXPECT_NE(shown.internal().find("tenant text"), std::string_view::npos);
}

TEST(pg_error, value_of_a_failed_result_throws_by_kind) {
    const pg_result<int> lost(failed(sqlstate::connection_failure));
    EXPECT_THROW((void)lost.value(), infrastructure_error);
    const pg_result<int> bug(failed(sqlstate::unique_violation));
    EXPECT_THROW((void)bug.value(), pg_exception);
}

TEST(pg_sqlstate, only_five_characters_are_one) {
    EXPECT_EQ(sqlstate::from("23505"), sqlstate::unique_violation);
    EXPECT_EQ(sqlstate::from("2350"), sqlstate::internal_error);
    EXPECT_EQ(sqlstate::from(""), sqlstate::internal_error);
    EXPECT_EQ(sqlstate().str(), "00000");
}

}  // namespace
}  // namespace insula::pg::detail
