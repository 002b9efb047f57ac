#include "insula/identity/issue_tokens.hpp"

#include <algorithm>

namespace insula::identity {

result<issued_tokens> issue_tokens(const context& with, token_service& tokens,
                                   const session_facts& about,
                                   std::optional<refresh_part> refresh) {
    issued_tokens issued;
    issued.expires_in = std::min(token_service::access_lifetime, about.left);
    token::claims claims;
    claims.subject = about.user;
    claims.session = about.session;
    claims.session_version = about.version;
    claims.actor = about.actor;
    claims.id = make_uuid_v7();
    claims.issued_at = std::chrono::floor<std::chrono::seconds>(with.clock.now());
    claims.expires_at = claims.issued_at + issued.expires_in;
    if (about.tenant) {
        claims.tenant = about.tenant->id;
        claims.role = about.tenant->role;
        issued.tenant = about.tenant;
    }
    auto access = tokens.sign(claims);
    if (!access) {
        return access.error();
    }
    issued.access_token = std::move(*access);
    if (refresh) {
        issued.refresh_token = std::move(refresh->token);
        issued.refresh_expires_in = refresh->left;
    }
    return issued;
}

}  // namespace insula::identity
