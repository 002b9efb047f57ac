#include "support.hpp"
#include "token/pkcs8.hpp"

#include <boost/json.hpp>

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <map>
#include <set>

namespace insula::token::test {

namespace {

class keys : public testing::TestWithParam<algorithm> {};
INSTANTIATE_TEST_SUITE_P(each, keys, testing::ValuesIn(every_algorithm), algorithm_label);

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
    const std::size_t many = GetParam() == algorithm::rs256 ? 3 : 50;  // of RSA they are dear
    for (std::size_t i = 0; i < many; ++i) {
        kids.insert(key::generate(GetParam()).kid());
    }
    EXPECT_EQ(kids.size(), many);
}

TEST_P(keys, sealed_it_opens_for_its_own_row_only) {
    const auto k = sample_key(GetParam(), 1);
    const auto kek = random_kek(1);
    const auto sealed = seal_key(k, kek);
    const auto opened = open_key(GetParam(), k.kid(), sealed, kek);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened.value().export_private(), k.export_private());

    for (const auto other : every_algorithm) {
        EXPECT_EQ(open_key(other, k.kid(), sealed, kek).has_value(), other == GetParam());
    }
    EXPECT_FALSE(open_key(GetParam(), sample_key(GetParam(), 2).kid(), sealed, kek));
    EXPECT_FALSE(open_key(GetParam(), k.kid(), sealed, random_kek(2)));
    auto damaged = sealed;
    damaged.back() ^= 1;
    EXPECT_FALSE(open_key(GetParam(), k.kid(), damaged, kek));
    EXPECT_FALSE(open_key(GetParam(), k.kid(), {}, kek));
}

TEST_P(keys, the_sealed_form_does_not_show_the_private_material) {
    const auto k = sample_key(GetParam(), 1);
    const auto sealed = seal_key(k, random_kek(1));
    const auto material = k.export_private();
    const auto needle = material.view().last(16);
    EXPECT_EQ(std::search(sealed.begin(), sealed.end(), needle.begin(), needle.end()),
              sealed.end());
}

TEST_P(keys, material_that_is_no_key_is_refused) {
    const auto k = sample_key(GetParam(), 1);
    auto material = k.export_private();
    const auto all = material.view();
    EXPECT_FALSE(key::import_private(GetParam(), k.kid(), all.first(all.size() / 2)));
    EXPECT_FALSE(key::import_private(GetParam(), k.kid(), {}));
    EXPECT_FALSE(key::import_private(GetParam(), "", all));
    EXPECT_FALSE(key::import_private(GetParam(), "a\"b", all));
    EXPECT_FALSE(key::import_private(GetParam(), std::string(65, 'a'), all));
}

TEST_P(keys, material_of_another_algorithm_is_refused) {
    const auto k = sample_key(GetParam());
    for (const auto other : every_algorithm) {
        // Any octets are a secret, if there are enough of them: what a row's algorithm is, its seal
        // says.
        if (other != GetParam() && other != algorithm::hs256) {
            EXPECT_FALSE(key::import_private(other, k.kid(), k.export_private().view()))
                << name(other);
        }
    }
}

