#include "insula/identity/refresh_token.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/random.hpp"

#include <gtest/gtest.h>

#include <set>

namespace insula::identity {
namespace {

secret_keys keys_from(std::string_view key) {
    return secret_keys(secret_bytes(as_bytes(key)));
}

class refresh_tokens : public testing::Test {
protected:
    secret_keys keys_ = keys_from("0123456789abcdef0123456789abcdef");
    session_id session_ = session_id::make();
};

TEST_F(refresh_tokens, G13_a_token_has_one_successor_on_every_process) {
    const auto first = refresh_token::first(keys_, session_);
    const auto elsewhere = keys_from("0123456789abcdef0123456789abcdef");
    const auto there = refresh_token::parse(elsewhere, first.text().view());
    ASSERT_TRUE(there);
    EXPECT_EQ(there->session(), session_);
    EXPECT_EQ(there->stored(), first.stored());
    EXPECT_EQ(first.successor(keys_).text(), there->successor(elsewhere).text());
    std::set<std::string> chain;
    auto latest = refresh_token::parse(keys_, first.text().view());
    for (int i = 0; i < 100; ++i) {
        chain.emplace(latest->text().view());
        latest = refresh_token::parse(keys_, latest->successor(keys_).text().view());
        ASSERT_TRUE(latest);
        EXPECT_EQ(latest->session(), session_);
    }
    EXPECT_EQ(chain.size(), 100U);
}

TEST_F(refresh_tokens, first_ones_are_random) {
    std::set<std::string> all;
    for (int i = 0; i < 100; ++i) {
        all.emplace(refresh_token::first(keys_, session_).text().view());
    }
    EXPECT_EQ(all.size(), 100U);
}

TEST_F(refresh_tokens, every_changed_bit_is_refused) {
    const auto token = refresh_token::first(keys_, session_);
    const auto raw = *base64url_decode(token.text().view());
    ASSERT_EQ(raw.size(), 64U);
    for (std::size_t bit = 0; bit < raw.size() * 8; ++bit) {
        auto bent = raw;
        bent[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        EXPECT_FALSE(refresh_token::parse(keys_, base64url_encode(bent))) << bit;
    }
}

TEST_F(refresh_tokens, other_texts_are_refused) {
    const std::string good(refresh_token::first(keys_, session_).text().view());
    ASSERT_TRUE(refresh_token::parse(keys_, good));
    auto second_spelling = good;  // the last character has four bits that count for nothing
    second_spelling.back() = good.back() == 'Q' ? 'R' : static_cast<char>(good.back() + 1);
    for (const auto& bad :
         {std::string(), std::string("A"), good.substr(1), good.substr(0, 85), good + "A",
          good + "=", good + " ", second_spelling, std::string(86, 'A'), std::string(86, '\0'),
          std::string(86, '='), std::string(10'000, 'A'), std::string(random_token_256().view()),
          session_.str()}) {
        EXPECT_FALSE(refresh_token::parse(keys_, bad)) << bad;
    }
    EXPECT_FALSE(refresh_token::parse(keys_from("another key of 32 bytes, as long"), good));
}

TEST_F(refresh_tokens, halves_of_two_tokens_are_no_token) {
    const auto mine = *base64url_decode(refresh_token::first(keys_, session_).text().view());
    const auto other =
        *base64url_decode(refresh_token::first(keys_, session_id::make()).text().view());
    for (const std::size_t at : {16U, 48U}) {
        bytes mixed(mine.begin(), mine.begin() + static_cast<std::ptrdiff_t>(at));
        mixed.insert(mixed.end(), other.begin() + static_cast<std::ptrdiff_t>(at), other.end());
        EXPECT_FALSE(refresh_token::parse(keys_, base64url_encode(mixed))) << at;
    }
}

}  // namespace
}  // namespace insula::identity
