// RS256 (RFC 7518 section 3.3): RSASSA-PKCS1-v1_5 with SHA-256, for those whose libraries know
// nothing newer.
//
// New keys have 2048 bits, the least the RFC allows: they sign tokens of 15 minutes and are
// rotated, so nobody has years to factor one; a signature of 3072 bits costs three times as much of
// the login (0.7 ms instead of 0.2) and makes tokens of 1.1 kB, more than a slot of the
// verified-token cache. Longer keys from elsewhere, up to 4096 bits, are accepted.
#include "token/algorithm.hpp"
#include "token/pkcs8.hpp"

#include "insula/core/base64.hpp"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <array>
#include <vector>

namespace insula::token {

namespace {

constexpr int generated_bits = 2048;
constexpr int bits_min = 2048;
constexpr int bits_max = 8 * static_cast<int>(signature_bytes_max);
// Verifiers read it as a 32-bit number, some as a 31-bit one.
constexpr int exponent_bits_max = 31;
constexpr std::size_t digest_bytes = 32;

void digest_text(EVP_MD_CTX* with, std::string_view text, std::uint8_t* digest) {
    expect_openssl(EVP_DigestInit_ex2(with, sha256_md(), nullptr) == 1 &&
                       EVP_DigestUpdate(with, text.data(), text.size()) == 1 &&
                       EVP_DigestFinal_ex(with, digest, nullptr) == 1,
                   "SHA-256");
}

pkey_ctx_ptr prepared(EVP_PKEY* pair, int (*init)(EVP_PKEY_CTX*)) {
    pkey_ctx_ptr made(EVP_PKEY_CTX_new_from_pkey(nullptr, pair, nullptr));
    expect_openssl(made && init(made.get()) == 1 &&
                       EVP_PKEY_CTX_set_rsa_padding(made.get(), RSA_PKCS1_PADDING) == 1 &&
                       EVP_PKEY_CTX_set_signature_md(made.get(), sha256_md()) == 1,
                   "RSA context");
    return made;
}

/// OpenSSL builds the padding anew and compares it whole, so there is nothing to hide a forgery in
/// (CVE-2006-4339), and takes only exactly as many octets as the modulus has.
class rs256_check final : public check_context {
public:
    explicit rs256_check(EVP_PKEY* pair)
        : digest_(EVP_MD_CTX_new()), verify_(prepared(pair, EVP_PKEY_verify_init)) {
        expect_openssl(digest_ != nullptr, "digest context");
    }
    bool check(std::string_view signed_text, bytes_view signature) override {
        std::array<std::uint8_t, digest_bytes> digest;
        digest_text(digest_.get(), signed_text, digest.data());
        if (EVP_PKEY_verify(verify_.get(), signature.data(), signature.size(), digest.data(),
                            digest.size()) == 1) {
            return true;
        }
        ERR_clear_error();
        return false;
    }

private:
    md_ctx_ptr digest_;
    pkey_ctx_ptr verify_;
};

class rs256_sign final : public sign_context {
public:
    explicit rs256_sign(EVP_PKEY* pair)
        : digest_(EVP_MD_CTX_new()), sign_(prepared(pair, EVP_PKEY_sign_init)) {
        expect_openssl(digest_ != nullptr, "digest context");
    }
    void sign(std::string_view text, std::span<std::uint8_t> signature) override {
        std::array<std::uint8_t, digest_bytes> digest;
        digest_text(digest_.get(), text, digest.data());
        std::size_t size = signature.size();
        expect_openssl(EVP_PKEY_sign(sign_.get(), signature.data(), &size, digest.data(),
                                     digest.size()) == 1 &&
                           size == signature.size(),
                       "RSA signature");
    }

private:
    md_ctx_ptr digest_;
    pkey_ctx_ptr sign_;
};

bignum_ptr number(EVP_PKEY* pair, const char* which) {
    BIGNUM* raw = nullptr;
    expect_openssl(EVP_PKEY_get_bn_param(pair, which, &raw) == 1, "RSA public half");
    return bignum_ptr(raw);
}

key::parts generate() {
    key::parts made;
    made.pair.reset(
        EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(generated_bits)));
    expect_openssl(made.pair != nullptr, "RSA key");
    return made;
}

bool fits(EVP_PKEY* pair) {
    const int bits = EVP_PKEY_get_bits(pair);
    if (EVP_PKEY_is_a(pair, "RSA") != 1 || bits < bits_min || bits > bits_max) {
        return false;
    }
    const auto exponent = number(pair, OSSL_PKEY_PARAM_RSA_E);
    // 1 would make every text its own signature; an even number is nobody's exponent.
    return BN_is_odd(exponent.get()) == 1 && BN_is_one(exponent.get()) == 0 &&
           BN_num_bits(exponent.get()) <= exponent_bits_max;
}

std::size_t signature_bytes(const key::parts& of) {
    return static_cast<std::size_t>(EVP_PKEY_get_size(of.pair.get()));
}

/// What the private half signs, the public half accepts. EVP_PKEY_check would also prove the primes
/// prime, tens of milliseconds at every start, for keys that only this program seals and opens.
bool halves_belong_together(EVP_PKEY* pair) {
    constexpr std::array<std::uint8_t, digest_bytes> digest{1, 2, 3};
    std::vector<std::uint8_t> signature(static_cast<std::size_t>(EVP_PKEY_get_size(pair)));
    std::size_t size = signature.size();
    const auto sign = prepared(pair, EVP_PKEY_sign_init);
    const auto verify = prepared(pair, EVP_PKEY_verify_init);
    return EVP_PKEY_sign(sign.get(), signature.data(), &size, digest.data(), digest.size()) == 1 &&
           EVP_PKEY_verify(verify.get(), signature.data(), size, digest.data(), digest.size()) == 1;
}

std::optional<key::parts> import_private(bytes_view material) {
    key::parts made;
    made.pair = read_pkcs8(material);
    if (!made.pair || !fits(made.pair.get()) || !halves_belong_together(made.pair.get())) {
        ERR_clear_error();
        return std::nullopt;
    }
    return made;
}

secret_bytes export_private(const key::parts& from) {
    return write_pkcs8(from.pair.get());
}

/// Base64urlUInt of RFC 7518 section 2: as few octets as the number needs.
std::string encoded(const BIGNUM* value) {
    std::vector<std::uint8_t> octets(static_cast<std::size_t>(BN_num_bytes(value)));
    expect_openssl(BN_bn2bin(value, octets.data()) == static_cast<int>(octets.size()),
                   "RSA public half");
    return base64url_encode(octets);
}

std::string required_jwk_members(const key::parts& from) {
    const auto exponent = number(from.pair.get(), OSSL_PKEY_PARAM_RSA_E);
    const auto modulus = number(from.pair.get(), OSSL_PKEY_PARAM_RSA_N);
    return R"("e":")" + encoded(exponent.get()) + R"(","kty":"RSA","n":")" +
           encoded(modulus.get()) + "\"";
}

std::unique_ptr<check_context> make_check(const key::parts& with) {
    return std::make_unique<rs256_check>(with.pair.get());
}

std::unique_ptr<sign_context> make_sign(const key::parts& with) {
    return std::make_unique<rs256_sign>(with.pair.get());
}

}  // namespace

const algorithm_row rs256_row = {
    .id = algorithm::rs256,
    .name = "RS256",
    .has_public_half = true,
    .generate = generate,
    .import_private = import_private,
    .export_private = export_private,
    .signature_bytes = signature_bytes,
    .required_jwk_members = required_jwk_members,
    .make_check = make_check,
    .make_sign = make_sign,
};

}  // namespace insula::token
