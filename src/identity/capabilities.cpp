#include "insula/identity/capabilities.hpp"

#include "insula/core/base64.hpp"

namespace insula::identity {
namespace {

std::string seal_text(const secret_bytes& key, std::string_view plain, std::string_view about) {
    return base64url_encode(seal(key.view(), as_bytes(plain), as_bytes(about)));
}

std::optional<secret_bytes> open_text(const secret_bytes& key, std::string_view sealed,
                                      std::string_view about) {
    const auto raw = base64url_decode(sealed);
    if (!raw) {
        return std::nullopt;
    }
    return open(key.view(), *raw, as_bytes(about));
}

}  // namespace

secret_keys::secret_keys(const secret_bytes& key_encryption_key)
    : mail_tokens_(hkdf_sha256(key_encryption_key.view(), "insula mail tokens", 32)),
      cursors_(hkdf_sha256(key_encryption_key.view(), "insula cursors", 32)),
      signing_keys_(hkdf_sha256(key_encryption_key.view(), "insula signing keys", 32)),
      idempotency_(hkdf_sha256(key_encryption_key.view(), "insula idempotency keys", 32).view()),
      answers_(hkdf_sha256(key_encryption_key.view(), "insula idempotency answers", 32)),
      refresh_tokens_(hkdf_sha256(key_encryption_key.view(), "insula refresh tokens", 32).view()) {}

digest_256 secret_keys::stored_form(std::string_view token) {
    return sha256(token);
}

std::string secret_keys::seal_token(const secret_string& token, std::string_view about) const {
    return seal_text(mail_tokens_, token.view(), about);
}

std::optional<secret_string> secret_keys::open_token(std::string_view sealed,
                                                     std::string_view about) const {
    const auto plain = open_text(mail_tokens_, sealed, about);
    return plain ? std::optional<secret_string>(secret_string(as_text(plain->view())))
                 : std::nullopt;
}

std::string secret_keys::seal_cursor(std::string_view position, std::string_view about) const {
    return seal_text(cursors_, position, about);
}

std::optional<std::string> secret_keys::open_cursor(std::string_view cursor,
                                                    std::string_view about) const {
    const auto plain = open_text(cursors_, cursor, about);
    return plain ? std::optional<std::string>(std::string(as_text(plain->view()))) : std::nullopt;
}

digest_256 secret_keys::idempotency_hash(std::string_view first, std::string_view second,
                                         std::string_view third) const {
    const std::string sizes = std::to_string(first.size()) + " " + std::to_string(second.size()) +
                              " " + std::to_string(third.size()) + "\n";
    return idempotency_.sign({as_bytes(sizes), as_bytes(first), as_bytes(second), as_bytes(third)});
}

bytes secret_keys::seal_answer(std::string_view answer, bytes_view about) const {
    return seal(answers_.view(), as_bytes(answer), about);
}

std::optional<std::string> secret_keys::open_answer(bytes_view sealed, bytes_view about) const {
    const auto plain = open(answers_.view(), sealed, about);
    return plain ? std::optional<std::string>(std::string(as_text(plain->view()))) : std::nullopt;
}

}  // namespace insula::identity
