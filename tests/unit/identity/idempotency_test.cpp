#include "insula/identity/idempotency.hpp"

#include <gtest/gtest.h>

#include <set>

namespace insula::identity {
namespace {

secret_keys keys_from(std::uint8_t seed) {
    secret_bytes key(32);
    for (auto& byte : key.writable()) {
        byte = seed++;
    }
    return secret_keys(key);
}

struct idempotency_keys : testing::Test {
    secret_keys keys = keys_from(1);
};

TEST_F(idempotency_keys, hashes_differ_wherever_one_character_moves) {
    const std::set<digest_256> all{
        keys.idempotency_hash("ab", "c", "d"),        keys.idempotency_hash("a", "bc", "d"),
        keys.idempotency_hash("ab", "cd", ""),        keys.idempotency_hash("", "ab", "cd"),
        keys.idempotency_hash("1 1", "1", ""),        keys.idempotency_hash("1", "1 1", ""),
        keys_from(2).idempotency_hash("ab", "c", "d")};
    EXPECT_EQ(all.size(), 7U);
    EXPECT_EQ(keys.idempotency_hash("ab", "c", "d"), keys_from(1).idempotency_hash("ab", "c", "d"))
        << "every process must find what another has stored";
}

TEST_F(idempotency_keys, an_answer_opens_for_its_own_key_only) {
    const auto about = keys.idempotency_hash("a", "b", "c");
    const auto other = keys.idempotency_hash("a", "b", "d");
    const auto sealed = keys.seal_answer("202\n/registrations/secret\n\n{}", about);
    EXPECT_EQ(keys.open_answer(sealed, about), "202\n/registrations/secret\n\n{}");
    EXPECT_FALSE(keys.open_answer(sealed, other));
    EXPECT_FALSE(keys_from(2).open_answer(sealed, about));
    EXPECT_EQ(as_text(sealed).find("secret"), std::string_view::npos);
}

TEST_F(idempotency_keys, without_a_key_nothing_is_added_to_the_unit) {
    pg::unit work;
    const once_only<int> once;
    once.add_to(work, 7);
    EXPECT_TRUE(work.empty());
    EXPECT_FALSE(once.explain({.state = idempotency_answered}));
}

TEST_F(idempotency_keys, with_one_it_is_one_statement) {
    pg::unit work;
    idempotency key(keys, "/things", "", "key", "body");
    const once_only<int> once{&key, [](int made) { return std::to_string(made); }};
    once.add_to(work, 7);
    EXPECT_EQ(work.size(), 1U);
}

TEST_F(idempotency_keys, only_the_database_says_what_has_been_answered) {
    idempotency key(keys, "/things", "", "key", "body");
    EXPECT_EQ(key.explain({.state = idempotency_running})->code(), errc::idempotency_in_progress);
    EXPECT_EQ(key.explain({.state = idempotency_other_body})->code(), errc::idempotency_key_reused);
    EXPECT_FALSE(key.explain({.state = pg::sqlstate::unique_violation}));
    EXPECT_FALSE(key.answered());
    EXPECT_TRUE(key.explain({.state = idempotency_answered}));
    EXPECT_TRUE(key.answered());
}

}  // namespace
}  // namespace insula::identity
