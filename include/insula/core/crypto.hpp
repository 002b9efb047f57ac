#pragma once
// Digests, key derivation and sealing on OpenSSL 3 EVP. Algorithms are fetched once per process
// (a fetch costs more than the digest, FACTS.md 8). All may be called from any thread; a failure
// inside OpenSSL throws infrastructure_error.

#include "insula/core/bytes.hpp"
#include "insula/core/secret.hpp"

#include <array>
#include <optional>
#include <string_view>

namespace insula {

using digest_256 = std::array<std::uint8_t, 32>;

[[nodiscard]] digest_256 sha256(bytes_view data);
[[nodiscard]] inline digest_256 sha256(std::string_view text) {
    return sha256(as_bytes(text));
}

/// RFC 2104. For many messages under one key hold an hmac_key instead.
[[nodiscard]] digest_256 hmac_sha256(bytes_view key, bytes_view data);

/// HMAC-SHA256 with the key schedule done once. sign() may be called from several threads at once.
class hmac_key {
public:
    explicit hmac_key(bytes_view key);
    hmac_key(hmac_key&&) noexcept;
    hmac_key& operator=(hmac_key&&) noexcept;
    ~hmac_key();

    [[nodiscard]] digest_256 sign(bytes_view data) const;
    /// The MAC of the parts one after another; the caller sees to it that no two lists of parts
    /// join to the same bytes (fixed sizes, or separators that cannot occur).
    [[nodiscard]] digest_256 sign(std::initializer_list<bytes_view> parts) const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// RFC 5869: extract with `salt`, expand with `info`. `length` <= 8160.
[[nodiscard]] secret_bytes hkdf_sha256(bytes_view key, bytes_view salt, bytes_view info,
                                       std::size_t length);
/// A sub-key for one purpose: empty salt, info = label. One label for each use of a key.
[[nodiscard]] secret_bytes hkdf_sha256(bytes_view key, std::string_view label, std::size_t length);

inline constexpr std::size_t seal_key_size = 32;
inline constexpr std::size_t seal_overhead = 12 + 16;

/// AES-256-GCM: nonce (12 random bytes) | ciphertext | tag (16). `key` is 32 bytes. `associated` is
/// authenticated but not stored: bind the row's identity with it, so that a sealed value copied to
/// another row does not open. Random nonces: rotate a key long before 2^32 messages (NIST SP
/// 800-38D, 8.3).
[[nodiscard]] bytes seal(bytes_view key, bytes_view plaintext, bytes_view associated);
/// nullopt when anything differs from what was sealed: key, associated data, any bit.
[[nodiscard]] std::optional<secret_bytes> open(bytes_view key, bytes_view sealed,
                                               bytes_view associated);

}  // namespace insula
