// HS256 (RFC 7518 section 3.2): HMAC-SHA256 with a secret of 256 bits or more.
#include "token/algorithm.hpp"

#include "insula/core/random.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace insula::token {

namespace {

constexpr std::size_t block_bytes = 64;
constexpr std::size_t digest_bytes = 32;
constexpr std::size_t secret_bytes_min = 32;
constexpr std::size_t secret_bytes_max = 1024;

md_ctx_ptr new_digest() {
    md_ctx_ptr made(EVP_MD_CTX_new());
    expect_openssl(made && EVP_DigestInit_ex2(made.get(), sha256_md(), nullptr) == 1,
                   "digest context");
    return made;
}

/// HMAC as copies of two digest contexts that have eaten the padded key already: the fastest way
/// OpenSSL 3 supports (FACTS.md 8).
class prekeyed_hmac {
public:
    explicit prekeyed_hmac(bytes_view secret)
        : inner_(new_digest()), outer_(new_digest()), work_(new_digest()) {
        secret_bytes block(block_bytes);
        auto bytes = block.writable();
        if (secret.size() > block_bytes) {  // RFC 2104: longer keys are hashed first
            expect_openssl(EVP_DigestUpdate(work_.get(), secret.data(), secret.size()) == 1 &&
                               EVP_DigestFinal_ex(work_.get(), bytes.data(), nullptr) == 1,
                           "digest of a long key");
        } else {
            std::copy(secret.begin(), secret.end(), bytes.begin());
        }
        feed(inner_.get(), bytes, 0x36);
        feed(outer_.get(), bytes, 0x36 ^ 0x5c);
    }

    void operator()(std::string_view text, std::uint8_t* mac) {
        std::array<std::uint8_t, digest_bytes> digest;
        const bool ok = EVP_MD_CTX_copy_ex(work_.get(), inner_.get()) == 1 &&
                        EVP_DigestUpdate(work_.get(), text.data(), text.size()) == 1 &&
                        EVP_DigestFinal_ex(work_.get(), digest.data(), nullptr) == 1 &&
                        EVP_MD_CTX_copy_ex(work_.get(), outer_.get()) == 1 &&
                        EVP_DigestUpdate(work_.get(), digest.data(), digest.size()) == 1 &&
                        EVP_DigestFinal_ex(work_.get(), mac, nullptr) == 1;
        expect_openssl(ok, "HMAC");
    }

private:
    /// Turns the block from the previous pad to this one, so that it needs no second copy of the
    /// key.
    static void feed(EVP_MD_CTX* into, std::span<std::uint8_t> block, std::uint8_t change) {
        for (auto& byte : block) {
            byte = static_cast<std::uint8_t>(byte ^ change);
        }
        expect_openssl(EVP_DigestUpdate(into, block.data(), block.size()) == 1, "HMAC key");
    }

    md_ctx_ptr inner_;
    md_ctx_ptr outer_;
    md_ctx_ptr work_;
};

/// Word by word: as blind to where they differ as CRYPTO_memcmp, which goes octet by octet.
bool same_digest(const std::uint8_t* a, const std::uint8_t* b) noexcept {
    std::array<std::uint64_t, digest_bytes / 8> left;
    std::array<std::uint64_t, digest_bytes / 8> right;
    std::memcpy(left.data(), a, digest_bytes);
    std::memcpy(right.data(), b, digest_bytes);
    return ((left[0] ^ right[0]) | (left[1] ^ right[1]) | (left[2] ^ right[2]) |
            (left[3] ^ right[3])) == 0;
}

class hs256_check final : public check_context {
public:
    explicit hs256_check(bytes_view secret) : hmac_(secret) {}
    bool check(std::string_view signed_text, bytes_view signature) override {
        std::array<std::uint8_t, digest_bytes> expected;
        hmac_(signed_text, expected.data());
        return same_digest(expected.data(), signature.data());
    }

private:
    prekeyed_hmac hmac_;
};

class hs256_sign final : public sign_context {
public:
    explicit hs256_sign(bytes_view secret) : hmac_(secret) {}
    void sign(std::string_view text, std::span<std::uint8_t> signature) override {
        hmac_(text, signature.data());
    }

private:
    prekeyed_hmac hmac_;
};

key::parts generate() {
    key::parts made;
    made.secret = secret_bytes(secret_bytes_min);
    random_bytes(made.secret.writable());
    return made;
}

std::optional<key::parts> import_private(bytes_view material) {
    if (material.size() < secret_bytes_min || material.size() > secret_bytes_max) {
        return std::nullopt;
    }
    key::parts made;
    made.secret = secret_bytes(material);
    return made;
}

secret_bytes export_private(const key::parts& from) {
    return from.secret.clone();
}

std::size_t signature_bytes(const key::parts&) {
    return digest_bytes;
}

std::string no_jwk_members(const key::parts&) {
    return {};
}

std::unique_ptr<check_context> make_check(const key::parts& with) {
    return std::make_unique<hs256_check>(with.secret.view());
}

std::unique_ptr<sign_context> make_sign(const key::parts& with) {
    return std::make_unique<hs256_sign>(with.secret.view());
}

}  // namespace

const algorithm_row hs256_row = {
    .id = algorithm::hs256,
    .name = "HS256",
    .has_public_half = false,
    .generate = generate,
    .import_private = import_private,
    .export_private = export_private,
    .signature_bytes = signature_bytes,
    .required_jwk_members = no_jwk_members,
    .make_check = make_check,
    .make_sign = make_sign,
};

}  // namespace insula::token
