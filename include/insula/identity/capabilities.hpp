#pragma once
#include "insula/core/crypto.hpp"
#include "insula/core/secret.hpp"
#include "insula/core/time.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace insula::identity {

/// Sub-keys of the key-encryption key (HKDF, one label each). One object per process, immutable.
class secret_keys {
public:
    /// `key_encryption_key` is 32 bytes.
    explicit secret_keys(const secret_bytes& key_encryption_key);

    /// What `column` keeps of a token that a client holds: SHA-256. Tokens have 128 or 256 random
    /// bits, so a plain hash cannot be searched.
    static digest_256 stored_form(std::string_view token);

    /// A mail's token inside a task's input, as base64. `about` (user and purpose) is
    /// authenticated.
    std::string seal_token(const secret_string& token, std::string_view about) const;
    std::optional<secret_string> open_token(std::string_view sealed, std::string_view about) const;

    /// A cursor that can be read but not made or changed by a client; `about` names the list and
    /// the tenant.
    std::string seal_cursor(std::string_view position, std::string_view about) const;
    std::optional<std::string> open_cursor(std::string_view cursor, std::string_view about) const;

    /// Keyed hash of the three texts as they are (none can be moved into another): what is kept of
    /// an Idempotency-Key and of a body, which may hold a password.
    digest_256 idempotency_hash(std::string_view first, std::string_view second,
                                std::string_view third) const;
    /// An answer that is given again; it may hold a capability.
    bytes seal_answer(std::string_view answer, bytes_view about) const;
    std::optional<std::string> open_answer(bytes_view sealed, bytes_view about) const;

    const secret_bytes& signing_key_encryption() const noexcept { return signing_keys_; }
    /// Proves refresh tokens and derives their successors.
    const hmac_key& refresh_tokens() const noexcept { return refresh_tokens_; }

private:
    secret_bytes mail_tokens_;
    secret_bytes cursors_;
    secret_bytes signing_keys_;
    hmac_key idempotency_;
    secret_bytes answers_;
    hmac_key refresh_tokens_;
};

}  // namespace insula::identity
