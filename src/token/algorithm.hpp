#pragma once
// One row per algorithm: everything that differs between them, and nothing else does.

#include "token/openssl.hpp"

#include "insula/core/bytes.hpp"
#include "insula/token/key.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace insula::token {

/// What a key is made of. Public-key algorithms have `pair`, HS256 has `secret`.
struct key::parts {
    algorithm alg = algorithm::es256;
    std::string kid;
    pkey_ptr pair;
    secret_bytes secret;
    std::string header_segment;       // base64url of {"alg":…,"kid":…,"typ":"at+jwt"}
    std::size_t signature_bytes = 0;  // of every signature this key makes
};

/// Checks signatures of one key with contexts prepared once. Not thread-safe; one per loop and key.
class check_context {
public:
    virtual ~check_context() = default;
    /// `signature` has exactly the key's signature_bytes.
    virtual bool check(std::string_view signed_text, bytes_view signature) = 0;
};

/// Signs with one key. Not thread-safe.
class sign_context {
public:
    virtual ~sign_context() = default;
    /// `signature` has exactly the key's signature_bytes.
    virtual void sign(std::string_view text, std::span<std::uint8_t> signature) = 0;
};

struct algorithm_row {
    algorithm id;
    std::string_view name;
    bool has_public_half;

    /// Fill pair or secret; import answers nothing when the material is no key of this algorithm.
    key::parts (*generate)();
    std::optional<key::parts> (*import_private)(bytes_view material);
    secret_bytes (*export_private)(const key::parts& from);
    std::size_t (*signature_bytes)(const key::parts& of);
    /// The members RFC 7638 section 3.2 requires, in its order, without braces; empty without a
    /// public half.
    std::string (*required_jwk_members)(const key::parts& from);

    std::unique_ptr<check_context> (*make_check)(const key::parts& with);
    std::unique_ptr<sign_context> (*make_sign)(const key::parts& with);
};

const algorithm_row& row_of(algorithm value) noexcept;

/// RFC 7638: base64url of SHA-256 of the required members in braces.
std::string jwk_thumbprint(std::string_view required_members);

extern const algorithm_row es256_row;
extern const algorithm_row hs256_row;
extern const algorithm_row eddsa_row;
extern const algorithm_row rs256_row;

/// Upper bound of signature_bytes over all keys, for buffers: RSA of 4096 bits.
inline constexpr std::size_t signature_bytes_max = 512;

}  // namespace insula::token
