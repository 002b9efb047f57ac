#pragma once
// Randomness from OpenSSL's generator (seeded by the kernel). All may be called from any thread;
// all throw infrastructure_error when there is no randomness, never return less.

#include "insula/core/bytes.hpp"
#include "insula/core/secret.hpp"

#include <cstdint>

namespace insula {

void random_bytes(std::span<std::uint8_t> out);
[[nodiscard]] std::uint64_t random_u64();

/// 256 random bits as 43 characters of base64url: refresh tokens, mail tokens.
[[nodiscard]] secret_string random_token_256();
/// 128 random bits as 22 characters of base64url: registration ids.
[[nodiscard]] secret_string random_token_128();

}  // namespace insula