// What everybody may read: the public half alone, its kid the thumbprint of exactly that (RFC
// 7638).
TEST_P(keys, G11_the_published_half_holds_nothing_private) {
    const auto k = sample_key(GetParam());
    if (!k.has_public_half()) {
        EXPECT_EQ(k.public_jwk(), "");
        return;
    }
    const auto jwk = boost::json::parse(k.public_jwk()).as_object();
    const auto text = [&](const char* member) { return std::string(jwk.at(member).as_string()); };
    EXPECT_EQ(text("alg"), name(GetParam()));
    EXPECT_EQ(text("use"), "sig");
    EXPECT_EQ(text("kid"), k.kid());
    std::map<std::string, std::string> required;  // in the order of RFC 7638 section 3.3
    for (const auto& member : jwk) {
        if (member.key() != "alg" && member.key() != "use" && member.key() != "kid") {
            required[std::string(member.key())] = std::string(member.value().as_string());
        }
    }
    const std::map<algorithm, std::vector<std::string>> expected{
        {algorithm::es256, {"crv", "kty", "x", "y"}},
        {algorithm::eddsa, {"crv", "kty", "x"}},
        {algorithm::rs256, {"e", "kty", "n"}}};
    std::vector<std::string> names;
    std::string members;
    for (const auto& [name, value] : required) {
        names.push_back(name);
        members += (members.empty() ? "\"" : ",\"") + name + "\":\"" + value + "\"";
    }
    EXPECT_EQ(names, expected.at(GetParam())) << "no d, p, q, dp, dq, qi, k";
    EXPECT_EQ(jwk_thumbprint(members), k.kid());
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

TEST(es256_key, leading_zero_octets_of_a_coordinate_are_published) {
    for (int i = 0; i < 600; ++i) {  // once in 128 keys
        const auto k = key::generate(algorithm::es256);
        const auto jwk = boost::json::parse(k.public_jwk()).as_object();
        ASSERT_EQ(jwk.at("x").as_string().size(), 43U) << "RFC 7518 section 6.2.1.2";
        ASSERT_EQ(jwk.at("y").as_string().size(), 43U);
    }
}

namespace {

/// The numbers of an RSA key, to be bent before they become a key again.
struct rsa_numbers {
    std::map<std::string, bignum_ptr> values;

    explicit rsa_numbers(EVP_PKEY* of) {
        for (const char* name : {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E,
                                 OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1,
                                 OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                 OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1}) {
            BIGNUM* raw = nullptr;
            EXPECT_EQ(EVP_PKEY_get_bn_param(of, name, &raw), 1);
            values[name].reset(raw);
        }
    }
    pkey_ptr pair() const {
        OSSL_PARAM_BLD* const build = OSSL_PARAM_BLD_new();
        for (const auto& [name, value] : values) {
            OSSL_PARAM_BLD_push_BN(build, name.c_str(), value.get());
        }
        OSSL_PARAM* const params = OSSL_PARAM_BLD_to_param(build);
        const pkey_ctx_ptr ctx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
        EVP_PKEY* made = nullptr;
        EXPECT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1);
        EXPECT_EQ(EVP_PKEY_fromdata(ctx.get(), &made, EVP_PKEY_KEYPAIR, params), 1);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(build);
        return pkey_ptr(made);
    }
};

pkey_ptr rsa_of(int bits, unsigned long exponent) {
    const pkey_ctx_ptr ctx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
    const bignum_ptr e(BN_new());
    BN_set_word(e.get(), exponent);
    EVP_PKEY* made = nullptr;
    EXPECT_EQ(EVP_PKEY_keygen_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx.get(), bits), 1);
    if (bits >= 4096) {  // of four primes it takes a tenth of the seconds
        EXPECT_EQ(EVP_PKEY_CTX_set_rsa_keygen_primes(ctx.get(), 4), 1);
    }
    EXPECT_EQ(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx.get(), e.get()), 1);
    EXPECT_EQ(EVP_PKEY_keygen(ctx.get(), &made), 1);
    return pkey_ptr(made);
}

bool is_accepted(EVP_PKEY* pair) {
    return rs256_row.import_private(write_pkcs8(pair).view()).has_value();
}

}  // namespace

TEST(rs256_key, new_ones_have_2048_bits_and_the_usual_exponent) {
    const auto k = sample_key(algorithm::rs256);
    EXPECT_EQ(EVP_PKEY_get_bits(k.inner().pair.get()), 2048);
    EXPECT_EQ(k.inner().signature_bytes, 256U);
    EXPECT_EQ(boost::json::parse(k.public_jwk()).at("e").as_string(), "AQAB");
}

