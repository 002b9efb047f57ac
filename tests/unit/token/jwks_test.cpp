#include "insula/token/jwks.hpp"

#include "support.hpp"

#include <boost/json.hpp>

namespace insula::token::test {

TEST(jwks, publishes_public_halves_of_keys_that_verify_and_nothing_else) {
    const auto active = key::generate(algorithm::es256);
    const auto retiring = key::generate(algorithm::es256);
    const auto revoked = key::generate(algorithm::es256);
    const auto secret = key::generate(algorithm::hs256);
    const auto text = jwks_json(*set_of({{active, key_state::active},
                                         {secret, key_state::active},
                                         {retiring, key_state::retiring},
                                         {revoked, key_state::revoked}}));
    const auto document = boost::json::parse(text).as_object();
    const auto& keys = document.at("keys").as_array();
    ASSERT_EQ(keys.size(), 2U);
    EXPECT_EQ(keys[0].at("kid").as_string(), active.kid());
    EXPECT_EQ(keys[1].at("kid").as_string(), retiring.kid());
    for (const auto& one : keys) {
        EXPECT_EQ(one.as_object().size(), 7U) << "crv kty x y kid alg use: nothing private";
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
                              {key::generate(algorithm::hs256), key_state::active}});
    for (const auto* issuer : {"https://insula.example", "https://insula.example/"}) {
        const auto document =
            boost::json::parse(openid_configuration_json(issuer, *keys)).as_object();
        EXPECT_EQ(document.at("issuer").as_string(), "https://insula.example");
        EXPECT_EQ(document.at("jwks_uri").as_string(),
                  "https://insula.example/.well-known/jwks.json");
        const auto& algorithms = document.at("id_token_signing_alg_values_supported").as_array();
        ASSERT_EQ(algorithms.size(), 1U);
        EXPECT_EQ(algorithms[0].as_string(), "ES256");
    }
}

}  // namespace insula::token::test
