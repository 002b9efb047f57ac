#include "pg/detail/statement_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace insula::pg::detail {
namespace {

constexpr const char* text = "0123456789abcdefghijklmnopqrstuvwxyz";

statement_key key(std::size_t n, std::uint8_t schema = 0, std::uint64_t types = 0) {
    uuid id;
    id.bytes[0] = schema;
    return {text + n, 1, id, types};
}

constexpr std::size_t one = 8192 + 64;  // estimate(1)

TEST(pg_statement_cache, prepares_once_and_then_uses) {
    statement_cache cache(10 * one);
    const auto first = cache.use(key(0), 1, true);
    EXPECT_TRUE(first.prepare);
    cache.acknowledged(first.number);
    const auto again = cache.use(key(0), 1, true);
    EXPECT_FALSE(again.prepare);
    EXPECT_EQ(again.number, first.number);
}

TEST(pg_statement_cache, schema_and_types_make_another_statement) {
    statement_cache cache(100 * one);
    std::set<std::uint64_t> numbers;
    for (const auto& k : {key(0), key(1), key(0, 1), key(0, 2), key(0, 0, 9)}) {
        EXPECT_TRUE(cache.use(k, 1, true).prepare);
        numbers.insert(cache.use(k, 1, true).number);
    }
    EXPECT_EQ(numbers.size(), 5U);
}

TEST(pg_statement_cache, a_pending_parse_counts_only_for_those_who_trust_it) {
    statement_cache cache(10 * one);
    const auto first = cache.use(key(0), 1, true);
    EXPECT_EQ(cache.use(key(0), 1, true).number, first.number);
    const auto second = cache.use(key(0), 1, false);
    EXPECT_TRUE(second.prepare);
    EXPECT_NE(second.number, first.number);
    // The first one's answer still comes; the server then holds a name that nobody uses.
    cache.acknowledged(first.number);
    EXPECT_EQ(cache.garbage(), std::vector<std::uint64_t>{first.number});
    cache.acknowledged(second.number);
    EXPECT_EQ(cache.use(key(0), 1, false).number, second.number);
}

TEST(pg_statement_cache, a_refused_parse_is_forgotten_and_needs_no_deallocation) {
    statement_cache cache(10 * one);
    const auto first = cache.use(key(0), 1, true);
    cache.refused(first.number);
    EXPECT_EQ(cache.size(), 0U);
    EXPECT_EQ(cache.bytes(), 0U);
    EXPECT_TRUE(cache.garbage().empty());
    EXPECT_TRUE(cache.use(key(0), 1, true).prepare);
}

TEST(pg_statement_cache, a_replaced_parse_that_is_refused_leaves_no_garbage) {
    statement_cache cache(10 * one);
    const auto first = cache.use(key(0), 1, true);
    const auto second = cache.use(key(0), 1, false);
    cache.refused(first.number);
    cache.acknowledged(second.number);
    EXPECT_TRUE(cache.garbage().empty());
    EXPECT_EQ(cache.size(), 1U);
}

TEST(pg_statement_cache, G65_the_least_recently_used_goes_when_bytes_run_out) {
    statement_cache cache(3 * one);
    std::vector<std::uint64_t> numbers;
    for (std::size_t i = 0; i < 3; ++i) {
        numbers.push_back(cache.use(key(i), 1, true).number);
        cache.acknowledged(numbers.back());
    }
    (void)cache.use(key(0), 1, true);  // 1 is now the oldest
    (void)cache.use(key(3), 1, true);
    EXPECT_EQ(cache.garbage(), std::vector<std::uint64_t>{numbers[1]});
    EXPECT_LE(cache.bytes(), 3 * one);
    EXPECT_FALSE(cache.use(key(0), 1, true).prepare);
    EXPECT_TRUE(cache.use(key(1), 1, true).prepare);
}

TEST(pg_statement_cache, a_pending_one_is_not_evicted_and_a_huge_one_still_runs) {
    statement_cache cache(one);
    const auto pending = cache.use(key(0), 1, true);
    const auto huge = cache.use(key(1), 1'000'000, true);
    EXPECT_TRUE(huge.prepare);
    EXPECT_TRUE(cache.garbage().empty());
    cache.acknowledged(pending.number);
    cache.acknowledged(huge.number);
    (void)cache.use(key(2), 1, true);
    EXPECT_EQ(cache.garbage().size(), 2U);
}

// Against a model of the server: whatever is executed without a Parse is something the server
// holds, and what it holds beyond the cache is in the garbage.
TEST(pg_statement_cache, random_histories_agree_with_a_server) {
    std::random_device device;
    const unsigned seed = device();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 dice(seed);
    for (int run = 0; run < 200; ++run) {
        statement_cache cache(5 * one);
        std::set<std::uint64_t> server;
        for (int unit = 0; unit < 200; ++unit) {
            // One unit at a time, which is aborted at a random place.
            const int parts = 1 + static_cast<int>(dice() % 4);
            const int dies_at = static_cast<int>(dice() % 8);
            bool dead = false;
            for (int i = 0; i < parts; ++i) {
                const auto use = cache.use(key(dice() % 12, static_cast<std::uint8_t>(dice() % 2)),
                                           1, dice() % 2 == 0);
                dead |= i == dies_at;
                if (use.prepare && !dead) {
                    ASSERT_TRUE(server.insert(use.number).second) << "a name twice";
                    cache.acknowledged(use.number);
                } else if (use.prepare) {
                    cache.refused(use.number);
                } else if (!dead) {
                    ASSERT_TRUE(server.contains(use.number));
                }
            }
            if (dice() % 20 == 0) {
                cache.forget(key(dice() % 12));
            }
            for (const auto number : cache.take_garbage()) {
                ASSERT_EQ(server.erase(number), 1U);
            }
            ASSERT_EQ(server.size(), cache.size());
            ASSERT_LE(cache.bytes(), 5 * one);
        }
    }
}

}  // namespace
}  // namespace insula::pg::detail
