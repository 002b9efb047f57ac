#pragma once
#include "insula/core/error.hpp"
#include "insula/core/secret.hpp"
#include "insula/http/limits.hpp"
#include "insula/observe/log.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::app {

/// What API.md section 6 lists. Each setting is a flag (--database-url), an environment variable
/// (INSULA_DATABASE_URL) and a key of the TOML file (database_url); the first that is given wins.
struct config {
    std::string database_url;
    std::vector<std::string> listen{"127.0.0.1:8080"};
    std::string admin_listen;
    std::string public_url;  ///< empty: http:// and the first listen address
    unsigned threads = 0;    ///< 0: one per core
    std::string runtime = "auto";
    int cells = 16;
    std::string role_prefix = "insula";
    unsigned database_connections = 48;
    unsigned workers = 4;
    std::string mail = "file";
    std::string mail_dir;  ///< empty: mail below the data directory
    std::string smtp_url;  ///< smtp:// or smtps://, user and password inside
    std::string smtp_tls = "auto";
    std::string smtp_ca;  ///< PEM file trusted instead of the system's; empty: the system's
    std::string mail_from = "Insula <no-reply@localhost>";
    std::string mail_templates;  ///< a directory that replaces the built-in texts; empty: none
    bool require_verified_email = true;
    unsigned password_passes = 2;   ///< Argon2id: OWASP's minimum
    unsigned password_memory = 19;  ///< MiB, for each password that is being checked
    bool rate_limit = true;
    double rate_scale = 1;  ///< `insula dev` is 100 times looser
    /// From [rate_limit]: class -> "5/min" or "10/s burst 20".
    std::map<std::string, std::string> rates;
    std::vector<std::string> trusted_proxies;
    std::vector<std::string> cors_origins;
    std::string key_encryption_key;  ///< base64 of 32 bytes
    observe::log_level log_level = observe::log_level::info;
    observe::log_format log_format = observe::log_format::json;
    std::string tenant_migrations;
    std::chrono::seconds shutdown_grace{30};
    std::chrono::seconds deletion_grace = std::chrono::hours(7 * 24);
    std::chrono::seconds unverified_ttl = std::chrono::hours(48);
    std::chrono::seconds task_history{std::chrono::hours(30 * 24)};  ///< of finished runs
    http::limits http_limits;

    /// Without a slash at its end.
    std::string effective_public_url() const;
    /// Error: internal with a sentence, when it is missing or is not 32 bytes of base64.
    result<secret_bytes> key() const;
};

/// One setting, for flags, --help and --print-config.
struct setting {
    std::string_view name;  ///< as in TOML: "database_url"
    std::string_view help;
    bool secret;
    /// Empty: fine; else why the text cannot be taken.
    std::string (*set)(config&, std::string_view text);
    std::string (*get)(const config&);

    std::string environment() const;  ///< INSULA_DATABASE_URL
    std::string flag() const;         ///< --database-url
};
const std::vector<setting>& settings();

/// Where values come from, strongest first: flags by setting name, the environment (`name=value`
/// texts), the TOML file when `file` is not empty.
struct config_sources {
    std::map<std::string, std::string> flags;
    std::vector<std::string> environment;
    std::string file;
};

/// `base` is what the command has instead of the defaults above. Errors: one sentence that names
/// the setting, what is wrong and what would be right; an unknown key or an unknown INSULA_
/// variable is one.
result<config> load_config(const config_sources& sources, config base = {});

/// The effective values as TOML, secrets redacted.
std::string print_config(const config& values);

/// "30s", "15m", "48h", "7d".
std::optional<std::chrono::seconds> parse_duration(std::string_view text);

}  // namespace insula::app
