#pragma once
#include "insula/core/ids.hpp"
#include "insula/identity/capabilities.hpp"

#include <optional>
#include <string_view>

namespace insula::identity {

/// A refresh token: its session's id, 256 secret bits and a proof that we made it, as 86 characters
/// of base64url. The first one of a session is random; each further one is derived from its parent,
/// so that it can be given again without having been stored. With the proof, what is made up never
/// reaches the database, and what was spent long ago is known for ours without a list of the spent.
class refresh_token {
public:
    /// Of a new session.
    static refresh_token first(const secret_keys& keys, session_id session);
    /// Nullopt: not one of ours.
    static std::optional<refresh_token> parse(const secret_keys& keys, std::string_view text);

    /// Always the same.
    refresh_token successor(const secret_keys& keys) const;

    const session_id& session() const noexcept { return session_; }
    const secret_string& text() const noexcept { return text_; }
    /// What the database keeps.
    digest_256 stored() const { return secret_keys::stored_form(text_.view()); }

private:
    refresh_token(const secret_keys& keys, session_id session, bytes_view secret);

    session_id session_;
    secret_string text_;
};

}  // namespace insula::identity
