// What a good token is, and every rule about its claims.
#include "support.hpp"

#include <boost/json.hpp>

#include <stdexcept>

namespace insula::token::test {

namespace {

class tokens : public with_key {};
INSTANTIATE_TEST_SUITE_P(each, tokens, testing::ValuesIn(every_algorithm), algorithm_label);

class payloads : public with_key {
protected:
    std::string verdict_of(std::string_view payload, timestamp now = noon) {
        return verdict(check, forge(header_of(k), payload, k), now);
    }
    std::string good = payload_of(what);
};
INSTANTIATE_TEST_SUITE_P(fast, payloads, testing::Values(algorithm::hs256), algorithm_label);

}  // namespace

TEST_P(tokens, what_was_signed_is_what_is_read) {
    EXPECT_EQ(check.verify(token, noon).value(), what);

    what.actor = user_id::make();
    what.role = role::owner;
    EXPECT_EQ(check.verify(sign.sign(what).value(), noon).value(), what);

    what.actor.reset();
    what.tenant.reset();  // an operator's token
    what.role = role::none;
    what.session_version = 0;
    EXPECT_EQ(check.verify(sign.sign(what).value(), noon).value(), what);
}

TEST_P(tokens, have_the_header_and_claims_of_the_contract) {
    const auto first = token.find('.');
    const auto second = token.find('.', first + 1);
    const auto header = base64url_decode(token.substr(0, first)).value();
    EXPECT_EQ(as_text(header), header_of(k));
    const auto payload = base64url_decode(token.substr(first + 1, second - first - 1)).value();
    const auto tree = boost::json::parse(std::string(as_text(payload))).as_object();
    EXPECT_EQ(tree.at("iss").as_string(), us.issuer);
    EXPECT_EQ(tree.at("aud").as_string(), us.audience);
    EXPECT_EQ(tree.at("sub").as_string(), what.subject.str());
    EXPECT_EQ(tree.at("tid").as_string(), what.tenant->str());
    EXPECT_EQ(tree.at("role").as_string(), "admin");
    EXPECT_EQ(tree.at("sid").as_string(), what.session.str());
    EXPECT_EQ(tree.at("sver").as_int64(), 7);
    EXPECT_EQ(tree.at("jti").as_string(), what.id.str());
    EXPECT_EQ(tree.at("iat").as_int64(), noon_s - 10);
    EXPECT_EQ(tree.at("exp").as_int64(), noon_s + 890);
    EXPECT_EQ(tree.size(), 10U);
}

TEST_P(tokens, expire_to_the_microsecond) {
    const timestamp end = what.expires_at;
    EXPECT_EQ(verdict(check, token, end - std::chrono::microseconds(1)), "good");
    EXPECT_EQ(verdict(check, token, end), "expired");
    EXPECT_EQ(verdict(check, token, end + std::chrono::hours(1)), "expired");
}

TEST_P(tokens, the_longest_we_sign_is_accepted) {
    const authority wordy{"https://" + std::string(247, 'i'), std::string(255, 'a')};
    verifier wide(wordy, keys);
    signer by(wordy, keys);
    what.actor = user_id::make();
    what.role = role::member;
    what.session_version = (std::int64_t{1} << 53) - 1;
    what.expires_at = std::chrono::sys_seconds(std::chrono::seconds(253402300799));
    const auto longest = by.sign(what).value();
    EXPECT_LE(longest.size(), token_bytes_max);
    EXPECT_EQ(wide.verify(longest, noon).value(), what);
}

TEST_P(tokens, of_a_retiring_key_verify_and_of_a_revoked_key_do_not) {
    const auto next = sample_key(GetParam(), 1);
    check.use(set_of({{next, key_state::active}, {k, key_state::retiring}}));
    EXPECT_EQ(verdict(check, token), "good");
    signer by(us, set_of({{next, key_state::active}, {k, key_state::retiring}}));
    EXPECT_EQ(verdict(check, by.sign(what).value()), "good");
    check.use(set_of({{next, key_state::active}, {k, key_state::revoked}}));
    EXPECT_EQ(verdict(check, token), "revoked_key");
    check.use(set_of({{next, key_state::active}}));
    EXPECT_EQ(verdict(check, token), "unknown_key");
    check.use(keys);
    EXPECT_EQ(verdict(check, token), "good");
}

TEST_P(tokens, of_another_issuer_or_audience_are_refused) {
    signer other(authority{"https://insula.example/", us.audience}, keys);
    EXPECT_EQ(verdict(check, other.sign(what).value()), "wrong_issuer");
    signer third(authority{us.issuer, "insul"}, keys);
    EXPECT_EQ(verdict(check, third.sign(what).value()), "wrong_audience");
}

TEST_P(tokens, our_key_under_another_spelling_of_the_header_is_still_our_key) {
    const auto header = R"( {"typ":"at+jwt", "kid":")" + k.kid() +
                        R"(",)"
                        "\r\n"
                        R"("alg":")" +
                        std::string(name(k.alg())) + "\"}\n";
    EXPECT_EQ(verdict(check, forge(header, payload_of(what), k)), "good");
}

