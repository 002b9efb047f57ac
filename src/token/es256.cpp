// ES256 (RFC 7518 section 3.4): ECDSA over P-256 with SHA-256; a signature is r and s, 32 octets
// each.
#include "token/algorithm.hpp"
#include "token/pkcs8.hpp"

#include "insula/core/base64.hpp"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include <array>
#include <cstring>

namespace insula::token {

namespace {

constexpr std::size_t coordinate_bytes = 32;
constexpr std::size_t digest_bytes = 32;
// SEQUENCE of two INTEGERs of at most 33 octets.
constexpr std::size_t der_bytes_max = 2 + 2 * (2 + 33);

/// Appends a DER INTEGER: no leading zero octets but the one that keeps it positive.
std::uint8_t* put_der_integer(std::uint8_t* out, const std::uint8_t* value) {
    std::size_t skip = 0;
    while (skip + 1 < coordinate_bytes && value[skip] == 0) {
        ++skip;
    }
    const bool pad = (value[skip] & 0x80) != 0;
    const std::size_t size = coordinate_bytes - skip;
    *out++ = 0x02;
    *out++ = static_cast<std::uint8_t>(size + (pad ? 1 : 0));
    if (pad) {
        *out++ = 0;
    }
    std::memcpy(out, value + skip, size);
    return out + size;
}

/// JWS form to the form OpenSSL takes. Returns the number of octets written.
std::size_t raw_to_der(const std::uint8_t* raw, std::array<std::uint8_t, der_bytes_max>& der) {
    auto* end = put_der_integer(der.data() + 2, raw);
    end = put_der_integer(end, raw + coordinate_bytes);
    const auto size = static_cast<std::size_t>(end - der.data());
    der[0] = 0x30;
    der[1] = static_cast<std::uint8_t>(size - 2);
    return size;
}

void digest_text(EVP_MD_CTX* with, std::string_view text, std::uint8_t* digest) {
    expect_openssl(EVP_DigestInit_ex2(with, sha256_md(), nullptr) == 1 &&
                       EVP_DigestUpdate(with, text.data(), text.size()) == 1 &&
                       EVP_DigestFinal_ex(with, digest, nullptr) == 1,
                   "SHA-256");
}

class es256_check final : public check_context {
public:
    explicit es256_check(EVP_PKEY* pair)
        : digest_(EVP_MD_CTX_new()), verify_(EVP_PKEY_CTX_new_from_pkey(nullptr, pair, nullptr)) {
        expect_openssl(digest_ && verify_ && EVP_PKEY_verify_init(verify_.get()) == 1,
                       "verify context");
    }
    bool check(std::string_view signed_text, bytes_view signature) override {
        std::array<std::uint8_t, digest_bytes> digest;
        digest_text(digest_.get(), signed_text, digest.data());
        std::array<std::uint8_t, der_bytes_max> der;
        const auto size = raw_to_der(signature.data(), der);
        if (EVP_PKEY_verify(verify_.get(), der.data(), size, digest.data(), digest.size()) == 1) {
            return true;
        }
        ERR_clear_error();
        return false;
    }

private:
    md_ctx_ptr digest_;
    pkey_ctx_ptr verify_;
};

class es256_sign final : public sign_context {
public:
    explicit es256_sign(EVP_PKEY* pair)
        : digest_(EVP_MD_CTX_new()), sign_(EVP_PKEY_CTX_new_from_pkey(nullptr, pair, nullptr)) {
        expect_openssl(digest_ && sign_ && EVP_PKEY_sign_init(sign_.get()) == 1, "sign context");
    }
    void sign(std::string_view text, std::span<std::uint8_t> signature) override {
        std::array<std::uint8_t, digest_bytes> digest;
        digest_text(digest_.get(), text, digest.data());
        std::array<std::uint8_t, der_bytes_max> der;
        std::size_t size = der.size();
        expect_openssl(
            EVP_PKEY_sign(sign_.get(), der.data(), &size, digest.data(), digest.size()) == 1,
            "ECDSA signature");
        const std::uint8_t* at = der.data();
        const ecdsa_sig_ptr parsed(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
        constexpr int width = coordinate_bytes;
        expect_openssl(
            parsed &&
                BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), signature.data(), width) == width &&
                BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), signature.data() + coordinate_bytes,
                             width) == width,
            "ECDSA signature form");
    }

private:
    md_ctx_ptr digest_;
    pkey_ctx_ptr sign_;
};

key::parts generate() {
    key::parts made;
    made.pair.reset(EVP_EC_gen("P-256"));
    expect_openssl(made.pair != nullptr, "P-256 key");
    return made;
}

bool is_p256(EVP_PKEY* pair) {
    std::array<char, 32> group{};
    return EVP_PKEY_is_a(pair, "EC") == 1 &&
           EVP_PKEY_get_group_name(pair, group.data(), group.size(), nullptr) == 1 &&
           std::string_view(group.data()) == "prime256v1";
}

std::optional<key::parts> import_private(bytes_view material) {
    key::parts made;
    made.pair = read_pkcs8(material);
    bool good = made.pair && is_p256(made.pair.get());
    if (good) {
        const pkey_ctx_ptr checker(EVP_PKEY_CTX_new_from_pkey(nullptr, made.pair.get(), nullptr));
        // The point on the curve, and the halves belonging together: a wrong public half would
        // publish a key that verifies nothing.
        good = checker && EVP_PKEY_check(checker.get()) == 1;
    }
    if (!good) {
        ERR_clear_error();
        return std::nullopt;
    }
    return made;
}

secret_bytes export_private(const key::parts& from) {
    return write_pkcs8(from.pair.get());
}

std::size_t signature_bytes(const key::parts&) {
    return 2 * coordinate_bytes;
}

std::string coordinate(EVP_PKEY* pair, const char* which) {
    BIGNUM* raw = nullptr;
    expect_openssl(EVP_PKEY_get_bn_param(pair, which, &raw) == 1, "public point");
    const bignum_ptr value(raw);
    std::array<std::uint8_t, coordinate_bytes> octets;
    expect_openssl(BN_bn2binpad(value.get(), octets.data(), octets.size()) == coordinate_bytes,
                   "public point");
    return base64url_encode(octets);
}

std::string required_jwk_members(const key::parts& from) {
    return R"("crv":"P-256","kty":"EC","x":")" +
           coordinate(from.pair.get(), OSSL_PKEY_PARAM_EC_PUB_X) + R"(","y":")" +
           coordinate(from.pair.get(), OSSL_PKEY_PARAM_EC_PUB_Y) + "\"";
}

std::unique_ptr<check_context> make_check(const key::parts& with) {
    return std::make_unique<es256_check>(with.pair.get());
}

std::unique_ptr<sign_context> make_sign(const key::parts& with) {
    return std::make_unique<es256_sign>(with.pair.get());
}

}  // namespace

const algorithm_row es256_row = {
    .id = algorithm::es256,
    .name = "ES256",
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