TEST(rs256_key, of_another_size_sign_and_verify_beside_each_other) {
    std::vector<key_entry> entries;
    for (const int bits : {3072, 2052, 4096}) {
        key::parts made;
        made.pair = rsa_of(bits, bits == 2052 ? 3 : 65537);
        const auto kid = jwk_thumbprint(rs256_row.required_jwk_members(made));
        entries.push_back(
            {key::import_private(algorithm::rs256, kid, rs256_row.export_private(made).view())
                 .value(),
             key_state::active});
        EXPECT_EQ(entries.back().value.inner().signature_bytes,
                  static_cast<std::size_t>(bits + 7) / 8);
    }
    verifier check(us, set_of(entries));
    for (std::size_t i = 0; i < entries.size(); ++i) {
        signer sign(us, set_of({entries[i]}));
        const auto token = sign.sign(sample_claims()).value();
        EXPECT_LE(token.size(), token_bytes_max);
        EXPECT_EQ(verdict(check, token), "good");
        // Under the name of a key of another size.
        const auto& other = entries[(i + 1) % entries.size()].value;
        EXPECT_EQ(verdict(check, encode(header_of(other)) + token.substr(token.find('.'))),
                  "bad_signature");
    }
}

TEST(rs256_key, import_refuses_weak_numbers_and_halves_that_do_not_match) {
    EXPECT_FALSE(is_accepted(rsa_of(1024, 65537).get())) << "RFC 7518 section 3.3: 2048 at least";
    EXPECT_FALSE(is_accepted(rsa_of(2040, 65537).get()));
    EXPECT_FALSE(is_accepted(rsa_of(4104, 65537).get())) << "more than any buffer has";
    EXPECT_TRUE(is_accepted(rsa_of(2048, 3).get()));

    const auto k = sample_key(algorithm::rs256);
    rsa_numbers numbers(k.inner().pair.get());
    EXPECT_TRUE(is_accepted(numbers.pair().get()));
    for (const char* name : {OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D,
                             OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2}) {
        BN_one(numbers.values.at(name).get());
    }
    EXPECT_FALSE(is_accepted(numbers.pair().get())) << "1 and 1 sign and verify anything";

    rsa_numbers mixed(sample_key(algorithm::rs256, 1).inner().pair.get());
    mixed.values.at(OSSL_PKEY_PARAM_RSA_N) =
        std::move(rsa_numbers(k.inner().pair.get()).values.at(OSSL_PKEY_PARAM_RSA_N));
    EXPECT_FALSE(is_accepted(mixed.pair().get())) << "another key's private half";

    const pkey_ctx_ptr pss(EVP_PKEY_CTX_new_from_name(nullptr, "RSA-PSS", nullptr));
    EVP_PKEY* made = nullptr;
    ASSERT_EQ(EVP_PKEY_keygen_init(pss.get()), 1);
    ASSERT_EQ(EVP_PKEY_keygen(pss.get(), &made), 1);
    EXPECT_FALSE(is_accepted(pkey_ptr(made).get())) << "a key for the other padding only";
}

TEST(eddsa_key, import_refuses_the_other_curves) {
    for (const char* curve : {"ED448", "X25519", "X448"}) {
        const pkey_ptr other(EVP_PKEY_Q_keygen(nullptr, nullptr, curve));
        EXPECT_FALSE(eddsa_row.import_private(write_pkcs8(other.get()).view())) << curve;
    }
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
    EXPECT_EQ(parse_algorithm("EdDSA"), algorithm::eddsa);
    EXPECT_EQ(parse_algorithm("RS256"), algorithm::rs256);
    for (const auto* text :
         {"es256", "Es256", "none", "", "ES256 ", "HS384", "EDDSA", "Ed25519", "RS384", "PS256"}) {
        EXPECT_FALSE(parse_algorithm(text)) << text;
    }
    for (const auto one : every_algorithm) {
        EXPECT_EQ(row_of(one).id, one) << "the table is in the order of the enumeration";
        EXPECT_LE(sample_key(one).inner().signature_bytes, signature_bytes_max);
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
