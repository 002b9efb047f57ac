#pragma once

#include "insula/core/error.hpp"
#include "insula/core/secret.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace insula::token {

/// A key has exactly one, and a token never chooses (RFC 8725 section 3.1). Another one is a row in
/// the table of algorithm.cpp: its name, how its keys are made and stored, and how it signs and
/// checks.
enum class algorithm : std::uint8_t { es256, hs256, eddsa, rs256 };

/// The registered name: "ES256", "HS256", "RS256" (RFC 7518 section 3.1), "EdDSA" (RFC 8037).
std::string_view name(algorithm value) noexcept;
/// Exact spelling only.
std::optional<algorithm> parse_algorithm(std::string_view text) noexcept;

/// A signing key with its private half. Immutable; copies share it. Safe to use from several
/// threads (signing and checking go through the per-thread contexts of signer and verifier).
class key {
public:
    /// A new random key. `kid` is the RFC 7638 thumbprint of the public half, or 128 random bits
    /// for HS256, whose thumbprint would be a fingerprint of the secret.
    static key generate(algorithm value);

    /// The inverse of export_private(). errc::internal when the material is no key of that
    /// algorithm, or (public-key algorithms) its thumbprint is not `kid`.
    static result<key> import_private(algorithm value, std::string kid,
                                      std::span<const std::uint8_t> material);

    /// PKCS#8 DER (RFC 5958), or the raw octets of an HS256 secret. To be sealed before it is
    /// stored.
    secret_bytes export_private() const;

    algorithm alg() const noexcept;
    const std::string& kid() const noexcept;
    /// False for HS256, which is never published.
    bool has_public_half() const noexcept;
    /// The public half as a JWK (RFC 7517) with kid, alg and use; empty without a public half.
    std::string public_jwk() const;

    struct parts;  // in src/token/key_parts.hpp
    const parts& inner() const noexcept { return *parts_; }

private:
    explicit key(std::shared_ptr<const parts> value) : parts_(std::move(value)) {}
    std::shared_ptr<const parts> parts_;
};

/// Private material for storage: AES-256-GCM under the 32-byte key-encryption key. The additional
/// data is kid and algorithm, so a sealed blob moved to another row does not open.
std::vector<std::uint8_t> seal_key(const key& value, const secret_bytes& key_encryption_key);
/// errc::internal when it was not sealed for this kid, algorithm and key-encryption key.
result<key> open_key(algorithm value, std::string kid, std::span<const std::uint8_t> sealed,
                     const secret_bytes& key_encryption_key);

}  // namespace insula::token
