#include "insula/token/cache.hpp"

#include "support.hpp"
#include "token/siphash.hpp"

#include <cstdlib>
#include <new>

namespace {
std::size_t allocations = 0;  // the tests of this program are single-threaded
}

// Counted for this whole test program: a hit must not allocate. ThreadSanitizer's own operators
// cannot be replaced: there nothing is counted, the other passes do.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define INSULA_UNDER_TSAN 1
#endif
#endif
#ifndef INSULA_UNDER_TSAN
void* operator new(std::size_t size) {
    ++allocations;
    if (void* const memory = std::malloc(size != 0 ? size : 1)) {
        return memory;
    }
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
#endif

namespace insula::token::test {

namespace {

constexpr std::uint64_t gen = 1;

/// A text of the shape of a token; the cache does not look inside.
std::string text_of(std::size_t number, std::size_t size = 600) {
    auto text = std::to_string(number) + ".";
    while (text.size() < size) {
        text += "abcdefgh";
    }
    text.resize(size);
    const auto tail = std::to_string(number * 7919 + 1000000007);
    return text.replace(size - tail.size(), tail.size(), tail);
}

}  // namespace

TEST(verified_cache, gives_back_what_was_put_and_nothing_else) {
    verified_cache cache(64);
    const auto what = sample_claims();
    EXPECT_EQ(cache.find(text_of(1), gen, noon), nullptr);
    cache.put(text_of(1), gen, what);
    ASSERT_NE(cache.find(text_of(1), gen, noon), nullptr);
    EXPECT_EQ(*cache.find(text_of(1), gen, noon), what);
    EXPECT_EQ(cache.find(text_of(2), gen, noon), nullptr);
    EXPECT_EQ(cache.size(), 1U);
    cache.put(text_of(1), gen, what);
    EXPECT_EQ(cache.size(), 1U) << "the same token again takes no second slot";
}

TEST(verified_cache, G14_expiry_is_looked_at_on_every_hit) {
    verified_cache cache(64);
    const auto what = sample_claims();
    const timestamp end = what.expires_at;
    cache.put(text_of(1), gen, what);
    EXPECT_NE(cache.find(text_of(1), gen, end - std::chrono::microseconds(1)), nullptr);
    EXPECT_EQ(cache.find(text_of(1), gen, end), nullptr);
    EXPECT_EQ(cache.find(text_of(1), gen, noon), nullptr) << "a clock set back does not revive it";
    EXPECT_EQ(cache.size(), 0U);
}

TEST(verified_cache, G14_another_generation_of_keys_voids_it) {
    verified_cache cache(64);
    cache.put(text_of(1), gen, sample_claims());
    EXPECT_EQ(cache.find(text_of(1), gen + 1, noon), nullptr);
    EXPECT_EQ(cache.find(text_of(1), gen, noon), nullptr);
}

TEST(verified_cache, G14_an_ended_session_is_forgotten_with_all_its_tokens) {
    verified_cache cache(64);
    const auto what = sample_claims();
    auto other = sample_claims();
    cache.put(text_of(1), gen, what);
    cache.put(text_of(2), gen, what);
    cache.put(text_of(3), gen, other);
    cache.end_session(what.session);
    EXPECT_EQ(cache.find(text_of(1), gen, noon), nullptr);
    EXPECT_EQ(cache.find(text_of(2), gen, noon), nullptr);
    EXPECT_NE(cache.find(text_of(3), gen, noon), nullptr);
    EXPECT_EQ(cache.size(), 1U);
    cache.clear();
    EXPECT_EQ(cache.find(text_of(3), gen, noon), nullptr);
    EXPECT_EQ(cache.size(), 0U);
}

TEST(verified_cache, stays_within_its_bound_and_right) {
    verified_cache cache(100);
    EXPECT_EQ(cache.capacity(), 128U);
    std::vector<claims> put;
    for (std::size_t i = 0; i < 2000; ++i) {
        put.push_back(sample_claims());
        cache.put(text_of(i), gen, put.back());
        ASSERT_LE(cache.size(), cache.capacity());
        ASSERT_NE(cache.find(text_of(i), gen, noon), nullptr) << "the newest is always kept";
    }
    std::size_t found = 0;
    for (std::size_t i = 0; i < 2000; ++i) {
        if (const auto* const hit = cache.find(text_of(i), gen, noon)) {
            ASSERT_EQ(*hit, put[i]);
            ++found;
        }
    }
    EXPECT_EQ(found, cache.size());
    EXPECT_GT(found, cache.capacity() * 3 / 4);
}

TEST(verified_cache, keeps_nearly_all_tokens_until_it_is_three_quarters_full) {
    verified_cache cache(8192);
    const auto what = sample_claims();
    for (std::size_t i = 0; i < 6144; ++i) {
        cache.put(text_of(i), gen, what);
    }
    // The random key decides: 0 or 1 is lost; filling the first bucket first would lose about 60.
    EXPECT_GE(cache.size(), 6144U - 10);
}

TEST(verified_cache, drops_what_was_not_used_for_longest) {
    verified_cache cache(8);
    const auto what = sample_claims();
    for (std::size_t i = 0; i < 8; ++i) {
        cache.put(text_of(i), gen, what);
    }
    for (std::size_t i = 0; i < 8; ++i) {
        if (i != 3) {
            EXPECT_NE(cache.find(text_of(i), gen, noon), nullptr);
        }
    }
    cache.put(text_of(100), gen, what);
    EXPECT_EQ(cache.find(text_of(3), gen, noon), nullptr);
    EXPECT_NE(cache.find(text_of(0), gen, noon), nullptr);
    // Void verdicts go first, even when they were used just now.
    cache.put(text_of(101), gen + 1, what);
    EXPECT_NE(cache.find(text_of(101), gen + 1, noon), nullptr);
    cache.put(text_of(102), gen + 1, what);
    EXPECT_NE(cache.find(text_of(101), gen + 1, noon), nullptr);
}

TEST(verified_cache, G11_a_collision_is_a_miss_and_never_a_wrong_verdict) {
    verified_cache cache(8);
    cache.force_hash_collisions();
    std::vector<claims> put;
    for (std::size_t i = 0; i < 8; ++i) {
        put.push_back(sample_claims());
        cache.put(text_of(i), gen, put.back());
    }
    for (std::size_t i = 0; i < 8; ++i) {
        const auto* const hit = cache.find(text_of(i), gen, noon);
        ASSERT_NE(hit, nullptr);
        EXPECT_EQ(*hit, put[i]);
    }
    for (std::size_t i = 8; i < 100; ++i) {
        EXPECT_EQ(cache.find(text_of(i), gen, noon), nullptr);
    }
}

// Only the end is hashed; a token that ends alike must still be found different, at every byte.
TEST(verified_cache, G11_the_whole_token_is_compared) {
    verified_cache cache(8);
    for (const std::size_t size : {32U, 33U, 39U, 40U, 41U, 600U, 1023U, 1024U}) {
        cache.clear();
        const auto token = text_of(5, size);
        cache.put(token, gen, sample_claims());
        ASSERT_NE(cache.find(token, gen, noon), nullptr);
        for (std::size_t at = 0; at < size; ++at) {
            auto bent = token;
            bent[at] = static_cast<char>(bent[at] ^ 1);
            ASSERT_EQ(cache.find(bent, gen, noon), nullptr) << size << " " << at;
        }
        ASSERT_EQ(cache.find("x" + token, gen, noon), nullptr);
        ASSERT_EQ(cache.find(token.substr(1), gen, noon), nullptr);
    }
}

TEST(verified_cache, tokens_of_odd_sizes_are_simply_not_kept) {
    verified_cache cache(8);
    for (const std::size_t size : {0U, 1U, 31U, 1025U, 4096U}) {
        const std::string text(size, 'x');
        cache.put(text, gen, sample_claims());
        EXPECT_EQ(cache.find(text, gen, noon), nullptr) << size;
    }
    EXPECT_EQ(cache.size(), 0U);
}

// The reference vectors of SipHash are for 2-4; the rounds are the same code.
TEST(siphash, known_answers) {
    const siphash<2, 4> hash(0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL);
    std::array<unsigned char, 15> text{};
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] = static_cast<unsigned char>(i);
    }
    EXPECT_EQ(hash(text.data(), 15), 0xa129ca6149be45e5ULL);  // the paper's appendix A
    EXPECT_EQ(hash(text.data(), 0), 0x726fdb47dd0e0e31ULL);
}

