#include "support.hpp"

#include <boost/json.hpp>

#include <set>

namespace insula::token::test {

namespace {

class keys : public testing::TestWithParam<algorithm> {};
INSTANTIATE_TEST_SUITE_P(each, keys, testing::Values(algorithm::es256, algorithm::hs256),
                         algorithm_label);

secret_bytes random_kek(std::uint8_t fill) {
    const bytes octets(32, fill);
    return secret_bytes(octets);
}

}  // namespace

TEST_P(keys, exported_and_imported_it_is_the_same_key) {
    const auto k = key::generate(GetParam());
    const auto again = key::import_private(GetParam(), k.kid(), k.export_private().view()).value();
    EXPECT_EQ(again.kid(), k.kid());
    EXPECT_EQ(again.alg(), GetParam());
    EXPECT_EQ(again.public_jwk(), k.public_jwk());
    verifier check(us, set_of({{again, key_state::active}}));
    signer sign(us, set_of({{k, key_state::active}}));
    EXPECT_EQ(verdict(check, sign.sign(sample_claims()).value()), "good");
}

TEST_P(keys, every_generated_key_is_another) {
    std::set<std::string> kids;
    for (int i = 0; i < 50; ++i) {
        kids.insert(key::generate(GetParam()).kid());
    }
    EXPECT_EQ(kids.size(), 50U);
}

TEST_P(keys, sealed_it_opens_for_its_own_row_only) {
    const auto k = key::generate(GetParam());
    const auto kek = random_kek(1);
    const auto sealed = seal_key(k, kek);
    const auto opened = open_key(GetParam(), k.kid(), sealed, kek);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened.value().export_private(), k.export_private());

    const auto other_alg = GetParam() == algorithm::es256 ? algorithm::hs256 : algorithm::es256;
    EXPECT_FALSE(open_key(other_alg, k.kid(), sealed, kek));
    EXPECT_FALSE(open_key(GetParam(), key::generate(GetParam()).kid(), sealed, kek));
    EXPECT_FALSE(open_key(GetParam(), k.kid(), sealed, random_kek(2)));
    auto damaged = sealed;
    damaged.back() ^= 1;
    EXPECT_FALSE(open_key(GetParam(), k.kid(), damaged, kek));
    EXPECT_FALSE(open_key(GetParam(), k.kid(), {}, kek));
}

TEST_P(keys, the_sealed_form_does_not_show_the_private_material) {
    const auto k = key::generate(GetParam());
    const auto sealed = seal_key(k, random_kek(1));
    const auto material = k.export_private();
    const auto needle = material.view().last(16);
    EXPECT_EQ(std::search(sealed.begin(), sealed.end(), needle.begin(), needle.end()),
              sealed.end());
}

TEST_P(keys, material_that_is_no_key_is_refused) {
    const auto k = key::generate(GetParam());
    auto material = k.export_private();
    const auto all = material.view();
    EXPECT_FALSE(key::import_private(GetParam(), k.kid(), all.first(all.size() / 2)));
    EXPECT_FALSE(key::import_private(GetParam(), k.kid(), {}));
    EXPECT_FALSE(key::import_private(GetParam(), "", all));
    EXPECT_FALSE(key::import_private(GetParam(), "a\"b", all));
    EXPECT_FALSE(key::import_private(GetParam(), std::string(65, 'a'), all));
}

TEST(es256_key, import_refuses_trailing_bytes_another_curve_and_a_foreign_kid) {
    const auto k = key::generate(algorithm::es256);
    const auto material = k.export_private();
    bytes longer(material.view().begin(), material.view().end());
    longer.push_back(0);
    EXPECT_FALSE(key::import_private(algorithm::es256, k.kid(), longer));
    EXPECT_FALSE(key::import_private(algorithm::es256, key::generate(algorithm::es256).kid(),
                                     material.view()));

    key::parts other;
    other.pair.reset(EVP_EC_gen("P-384"));
    EXPECT_FALSE(es256_row.import_private(es256_row.export_private(other).view()));
    other.pair.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    EXPECT_FALSE(es256_row.import_private(es256_row.export_private(other).view()));
}