TEST_P(tokens, a_signer_without_an_active_key_says_so) {
    signer none(us, set_of({{k, key_state::retiring}}));
    EXPECT_EQ(none.sign(what).error().code(), errc::internal);
    none.use(keys);
    EXPECT_TRUE(none.sign(what));
}

TEST_P(tokens, what_no_verifier_accepts_is_not_signed) {
    auto bad = what;
    bad.role = role::none;
    EXPECT_FALSE(sign.sign(bad));
    bad = what;
    bad.tenant.reset();
    EXPECT_FALSE(sign.sign(bad));
    bad = what;
    bad.session_version = -1;
    EXPECT_FALSE(sign.sign(bad));
    bad = what;
    bad.expires_at = bad.issued_at;
    EXPECT_FALSE(sign.sign(bad));
}

TEST(authorities, whose_names_need_escaping_are_refused) {
    const auto keys = set_of({{key::generate(algorithm::hs256), key_state::active}});
    for (const auto& bad : {authority{"", "a"}, authority{"a", ""}, authority{"a\"b", "a"},
                            authority{"a", "a\\b"}, authority{"a b", "a"}, authority{"a\n", "a"},
                            authority{"\xc3\xa4", "a"}, authority{std::string(256, 'a'), "a"}}) {
        EXPECT_THROW(verifier(bad, keys), std::invalid_argument) << bad.issuer;
        EXPECT_THROW(signer(bad, keys), std::invalid_argument) << bad.issuer;
    }
}

TEST_P(payloads, every_required_claim_is_required) {
    const auto tree = boost::json::parse(good).as_object();
    for (const auto& claim : tree) {
        auto less = tree;
        less.erase(claim.key());
        EXPECT_EQ(verdict_of(boost::json::serialize(less)), "bad_claims") << claim.key();
    }
    auto neither = tree;
    neither.erase("tid");
    neither.erase("role");
    EXPECT_EQ(verdict_of(boost::json::serialize(neither)), "good");
}

TEST_P(payloads, claims_may_come_in_any_order_with_white_space_and_unknown_ones_between) {
    const auto tree = boost::json::parse(good).as_object();
    std::string text = "\n{ ";
    for (auto it = tree.end(); it != tree.begin();) {
        --it;
        text +=
            "\"" + std::string(it->key()) + "\" :\t" + boost::json::serialize(it->value()) + " , ";
    }
    text += R"("new":[1,{"deep":[true,null,-1.5e+3]}],"more":{},"list":[]})"
            "\r\n";
    EXPECT_EQ(verdict_of(text), "good");
}

TEST_P(payloads, G11_odd_numbers_in_exp_are_refused) {
    const auto exp = std::to_string(noon_s + 890);
    for (const auto& odd : std::vector<std::string>{"\"" + exp + "\"",
                                                    exp + ".0",
                                                    exp + "e0",
                                                    exp + "E0",
                                                    "+" + exp,
                                                    "-" + exp,
                                                    "0" + exp,
                                                    "0x6b03",
                                                    std::string("1e300"),
                                                    std::string("null"),
                                                    std::string("true"),
                                                    std::string("NaN"),
                                                    std::string("Infinity"),
                                                    std::string("[" + exp + "]"),
                                                    std::string("{}"),
                                                    std::string(""),
                                                    std::string("18446744073709551616"),
                                                    std::string("9223372036854775808"),
                                                    std::string("99999999999999999999999999999999"),
                                                    std::string("253402300800"),
                                                    std::string("9007199254740993"),
                                                    exp + " 1",
                                                    exp + "\\u0030",
                                                    "\xef\xbc\x91" + exp}) {
        EXPECT_EQ(verdict_of(changed(good, "\"exp\":" + exp, "\"exp\":" + odd)), "bad_claims")
            << odd;
    }
    EXPECT_EQ(verdict_of(changed(good, "\"exp\":" + exp, "\"exp\":0")), "bad_claims")
        << "exp before iat";
    EXPECT_EQ(verdict_of(changed(good, "\"exp\":" + exp, "\"exp\":253402300799")), "good");
}

TEST_P(payloads, not_before_and_a_future_issue_are_honoured) {
    const auto with = [&](std::string_view more) { return changed(good, "{", more); };
    const auto nbf = [&](std::int64_t at) { return with("{\"nbf\":" + std::to_string(at) + ","); };
    EXPECT_EQ(verdict_of(nbf(noon_s)), "good");
    EXPECT_EQ(verdict_of(nbf(noon_s + 1)), "not_yet_valid");
    EXPECT_EQ(verdict_of(nbf(noon_s + 1), noon + std::chrono::seconds(1)), "good");
    EXPECT_EQ(verdict_of(with(R"({"nbf":"1",)")), "bad_claims");
    EXPECT_EQ(verdict_of(with(R"({"nbf":1.5,)")), "bad_claims");

    const timestamp issued = what.issued_at;
    EXPECT_EQ(verdict_of(good, issued - verifier::iat_ahead_max), "good");
    EXPECT_EQ(verdict_of(good, issued - verifier::iat_ahead_max - std::chrono::seconds(1)),
              "not_yet_valid");
}

