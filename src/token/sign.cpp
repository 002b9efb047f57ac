#include "token/algorithm.hpp"
#include "token/claims_text.hpp"
#include "token/strict_json.hpp"

#include "insula/core/base64.hpp"
#include "insula/token/token.hpp"

#include <array>

namespace insula::token {

namespace {

/// What verifier would refuse must not be signed.
bool acceptable(const claims& what) {
    const auto seconds = [](std::chrono::sys_seconds at) { return at.time_since_epoch().count(); };
    return what.tenant.has_value() == (what.role != role::none) && what.session_version >= 0 &&
           what.session_version <= strict_json::integer_max && seconds(what.issued_at) >= 0 &&
           what.expires_at > what.issued_at && seconds(what.expires_at) <= seconds_max;
}

}  // namespace

struct signer::state {
    authority who;
    std::shared_ptr<const key_set> keys;  // keeps the key of `context` alive
    std::unique_ptr<sign_context> context;
    std::string prefix;  // header segment and its dot
    std::size_t signature_bytes = 0;

    void prepare(std::shared_ptr<const key_set> from) {
        context.reset();
        keys = std::move(from);
        if (const auto* const entry = keys->signing()) {
            const auto& parts = entry->value.inner();
            const auto& row = row_of(parts.alg);
            prefix = parts.header_segment + ".";
            signature_bytes = parts.signature_bytes;
            context = row.make_sign(parts);
        }
    }
};

signer::signer(authority who, std::shared_ptr<const key_set> keys)
    : state_(std::make_unique<state>()) {
    require_valid(who);
    state_->who = std::move(who);
    state_->prepare(std::move(keys));
}

signer::~signer() = default;
signer::signer(signer&&) noexcept = default;
signer& signer::operator=(signer&&) noexcept = default;

void signer::use(std::shared_ptr<const key_set> keys) {
    state_->prepare(std::move(keys));
}

result<std::string> signer::sign(const claims& what) {
    auto& s = *state_;
    if (!s.context) {
        return error(errc::internal, {}, "no signing key is active; see `insula keys list`");
    }
    if (!acceptable(what)) {
        return error(errc::internal, {}, "claims that no verifier would accept");
    }
    std::string token = s.prefix;
    token += base64url_encode(as_bytes(write_claims(s.who, what)));
    std::array<std::uint8_t, signature_bytes_max> signature;
    const std::span<std::uint8_t> used(signature.data(), s.signature_bytes);
    s.context->sign(token, used);
    token += '.';
    token += base64url_encode(used);
    return token;
}

}  // namespace insula::token