TEST(es256_key, its_kid_is_the_thumbprint_of_its_published_half) {
    const auto k = key::generate(algorithm::es256);
    const auto jwk = boost::json::parse(k.public_jwk()).as_object();
    EXPECT_EQ(jwk.at("kty").as_string(), "EC");
    EXPECT_EQ(jwk.at("crv").as_string(), "P-256");
    EXPECT_EQ(jwk.at("alg").as_string(), "ES256");
    EXPECT_EQ(jwk.at("use").as_string(), "sig");
    EXPECT_FALSE(jwk.contains("d"));
    const auto text = [&](const char* member) { return std::string(jwk.at(member).as_string()); };
    EXPECT_EQ(text("kid"), k.kid());
    EXPECT_EQ(jwk_thumbprint(R"("crv":"P-256","kty":"EC","x":")" + text("x") + R"(","y":")" +
                             text("y") + "\""),
              k.kid());
    EXPECT_EQ(text("x").size(), 43U) << "leading zero octets are kept (RFC 7518 6.2.1.2)";
}

TEST(hs256_key, has_no_public_half_and_its_kid_says_nothing_about_it) {
    const auto k = key::generate(algorithm::hs256);
    EXPECT_FALSE(k.has_public_half());
    EXPECT_EQ(k.public_jwk(), "");
    EXPECT_EQ(k.kid().size(), 22U);
    EXPECT_EQ(k.export_private().size(), 32U);
}

TEST(hs256_key, short_secrets_are_refused) {
    const bytes weak(31, 1);
    EXPECT_FALSE(key::import_private(algorithm::hs256, "weak", weak));
}

TEST(algorithms, names_are_exact) {
    EXPECT_EQ(parse_algorithm("ES256"), algorithm::es256);
    EXPECT_EQ(parse_algorithm("HS256"), algorithm::hs256);
    for (const auto* text : {"es256", "Es256", "none", "", "ES256 ", "HS384"}) {
        EXPECT_FALSE(parse_algorithm(text)) << text;
    }
    for (const auto one : {algorithm::es256, algorithm::hs256}) {
        EXPECT_EQ(row_of(one).id, one) << "the table is in the order of the enumeration";
        EXPECT_LE(row_of(one).signature_bytes, signature_bytes_max);
    }
}

TEST(key_sets, the_first_active_key_signs) {
    const auto old = key::generate(algorithm::es256);
    const auto revoked = key::generate(algorithm::es256);
    const auto newest = key::generate(algorithm::hs256);
    const auto second = key::generate(algorithm::es256);
    const auto keys = set_of({{revoked, key_state::revoked},
                              {newest, key_state::active},
                              {second, key_state::active},
                              {old, key_state::retiring}});
    ASSERT_NE(keys->signing(), nullptr);
    EXPECT_EQ(keys->signing()->value.kid(), newest.kid());
    EXPECT_EQ(keys->find(old.kid())->state, key_state::retiring);
    EXPECT_EQ(keys->find(revoked.kid())->state, key_state::revoked);
    EXPECT_EQ(keys->find("nobody"), nullptr);
    EXPECT_EQ(set_of({{old, key_state::retiring}})->signing(), nullptr);
}

TEST(key_sets, each_snapshot_has_its_own_generation) {
    const auto k = key::generate(algorithm::hs256);
    EXPECT_NE(set_of({{k, key_state::active}})->generation(),
              set_of({{k, key_state::active}})->generation());
}

TEST(key_sets, a_kid_twice_or_too_many_keys_are_refused) {
    const auto k = key::generate(algorithm::hs256);
    EXPECT_FALSE(key_set::make({{k, key_state::active}, {k, key_state::revoked}}));
    std::vector<key_entry> many;
    for (int i = 0; i < 65; ++i) {
        many.push_back({key::generate(algorithm::hs256), key_state::active});
    }
    EXPECT_FALSE(key_set::make(many));
    many.pop_back();
    EXPECT_TRUE(key_set::make(many));
}

TEST(key_sets, state_names_round_trip) {
    for (const auto state : {key_state::active, key_state::retiring, key_state::revoked}) {
        EXPECT_EQ(parse_key_state(name(state)), state);
    }
    EXPECT_FALSE(parse_key_state("Active"));
}

}  // namespace insula::token::test
