#include "insula/token/jwks.hpp"

#include "support.hpp"

#include <boost/json.hpp>

namespace insula::token::test {

TEST(jwks, publishes_public_halves_of_keys_that_verify_and_nothing_else) {
    const auto active = key::generate(algorithm::es256);
    const auto retiring = key::generate(algorithm::es256);
    const auto revoked = key::generate(algorithm::es256);
    const auto secret = key::generate(algorithm::hs256);
    const auto edwards = sample_key(algorithm::eddsa);
    const auto rsa = sample_key(algorithm::rs256);
    const auto text = jwks_json(*set_of({{active, key_state::active},
                                         {secret, key_state::active},
                                         {retiring, key_state::retiring},
                                         {edwards, key_state::active},
                                         {rsa, key_state::retiring},
                                         {revoked, key_state::revoked}}));
    const auto document = boost::json::parse(text).as_object();
    const auto& keys = document.at("keys").as_array();
    ASSERT_EQ(keys.size(), 4U);
    EXPECT_EQ(keys[0].at("kid").as_string(), active.kid());
    EXPECT_EQ(keys[1].at("kid").as_string(), retiring.kid());
    EXPECT_EQ(keys[2].at("kty").as_string(), "OKP");
    EXPECT_EQ(keys[2].at("alg").as_string(), "EdDSA");
    EXPECT_EQ(keys[3].at("kty").as_string(), "RSA");
    EXPECT_EQ(keys[3].at("e").as_string(), "AQAB");
    const std::size_t members[] = {7, 7, 6, 6};  // what it takes, kid, alg, use: nothing private
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(keys[i].as_object().size(), members[i]);
    }
    EXPECT_EQ(text.find(secret.kid()), std::string::npos);
    EXPECT_EQ(text.find(revoked.kid()), std::string::npos);
}

TEST(jwks, of_hs256_alone_is_an_empty_list) {
    EXPECT_EQ(jwks_json(*set_of({{key::generate(algorithm::hs256), key_state::active}})),
              R"({"keys":[]})");
}

TEST(openid_configuration, names_issuer_key_address_and_algorithms) {
    const auto keys = set_of({{key::generate(algorithm::es256), key_state::active},
                              {key::generate(algorithm::es256), key_state::retiring},
                              {key::generate(algorithm::hs256), key_state::active},
                              {sample_key(algorithm::rs256), key_state::retiring},
                              {sample_key(algorithm::eddsa), key_state::retiring},
                              {sample_key(algorithm::rs256, 1), key_state::revoked}});
    for (const auto* issuer : {"https://insula.example", "https://insula.example/"}) {
        const auto document =
            boost::json::parse(openid_configuration_json(issuer, *keys)).as_object();
        EXPECT_EQ(document.at("issuer").as_string(), "https://insula.example");
        EXPECT_EQ(document.at("jwks_uri").as_string(),
                  "https://insula.example/.well-known/jwks.json");
        const auto& algorithms = document.at("id_token_signing_alg_values_supported").as_array();
        EXPECT_EQ(boost::json::serialize(algorithms), R"(["ES256","RS256","EdDSA"])");
    }
}

}  // namespace insula::token::test
