// Signatures and thumbprints that others computed.
#include "support.hpp"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

namespace insula::token::test {

namespace {

bytes decoded(std::string_view text) {
    return base64url_decode(text).value();
}

/// PKCS#8 of a P-256 key given as a JWK.
secret_bytes p256_from_jwk(std::string_view x, std::string_view y, std::string_view d) {
    bytes point{0x04};
    for (const auto octet : decoded(x)) {
        point.push_back(octet);
    }
    for (const auto octet : decoded(y)) {
        point.push_back(octet);
    }
    const auto secret = decoded(d);
    const bignum_ptr number(BN_bin2bn(secret.data(), static_cast<int>(secret.size()), nullptr));
    OSSL_PARAM_BLD* const build = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number.get());
    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
    OSSL_PARAM* const params = OSSL_PARAM_BLD_to_param(build);
    const pkey_ctx_ptr ctx(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
    EVP_PKEY* pair = nullptr;
    EXPECT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_fromdata(ctx.get(), &pair, EVP_PKEY_KEYPAIR, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    key::parts parts;
    parts.pair.reset(pair);
    return es256_row.export_private(parts);
}

// RFC 7515 appendix A: both examples have this payload.
constexpr std::string_view payload =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

}  // namespace

TEST(known_answers, rfc7515_a1_hs256) {
    const auto secret = decoded(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    const auto k = key::import_private(algorithm::hs256, "a1", secret).value();
    const auto text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + std::string(payload);
    const std::string expected = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    std::array<std::uint8_t, 32> mac{};
    hs256_row.make_sign(k.inner())->sign(text, mac);
    EXPECT_EQ(base64url_encode(mac), expected);
    EXPECT_TRUE(hs256_row.make_check(k.inner())->check(text, decoded(expected)));
}

TEST(known_answers, rfc7515_a3_es256) {
    const auto der = p256_from_jwk("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                                   "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                                   "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
    const auto parts = es256_row.import_private(der.view());
    ASSERT_TRUE(parts);
    const auto text = "eyJhbGciOiJFUzI1NiJ9." + std::string(payload);
    const auto check = es256_row.make_check(*parts);
    const auto signature = decoded(
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
    EXPECT_TRUE(check->check(text, signature));
    EXPECT_FALSE(check->check(text + "A", signature));
    EXPECT_TRUE(check->check(text, signature)) << "a refusal must not spoil the context";
}

// RFC 2104 hashes keys longer than a block; RFC 4231 case 6 is its known answer.
TEST(known_answers, rfc4231_case_6_key_longer_than_a_block) {
    const bytes secret(131, 0xaa);
    const auto k = key::import_private(algorithm::hs256, "long", secret).value();
    std::array<std::uint8_t, 32> mac{};
    hs256_row.make_sign(k.inner())->sign("Test Using Larger Than Block-Size Key - Hash Key First",
                                         mac);
    EXPECT_EQ(mac[0], 0x60);
    EXPECT_EQ(mac[1], 0xe4);
    EXPECT_EQ(mac[30], 0x7f);
    EXPECT_EQ(mac[31], 0x54);
}

TEST(known_answers, rfc7638_thumbprint) {
    EXPECT_EQ(
        jwk_thumbprint(
            R"("e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtV)"
            R"(T86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt)"
            R"(7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9)"
            R"(1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-)"
            R"(kEgU8awapJzKnqDKgw")"),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

// RFC 9449 (DPoP) publishes a P-256 key and its thumbprint.
TEST(known_answers, rfc9449_p256_thumbprint) {
    EXPECT_EQ(jwk_thumbprint(R"("crv":"P-256","kty":"EC",)"
                             R"("x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",)"
                             R"("y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA")"),
              "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
}

}  // namespace insula::token::test
