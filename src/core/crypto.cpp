#include "insula/core/crypto.hpp"

#include "core/openssl.hpp"

#include "insula/core/random.hpp"

#include <algorithm>
#include <cassert>

namespace insula {
namespace {

using detail::openssl_ptr;
using detail::own_openssl;
using detail::require_openssl;

constexpr std::size_t block_size = 64;
constexpr std::size_t nonce_size = 12;
constexpr std::size_t tag_size = 16;

// Fetched once: a fetch takes a lock and walks the providers.
const EVP_MD* sha256_algorithm() {
    static const auto md = own_openssl(EVP_MD_fetch(nullptr, "SHA256", nullptr), "no SHA-256");
    return md.get();
}

const EVP_CIPHER* gcm_algorithm() {
    static const auto cipher =
        own_openssl(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr), "no AES-256-GCM");
    return cipher.get();
}

EVP_MD_CTX* scratch_context() {
    thread_local const auto context = own_openssl(EVP_MD_CTX_new(), "no memory");
    return context.get();
}

void finish(EVP_MD_CTX* context, digest_256& out) {
    unsigned size = 0;
    require_openssl(EVP_DigestFinal_ex(context, out.data(), &size), "SHA-256");
    assert(size == out.size());
}

int checked_int(std::size_t size) {
    if (size > 1U << 30) {
        throw infrastructure_error("text too large to seal");
    }
    return static_cast<int>(size);
}

}  // namespace

digest_256 sha256(bytes_view data) {
    auto* context = scratch_context();
    digest_256 digest{};
    require_openssl(EVP_DigestInit_ex2(context, sha256_algorithm(), nullptr), "SHA-256");
    require_openssl(EVP_DigestUpdate(context, data.data(), data.size()), "SHA-256");
    finish(context, digest);
    return digest;
}

// RFC 2104 by hand on two digest contexts that have been fed the padded key: copying them is four
// times faster than any of OpenSSL's own MAC interfaces (FACTS.md 8).
struct hmac_key::state {
    openssl_ptr<EVP_MD_CTX> inner = own_openssl(EVP_MD_CTX_new(), "no memory");
    openssl_ptr<EVP_MD_CTX> outer = own_openssl(EVP_MD_CTX_new(), "no memory");
};

namespace {

void feed_pad(EVP_MD_CTX* context, const std::array<std::uint8_t, block_size>& key,
              std::uint8_t pad) {
    std::array<std::uint8_t, block_size> block{};
    std::transform(key.begin(), key.end(), block.begin(),
                   [pad](std::uint8_t b) { return static_cast<std::uint8_t>(b ^ pad); });
    require_openssl(EVP_DigestInit_ex2(context, sha256_algorithm(), nullptr), "HMAC");
    require_openssl(EVP_DigestUpdate(context, block.data(), block.size()), "HMAC");
    wipe(block.data(), block.size());
}

}  // namespace

hmac_key::hmac_key(bytes_view key) : state_(std::make_unique<state>()) {
    std::array<std::uint8_t, block_size> block{};
    if (key.size() > block.size()) {
        auto digest = sha256(key);
        std::copy(digest.begin(), digest.end(), block.begin());
        wipe(digest.data(), digest.size());
    } else {
        std::copy(key.begin(), key.end(), block.begin());
    }
    feed_pad(state_->inner.get(), block, 0x36);
    feed_pad(state_->outer.get(), block, 0x5c);
    wipe(block.data(), block.size());
}

hmac_key::hmac_key(hmac_key&&) noexcept = default;
hmac_key& hmac_key::operator=(hmac_key&&) noexcept = default;
hmac_key::~hmac_key() = default;

digest_256 hmac_key::sign(std::initializer_list<bytes_view> parts) const {
    auto* context = scratch_context();
    digest_256 digest{};
    require_openssl(EVP_MD_CTX_copy_ex(context, state_->inner.get()), "HMAC");
    for (const auto part : parts) {
        require_openssl(EVP_DigestUpdate(context, part.data(), part.size()), "HMAC");
    }
    finish(context, digest);
    require_openssl(EVP_MD_CTX_copy_ex(context, state_->outer.get()), "HMAC");
    require_openssl(EVP_DigestUpdate(context, digest.data(), digest.size()), "HMAC");
    finish(context, digest);
    return digest;
}

