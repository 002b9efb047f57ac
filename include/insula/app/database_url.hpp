#pragma once
#include "insula/core/error.hpp"
#include "insula/core/secret.hpp"

#include <string>
#include <string_view>

namespace insula::app {

/// Where the database is: what INSULA_DATABASE_URL says, without a user. Users follow from the role
/// prefix, their passwords from the key-encryption key.
class database_url {
public:
    /// A libpq URI or key=value text. Error: internal with a sentence (syntax, no database name).
    static result<database_url> parse(std::string_view text);

    const std::string& database() const noexcept { return database_; }
    /// "host=… port=… dbname=…" without user and password, for a database on the server: what
    /// `insula bootstrap` prints for INSULA_DATABASE_URL.
    std::string describe_database(std::string_view database) const;
    /// Complete conninfo of a login of ours.
    std::string conninfo(std::string_view role, const secret_bytes& key_encryption_key) const;
    /// The same server with the user and password of the text itself, for administrators.
    std::string admin_conninfo(std::string_view database = {}) const;

private:
    std::string rest_;   // key=value without user, password, dbname
    std::string login_;  // user and password of the text, for admin_conninfo
    std::string database_;
};

}  // namespace insula::app
