#include "insula/token/inspect.hpp"

#include "support.hpp"

namespace insula::token::test {

namespace {
class inspecting : public with_key {};
INSTANTIATE_TEST_SUITE_P(each, inspecting, testing::ValuesIn(every_algorithm), algorithm_label);
}  // namespace

TEST_P(inspecting, a_good_token_shows_what_it_says) {
    const auto got = inspect(token + "\n", us, keys, noon);
    EXPECT_FALSE(got.why);
    EXPECT_EQ(got.what, what);
    EXPECT_EQ(got.header, header_of(k));
    EXPECT_EQ(got.payload, payload_of(what));
    EXPECT_EQ(got.kid, k.kid());
    EXPECT_EQ(got.state, key_state::active);
    EXPECT_NE(got.sentence.find("good"), std::string::npos);
}

TEST_P(inspecting, an_expired_token_shows_both_times) {
    const auto got = inspect(token, us, keys, at_second(noon_s + 890));
    EXPECT_EQ(got.why, refusal::expired);
    EXPECT_FALSE(got.what);
    EXPECT_NE(got.sentence.find(rfc3339(what.expires_at)), std::string::npos) << got.sentence;
}

TEST_P(inspecting, a_bent_token_gives_no_claims_but_shows_its_text) {
    auto bent = token;
    bent[bent.rfind('.') + 2] = bent[bent.rfind('.') + 2] == 'A' ? 'B' : 'A';
    const auto got = inspect(bent, us, keys, noon);
    EXPECT_EQ(got.why, refusal::bad_signature);
    EXPECT_FALSE(got.what);
    EXPECT_EQ(got.payload, payload_of(what));
}

TEST_P(inspecting, a_revoked_key_is_named) {
    const auto got = inspect(token, us, set_of({{k, key_state::revoked}}), noon);
    EXPECT_EQ(got.why, refusal::revoked_key);
    EXPECT_EQ(got.state, key_state::revoked);
}

TEST(inspecting_junk, never_shows_control_characters_and_never_fails) {
    const auto keys = set_of({{key::generate(algorithm::es256), key_state::active}});
    const auto evil = encode("\x1b[2J\x07{}") + "." + encode(std::string("\0\x9b", 2)) + ".AAAA";
    const auto got = inspect(evil, us, keys, noon);
    EXPECT_EQ(got.why, refusal::bad_header);
    EXPECT_EQ(got.header, "\\x1b[2J\\x07{}");
    EXPECT_EQ(got.payload, "\\x00\\x9b");
    for (const auto& junk : {std::string(), std::string("."), std::string("\n"),
                             std::string(1 << 20, 'x'), std::string("not a token at all")}) {
        EXPECT_TRUE(inspect(junk, us, keys, noon).why);
    }
}

TEST(refusals, have_names_of_their_own) {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < refusal_count; ++i) {
        names.push_back(name(static_cast<refusal>(i)));
        EXPECT_FALSE(names.back().empty());
    }
    EXPECT_EQ(names.front(), "too_long");
    EXPECT_EQ(names.back(), "not_yet_valid");
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

}  // namespace insula::token::test
