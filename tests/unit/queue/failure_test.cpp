#include "insula/queue/failure.hpp"

#include <gtest/gtest.h>

namespace insula::queue {
namespace {

pg::pg_error error_of(const char (&state)[6], std::string message = {}) {
    return {.state = pg::sqlstate::from(state), .message = std::move(message)};
}

TEST(queue_failure, what_the_server_may_do_better_next_time_is_retryable) {
    for (const auto& e :
         {error_of("40001"), error_of("40P01"), error_of("55P03"), error_of("08006"),
          error_of("57P01"), error_of("57014"), error_of("53100"), error_of("53300"),
          error_of("XX000", "tuple concurrently updated"), error_of("XX000"), error_of("IN001"),
          error_of("IN002")}) {
        EXPECT_FALSE(failure(e).is_final()) << e.state.str();
    }
}

TEST(queue_failure, what_is_wrong_in_itself_is_final) {
    for (const auto& e :
         {error_of("23505"), error_of("42501"), error_of("42P01"), error_of("22P02"),
          error_of("P0001"), error_of("IT001"), error_of("0A000")}) {
        EXPECT_EQ(failure(e).is_final(), !e.retryable()) << e.state.str();
    }
    EXPECT_TRUE(failure(error_of("23505")).is_final());
    EXPECT_TRUE(failure(error_of("42501")).is_final());
}

TEST(queue_failure, server_text_is_for_operators_only) {
    const failure f(error_of("23505", "Key (email)=(a@b) already exists."));
    EXPECT_EQ(f.code(), "database_error");
    EXPECT_EQ(f.detail(), "");
    EXPECT_EQ(f.internal(), "23505 Key (email)=(a@b) already exists.");
}

TEST(queue_failure, errors_of_the_api_keep_their_code) {
    const failure f(error(errc::slug_taken, "somebody was faster"));
    EXPECT_TRUE(f.is_final());
    EXPECT_EQ(f.code(), "slug_taken");
    EXPECT_EQ(f.detail(), "somebody was faster");
    EXPECT_FALSE(failure(error(errc::overloaded)).is_final());
}

step_result<> returns_an_error_of(int what) {
    switch (what) {
        case 0:
            return {};
        case 1:
            return error_of("40001");
        case 2:
            return error(errc::not_found);
        default:
            return failure::final("no_good");
    }
}

TEST(queue_failure, every_kind_of_error_can_be_returned_from_a_step) {
    EXPECT_TRUE(returns_an_error_of(0));
    EXPECT_EQ(returns_an_error_of(1).error().code(), "database_error");
    EXPECT_EQ(returns_an_error_of(2).error().code(), "not_found");
    EXPECT_EQ(returns_an_error_of(3).error().code(), "no_good");
}

}  // namespace
}  // namespace insula::queue