TEST_P(payloads, G11_duplicate_members_are_refused) {
    const auto tree = boost::json::parse(good).as_object();
    for (const auto& claim : tree) {
        const auto member =
            "\"" + std::string(claim.key()) + "\":" + boost::json::serialize(claim.value());
        EXPECT_EQ(verdict_of("{" + member + "," + good.substr(1)), "bad_claims") << claim.key();
    }
    EXPECT_EQ(verdict_of(changed(good, "{", R"({"x":1,"x":1,)")), "bad_claims");
    EXPECT_EQ(verdict_of(changed(good, "{", R"({"x":{"y":1,"y":1},)")), "bad_claims");
    EXPECT_EQ(verdict_of(changed(good, "{", R"({"nbf":1,"nbf":1,)")), "bad_claims");
    EXPECT_EQ(verdict_of(changed(good, "{", R"({"\u0065xp":99999999999,)")), "bad_claims")
        << "an escaped name may hide a duplicate";
}

TEST_P(payloads, ids_have_one_spelling) {
    const auto sub = what.subject.str();
    auto upper = sub;
    for (auto& c : upper) {
        c = static_cast<char>(std::toupper(c));
    }
    for (const auto& odd : {upper, "{" + sub + "}", sub + " ", sub.substr(1), std::string(),
                            "urn:uuid:" + sub, std::string(36, '-'), std::string(36, '0'),
                            sub.substr(0, 35) + "g", "g" + sub.substr(1)}) {
        if (odd == sub) {
            continue;
        }
        EXPECT_EQ(verdict_of(changed(good, "\"sub\":\"" + sub, "\"sub\":\"" + odd)), "bad_claims")
            << odd;
    }
    EXPECT_EQ(verdict_of(changed(good, "\"sub\":\"" + sub + "\"", "\"sub\":null")), "bad_claims");
}

TEST_P(payloads, roles_and_versions_are_what_they_can_be) {
    for (const auto* odd :
         {"\"\"", "\"root\"", "\"Admin\"", "\"none\"", "null", "3", "[\"admin\"]"}) {
        EXPECT_EQ(verdict_of(changed(good, "\"admin\"", odd)), "bad_claims") << odd;
    }
    for (const auto* odd : {"-1", "7.0", "\"7\"", "9007199254740992", "null", "07"}) {
        EXPECT_EQ(verdict_of(changed(good, "\"sver\":7", std::string("\"sver\":") + odd)),
                  "bad_claims")
            << odd;
    }
    EXPECT_EQ(verdict_of(changed(good, "\"insula\"", "[\"insula\"]")), "bad_claims")
        << "an audience list is not what we sign";
}

TEST_P(payloads, the_actor_is_one_subject) {
    what.tenant.reset();  // room for payloads with more than one actor
    what.role = role::none;
    good = payload_of(what);
    const auto with = [&](std::string_view act) {
        return verdict_of(changed(good, "{", "{\"act\":" + std::string(act) + ","));
    };
    const auto sub = R"("sub":")" + user_id::make().str() + "\"";
    EXPECT_EQ(with("{" + sub + "}"), "good");
    EXPECT_EQ(with("{}"), "bad_claims");
    EXPECT_EQ(with("{" + sub + "," + sub + "}"), "bad_claims");
    EXPECT_EQ(with("{" + sub + ",\"act\":{" + sub + "}}"), "bad_claims");
    EXPECT_EQ(with("{\"sub\":\"me\"}"), "bad_claims");
    EXPECT_EQ(with("null"), "bad_claims");
    EXPECT_EQ(with("[]"), "bad_claims");
}

TEST_P(payloads, that_are_not_one_json_object_are_refused) {
    for (const auto& odd : {std::string(),
                            std::string("{}"),
                            std::string("null"),
                            "[" + good + "]",
                            good + "{}",
                            good + ",",
                            good.substr(0, good.size() - 1),
                            "\xef\xbb\xbf" + good,
                            good + '\0',
                            changed(good, "{", "{,"),
                            changed(good, "}", ",}"),
                            changed(good, ",", ",,"),
                            changed(good, ":", "="),
                            changed(good, "\"iss\"", "'iss'"),
                            changed(good, "{", "{/**/"),
                            changed(good, "{", "{\"x\":tru,"),
                            changed(good, "{", "{\"x\":01,"),
                            changed(good, "{", "{\"x\":[1,],"),
                            changed(good, "{", "{\"x\":\"\n\","),
                            changed(good, "{", "{\"x\":\"\x7f\xff\","),
                            changed(good, "{", "{\"x\":[[[[[1]]]]],"),
                            changed(good, "https:", "https\\u003a")}) {
        EXPECT_EQ(verdict_of(odd), "bad_claims") << odd;
    }
}

}  // namespace insula::token::test
