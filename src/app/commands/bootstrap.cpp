#include "command.hpp"

#include "insula/app/database_setup.hpp"
#include "insula/core/base64.hpp"
#include "insula/core/random.hpp"

#include <fmt/format.h>

#include <array>
#include <memory>

namespace insula::app::commands {
namespace {

std::string fresh_key() {
    std::array<std::uint8_t, 32> bytes{};
    random_bytes(bytes);
    return base64_encode(bytes);
}

int bootstrap(const configuration_flags& flags, const std::string& admin_url) {
    auto values = flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    const auto administrator = database_url::parse(admin_url);
    if (!administrator) {
        return complain("--admin-url: " + sentence_of(administrator.error()), wrong_usage);
    }
    std::string database = "insula";
    if (!values->database_url.empty()) {
        const auto target = database_url::parse(values->database_url);
        if (!target) {
            return complain(sentence_of(target.error()), wrong_configuration);
        }
        database = target->database();
    }
    const bool made_key = values->key_encryption_key.empty();
    if (made_key) {
        values->key_encryption_key = fresh_key();
    }
    if (const auto roles = roles_of(*values); !roles) {
        return complain(sentence_of(roles.error()), wrong_configuration);
    }
    if (const auto key = values->key(); !key) {
        return complain(sentence_of(key.error()), wrong_configuration);
    }
    const auto ended = bootstrap_database(*values, *administrator, database, made_key, tell);
    if (!ended) {
        return complain(sentence_of(ended.error()), failed);
    }
    tell(fmt::format("Roles, privileges and functions of {} are in place ({} cells).", database,
                     values->cells));
    if (made_key) {
        tell(
            "A key-encryption key was made. Keep it: without it tokens, cursors and logins are "
            "lost.");
        say("INSULA_KEY_ENCRYPTION_KEY=" + values->key_encryption_key);
    }
    if (values->database_url.empty()) {
        say("INSULA_DATABASE_URL=" + administrator->describe_database(database));
    }
    tell("Next: insula migrate, then insula serve, both with these two variables set.");
    return done;
}

}  // namespace

void add_bootstrap(CLI::App& program, chosen_command& chosen) {
    auto* command = program.add_subcommand("bootstrap",
                                           "Makes the database, its roles and privileges, as a "
                                           "database administrator; may be repeated");
    auto flags = std::make_shared<configuration_flags>();
    auto admin_url = std::make_shared<std::string>();
    command
        ->add_option("--admin-url", *admin_url,
                     "PostgreSQL URL of an administrator, naming a database that exists")
        ->required();
    flags->add_to(*command);
    command->callback([&chosen, flags, admin_url] {
        chosen = [flags, admin_url] { return bootstrap(*flags, *admin_url); };
    });
}

}  // namespace insula::app::commands
