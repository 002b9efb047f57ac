#pragma once
#include "insula/core/ids.hpp"
#include "insula/core/secret.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace insula::tenancy {

/// "t_" and the 32 hexadecimal digits of the UUID: the name of the tenant's role and of its schema.
/// A function of the id alone and injective, so no text from outside ever reaches DDL (G05).
std::string tenant_name(tenant_id tenant);

/// The roles of one installation. Roles are shared by a whole PostgreSQL cluster, hence the prefix.
class role_names {
public:
    /// Lower-case letters, digits and underscores, 1 to 32 characters, a letter first, not ending
    /// in _schema; else nullopt.
    static std::optional<role_names> make(std::string_view prefix);

    const std::string& prefix() const noexcept { return prefix_; }
    std::string owner() const { return prefix_ + "_owner"; }
    std::string app() const { return prefix_ + "_app"; }
    std::string worker() const { return prefix_ + "_worker"; }
    std::string provisioner() const { return prefix_ + "_provisioner"; }
    std::string schema_owner() const { return prefix_ + "_schema_owner"; }
    std::string gatekeeper() const { return prefix_ + "_gatekeeper"; }
    std::string cell(int number) const { return prefix_ + "_cell_" + std::to_string(number); }

    /// What `{role:…}`, `{name:…}` and `{prefix}` in our SQL files stand for.
    std::map<std::string, std::string> placeholders() const;

private:
    explicit role_names(std::string prefix) : prefix_(std::move(prefix)) {}
    std::string prefix_;
};

/// Replaces `{role:owner}` by the quoted name, `{name:owner}` by the bare one, `{prefix}` and
/// `{database}`.
std::string expand_names(std::string_view sql, const role_names& roles, std::string_view database);

/// The password of a login: derived from the key-encryption key (HKDF, one label per role), so that
/// one secret configures all connections. 43 characters of base64url.
secret_string login_password(const secret_bytes& key_encryption_key, std::string_view role);

/// `text` as a quoted SQL identifier.
std::string quote_identifier(std::string_view text);
/// `text` as a quoted SQL literal.
std::string quote_literal(std::string_view text);

}  // namespace insula::tenancy