namespace {
class checkers : public with_key {
protected:
    checker loop{us, keys, 64};
};
INSTANTIATE_TEST_SUITE_P(each, checkers, testing::ValuesIn(every_algorithm), algorithm_label);
}  // namespace

TEST_P(checkers, verifies_once_and_then_remembers) {
    EXPECT_EQ(*loop.check(token, noon).value(), what);
    EXPECT_EQ(*loop.check(token, noon).value(), what);
    EXPECT_EQ(loop.counts().verified, 1U);
    EXPECT_EQ(loop.counts().hits, 1U);
    EXPECT_EQ(loop.check(token, what.expires_at).error(), refusal::expired);
    EXPECT_EQ(loop.counts().refused[static_cast<std::size_t>(refusal::expired)], 1U);
}

TEST_P(checkers, G11_a_hit_and_a_cold_hs256_check_do_not_allocate) {
    ASSERT_TRUE(loop.check(token, noon));
    auto before = allocations;
    const bool hit = loop.check(token, noon).has_value();
    EXPECT_EQ(allocations - before, 0U);
    EXPECT_TRUE(hit);

    before = allocations;
    const bool cold = check.verify(token, noon).has_value();
    EXPECT_EQ(allocations - before, 0U);
    EXPECT_TRUE(cold);

    auto bent = token;
    bent.back() = '!';
    before = allocations;
    const bool refused = !loop.check(bent, noon);
    EXPECT_EQ(allocations - before, 0U);
    EXPECT_TRUE(refused);
}

TEST_P(checkers, G14_a_revoked_key_voids_cached_verdicts) {
    ASSERT_TRUE(loop.check(token, noon));
    loop.use(set_of({{k, key_state::revoked}, {sample_key(GetParam(), 1), key_state::active}}));
    EXPECT_EQ(loop.check(token, noon).error(), refusal::revoked_key);
    loop.use(keys);
    EXPECT_TRUE(loop.check(token, noon));
    EXPECT_EQ(loop.counts().verified, 2U);
}

TEST_P(checkers, G11_what_was_refused_is_never_remembered) {
    auto bent = token;
    bent[bent.find('.') + 3] ^= 1;
    EXPECT_FALSE(loop.check(bent, noon));
    EXPECT_FALSE(loop.check(bent, noon));
    ASSERT_TRUE(loop.check(token, noon));
    EXPECT_FALSE(loop.check(bent, noon)) << "with the good one in the cache, ending alike";
}

}  // namespace insula::token::test
