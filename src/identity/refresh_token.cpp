#include "insula/identity/refresh_token.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/random.hpp"

#include <algorithm>
#include <array>

namespace insula::identity {
namespace {

constexpr std::size_t id_size = 16;
constexpr std::size_t secret_size = 32;
constexpr std::size_t proof_size = 16;
constexpr std::size_t raw_size = id_size + secret_size + proof_size;
constexpr std::size_t text_size = (raw_size * 8 + 5) / 6;

// One key, two uses: what is signed begins with which it is.
constexpr std::string_view proof_use = "proof of a refresh token\n";
constexpr std::string_view successor_use = "successor of a refresh token\n";

std::array<std::uint8_t, proof_size> proof(const secret_keys& keys, bytes_view id,
                                           bytes_view secret) {
    const auto whole = keys.refresh_tokens().sign({as_bytes(proof_use), id, secret});
    std::array<std::uint8_t, proof_size> half{};
    std::copy_n(whole.begin(), proof_size, half.begin());
    return half;
}

}  // namespace

refresh_token::refresh_token(const secret_keys& keys, session_id session, bytes_view secret)
    : session_(session) {
    secret_bytes raw(raw_size);
    const auto& id = session.value().bytes;
    auto at = std::ranges::copy(id, raw.writable().begin()).out;
    at = std::ranges::copy(secret, at).out;
    std::ranges::copy(proof(keys, id, secret), at);
    text_ = secret_string(base64url_encode(raw.view()));
}

refresh_token refresh_token::first(const secret_keys& keys, session_id session) {
    secret_bytes secret(secret_size);
    random_bytes(secret.writable());
    return {keys, session, secret.view()};
}

std::optional<refresh_token> refresh_token::parse(const secret_keys& keys, std::string_view text) {
    if (text.size() != text_size) {
        return std::nullopt;
    }
    secret_bytes raw(text_size);
    if (base64url_decode(text, raw.writable()) != raw_size) {
        return std::nullopt;
    }
    const auto id = raw.view().first(id_size);
    const auto secret = raw.view().subspan(id_size, secret_size);
    if (!equal_constant_time(proof(keys, id, secret),
                             raw.view().subspan(id_size + secret_size, proof_size))) {
        return std::nullopt;
    }
    uuid session;
    std::ranges::copy(id, session.bytes.begin());
    return refresh_token(keys, session_id(session), secret);
}

refresh_token refresh_token::successor(const secret_keys& keys) const {
    const auto parent = stored();
    const auto secret =
        keys.refresh_tokens().sign({as_bytes(successor_use), parent, session_.value().bytes});
    return {keys, session_, secret};
}

}  // namespace insula::identity
