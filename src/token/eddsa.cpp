// EdDSA (RFC 8037) with Ed25519, the one curve of it that RFC 9864 and every library agree on: the
// text itself is signed, not a digest of ours.
#include "token/algorithm.hpp"
#include "token/pkcs8.hpp"

#include "insula/core/base64.hpp"

#include <openssl/err.h>

#include <array>

namespace insula::token {

namespace {

constexpr std::size_t public_bytes = 32;
constexpr std::size_t signature_size = 64;

const unsigned char* octets_of(std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

/// OpenSSL refuses what RFC 8032 section 5.1.7 leaves open: S not below the group's order (another
/// spelling of a good signature) and an R that is not spelled canonically (compared as octets).
class eddsa_check final : public check_context {
public:
    explicit eddsa_check(EVP_PKEY* pair) : ready_(EVP_MD_CTX_new()), work_(EVP_MD_CTX_new()) {
        expect_openssl(ready_ && work_ &&
                           EVP_DigestVerifyInit(ready_.get(), nullptr, nullptr, nullptr, pair) == 1,
                       "verify context");
    }
    bool check(std::string_view signed_text, bytes_view signature) override {
        // A context is good for one signature; newer OpenSSL insists on that.
        expect_openssl(EVP_MD_CTX_copy_ex(work_.get(), ready_.get()) == 1, "verify context");
        if (EVP_DigestVerify(work_.get(), signature.data(), signature.size(),
                             octets_of(signed_text), signed_text.size()) == 1) {
            return true;
        }
        ERR_clear_error();
        return false;
    }

private:
    md_ctx_ptr ready_;
    md_ctx_ptr work_;
};

class eddsa_sign final : public sign_context {
public:
    explicit eddsa_sign(EVP_PKEY* pair) : ready_(EVP_MD_CTX_new()), work_(EVP_MD_CTX_new()) {
        expect_openssl(ready_ && work_ &&
                           EVP_DigestSignInit(ready_.get(), nullptr, nullptr, nullptr, pair) == 1,
                       "sign context");
    }
    void sign(std::string_view text, std::span<std::uint8_t> signature) override {
        std::size_t size = signature.size();
        expect_openssl(EVP_MD_CTX_copy_ex(work_.get(), ready_.get()) == 1 &&
                           EVP_DigestSign(work_.get(), signature.data(), &size, octets_of(text),
                                          text.size()) == 1 &&
                           size == signature_size,
                       "Ed25519 signature");
    }

private:
    md_ctx_ptr ready_;
    md_ctx_ptr work_;
};

key::parts generate() {
    key::parts made;
    made.pair.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    expect_openssl(made.pair != nullptr, "Ed25519 key");
    return made;
}

/// The public half is computed from the private one, so the two always belong together.
std::optional<key::parts> import_private(bytes_view material) {
    key::parts made;
    made.pair = read_pkcs8(material);
    if (!made.pair || EVP_PKEY_is_a(made.pair.get(), "ED25519") != 1) {
        return std::nullopt;
    }
    return made;
}

secret_bytes export_private(const key::parts& from) {
    return write_pkcs8(from.pair.get());
}

std::size_t signature_bytes(const key::parts&) {
    return signature_size;
}

std::string required_jwk_members(const key::parts& from) {
    std::array<std::uint8_t, public_bytes> point;
    std::size_t size = point.size();
    expect_openssl(EVP_PKEY_get_raw_public_key(from.pair.get(), point.data(), &size) == 1 &&
                       size == public_bytes,
                   "public point");
    return R"("crv":"Ed25519","kty":"OKP","x":")" + base64url_encode(point) + "\"";
}

std::unique_ptr<check_context> make_check(const key::parts& with) {
    return std::make_unique<eddsa_check>(with.pair.get());
}

std::unique_ptr<sign_context> make_sign(const key::parts& with) {
    return std::make_unique<eddsa_sign>(with.pair.get());
}

}  // namespace

const algorithm_row eddsa_row = {
    .id = algorithm::eddsa,
    .name = "EdDSA",
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
