// Signatures and thumbprints that others computed.
#include "support.hpp"
#include "token/pkcs8.hpp"

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

/// The key of RFC 7515 A.2.1.
pkey_ptr rfc7515_rsa() {
    const std::pair<const char*, std::string_view> numbers[] = {
        {OSSL_PKEY_PARAM_RSA_N,
         "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0"
         "Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXnd"
         "S5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5Ihl"
         "JH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
        {OSSL_PKEY_PARAM_RSA_E, "AQAB"},
        {OSSL_PKEY_PARAM_RSA_D,
         "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2"
         "NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X"
         "0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGU"
         "l_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ"},
        {OSSL_PKEY_PARAM_RSA_FACTOR1,
         "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_P"
         "y5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc"},
        {OSSL_PKEY_PARAM_RSA_FACTOR2,
         "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeL"
         "QeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc"},
        {OSSL_PKEY_PARAM_RSA_EXPONENT1,
         "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKn"
         "u1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0"},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2,
         "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0"
         "ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU"},
        {OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
         "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5c"
         "Y7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U"}};
    std::vector<bignum_ptr> values;
    OSSL_PARAM_BLD* const build = OSSL_PARAM_BLD_new();
    for (const auto& [name, text] : numbers) {
        const auto octets = decoded(text);
        values.emplace_back(BN_bin2bn(octets.data(), static_cast<int>(octets.size()), nullptr));
        OSSL_PARAM_BLD_push_BN(build, name, values.back().get());
    }
    OSSL_PARAM* const params = OSSL_PARAM_BLD_to_param(build);
    const pkey_ctx_ptr ctx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
    EVP_PKEY* pair = nullptr;
    EXPECT_EQ(EVP_PKEY_fromdata_init(ctx.get()), 1);
    EXPECT_EQ(EVP_PKEY_fromdata(ctx.get(), &pair, EVP_PKEY_KEYPAIR, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    return pkey_ptr(pair);
}

/// RFC 8037 A.1: the private key as the only Ed25519 form of PKCS#8 has it (RFC 8410 section 7).
bytes rfc8037_private() {
    bytes der{0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
              0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
    for (const auto octet : decoded("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")) {
        der.push_back(octet);
    }
    return der;
}

// RFC 7515 appendix A: these examples have one payload.
constexpr std::string_view payload =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

}  // namespace

// RFC 7519 section 3.1 is the same token.
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

TEST(known_answers, rfc7515_a2_rs256) {
    const auto parts = rs256_row.import_private(write_pkcs8(rfc7515_rsa().get()).view());
    ASSERT_TRUE(parts);
    const auto text = "eyJhbGciOiJSUzI1NiJ9." + std::string(payload);
    const std::string expected =
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
        "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQB"
        "MHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeY"
        "I2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    bytes signature(256);
    rs256_row.make_sign(*parts)->sign(text, signature);
    EXPECT_EQ(base64url_encode(signature), expected) << "RSASSA-PKCS1-v1_5 has no chance in it";
    const auto check = rs256_row.make_check(*parts);
    EXPECT_TRUE(check->check(text, signature));
    EXPECT_FALSE(check->check(text + "A", signature));
    EXPECT_TRUE(check->check(text, signature)) << "a refusal must not spoil the context";
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

// RFC 7515 A.5 is not secured at all; A.4 (ES512) and A.6 (the JSON form, with the signatures of
// A.2 and A.3) are not ours.
TEST(known_answers, rfc7515_a5_unsecured_is_refused) {
    verifier check(us, set_of({{sample_key(algorithm::es256), key_state::active}}));
    EXPECT_FALSE(check.verify("eyJhbGciOiJub25lIn0." + std::string(payload) + ".", noon));
}

// A.1 the private key, A.2 its public half, A.3 the thumbprint, A.4 signing, A.5 checking.
TEST(known_answers, rfc8037_a_ed25519) {
    const auto k = key::import_private(
        algorithm::eddsa, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", rfc8037_private());
    ASSERT_TRUE(k) << "the thumbprint of A.3";
    EXPECT_EQ(eddsa_row.required_jwk_members(k->inner()),
              R"("crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")");
    const std::string text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    bytes signature(64);
    eddsa_row.make_sign(k->inner())->sign(text, signature);
    EXPECT_EQ(base64url_encode(signature),
              "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0K"
              "Ag");
    const auto check = eddsa_row.make_check(k->inner());
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