digest_256 hmac_key::sign(bytes_view data) const {
    return sign({data});
}

digest_256 hmac_sha256(bytes_view key, bytes_view data) {
    return hmac_key(key).sign(data);
}

secret_bytes hkdf_sha256(bytes_view key, bytes_view salt, bytes_view info, std::size_t length) {
    assert(length <= 255 * sizeof(digest_256));
    auto pseudo_random_key = hmac_sha256(salt, key);
    const hmac_key expander(pseudo_random_key);
    secret_bytes out(length);
    digest_256 block{};
    std::size_t done = 0;
    for (std::uint8_t counter = 1; done < length; ++counter) {
        const auto previous = counter == 1 ? bytes_view() : bytes_view(block);
        block = expander.sign({previous, info, bytes_view(&counter, 1)});
        const auto take = std::min(block.size(), length - done);
        std::copy_n(block.begin(), take,
                    out.writable().begin() + static_cast<std::ptrdiff_t>(done));
        done += take;
    }
    wipe(pseudo_random_key.data(), pseudo_random_key.size());
    wipe(block.data(), block.size());
    return out;
}

secret_bytes hkdf_sha256(bytes_view key, std::string_view label, std::size_t length) {
    return hkdf_sha256(key, bytes_view(), as_bytes(label), length);
}

bytes seal(bytes_view key, bytes_view plaintext, bytes_view associated) {
    if (key.size() != seal_key_size) {
        throw std::logic_error("a sealing key has 32 bytes");
    }
    bytes sealed(nonce_size + plaintext.size() + tag_size);
    random_bytes(std::span(sealed).first(nonce_size));
    const auto context = own_openssl(EVP_CIPHER_CTX_new(), "no memory");
    int size = 0;
    require_openssl(
        EVP_EncryptInit_ex2(context.get(), gcm_algorithm(), key.data(), sealed.data(), nullptr),
        "seal");
    require_openssl(EVP_EncryptUpdate(context.get(), nullptr, &size, associated.data(),
                                      checked_int(associated.size())),
                    "seal");
    auto* out = sealed.data() + nonce_size;
    if (!plaintext.empty()) {
        require_openssl(EVP_EncryptUpdate(context.get(), out, &size, plaintext.data(),
                                          checked_int(plaintext.size())),
                        "seal");
        out += size;
    }
    require_openssl(EVP_EncryptFinal_ex(context.get(), out, &size), "seal");
    require_openssl(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, tag_size, out + size),
                    "seal");
    return sealed;
}

std::optional<secret_bytes> open(bytes_view key, bytes_view sealed, bytes_view associated) {
    if (key.size() != seal_key_size) {
        throw std::logic_error("a sealing key has 32 bytes");
    }
    if (sealed.size() < seal_overhead) {
        return std::nullopt;
    }
    const auto text = sealed.subspan(nonce_size, sealed.size() - seal_overhead);
    std::array<std::uint8_t, tag_size> tag{};
    std::copy_n(sealed.end() - tag_size, tag_size, tag.begin());
    const auto context = own_openssl(EVP_CIPHER_CTX_new(), "no memory");
    secret_bytes plain(text.size());
    int size = 0;
    require_openssl(
        EVP_DecryptInit_ex2(context.get(), gcm_algorithm(), key.data(), sealed.data(), nullptr),
        "open");
    require_openssl(EVP_DecryptUpdate(context.get(), nullptr, &size, associated.data(),
                                      checked_int(associated.size())),
                    "open");
    if (!text.empty()) {
        require_openssl(EVP_DecryptUpdate(context.get(), plain.writable().data(), &size,
                                          text.data(), checked_int(text.size())),
                        "open");
    }
    require_openssl(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, tag_size, tag.data()),
                    "open");
    std::array<std::uint8_t, tag_size> rest{};
    if (EVP_DecryptFinal_ex(context.get(), rest.data(), &size) != 1) {
        ERR_clear_error();
        return std::nullopt;
    }
    return plain;
}

}  // namespace insula
