#include "command.hpp"

#include "insula/app/database_setup.hpp"
#include "insula/app/embedded_postgres.hpp"
#include "insula/app/instance.hpp"
#include "insula/core/base64.hpp"
#include "insula/core/random.hpp"
#include "insula/runtime/listener.hpp"
#include "insula/runtime/signals.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>

namespace insula::app::commands {
namespace {

namespace fs = std::filesystem;

constexpr double dev_rate_scale = 100;

error wrong(std::string sentence) {
    return {errc::internal, {}, std::move(sentence)};
}

/// All or nothing, readable for the owner only.
result<> write_private(const fs::path& file, std::string_view text) {
    const auto part = file.string() + ".new";
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool written =
        fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
        ::fsync(fd) == 0;
    if (fd >= 0) {
        ::close(fd);
    }
    if (!written || ::rename(part.c_str(), file.c_str()) != 0) {
        return wrong("Cannot write " + file.string() + ": is the data directory writable?");
    }
    return {};
}

/// DATA/key: made once, readable for the owner only; losing it would lose every login of this data
/// directory.
result<std::string> key_of(const fs::path& data_dir) {
    const auto file = data_dir / "key";
    if (fs::exists(file)) {
        std::ifstream in(file);
        std::string text;
        in >> text;
        if (text.empty()) {
            return wrong(file.string() +
                         " is empty or unreadable. Put the old key back, or remove " +
                         data_dir.string() + " to begin anew.");
        }
        return text;
    }
    std::array<std::uint8_t, 32> bytes{};
    random_bytes(bytes);
    auto text = base64_encode(bytes);
    if (auto written = write_private(file, text); !written) {
        return written.error();
    }
    return text;
}

/// SO_REUSEPORT would let a second instance share the port silently; a listener without it is
/// refused.
result<> address_is_free(const config& values) {
    auto loop = runtime::make_loop({.kind = runtime::backend::epoll});
    if (!loop) {
        return loop.error();
    }
    for (const auto& address : values.listen) {
        if (auto probe = runtime::listener::bind(**loop, address, {.reuse_port = false}); !probe) {
            return wrong(sentence_of(probe.error()));
        }
    }
    return {};
}

void print_first_steps(const std::string& address, const config& values,
                       const std::string& data_dir) {
    const auto url = "http://" + address;
    const auto mail_dir = values.mail_dir.empty() ? data_dir + "/mail" : values.mail_dir;
    say(fmt::format(
        R"(
Insula is ready at {0}   ({2}; stop with Ctrl-C)

First steps, in another terminal:

  curl -s {0}/api/v1/auth/register -H 'Content-Type: application/json' -d '{{
    "email": "ada@example.org", "password": "correct horse battery staple",
    "full_name": "Ada Lovelace", "tenant_name": "Analytical Engines", "tenant_slug": "engines"}}'

  curl -s "{0}/api/v1/registrations/REGISTRATION_ID?wait=10"     # the id from the answer above
  cat {1}/*.eml                                    # the link has the token
  curl -s {0}/api/v1/auth/verify-email -H 'Content-Type: application/json' -d '{{"token": "TOKEN"}}'
  curl -s {0}/api/v1/auth/login -H 'Content-Type: application/json' -d '{{
    "email": "ada@example.org", "password": "correct horse battery staple", "tenant_slug": "engines"}}'
  curl -s {0}/api/v1/projects -H 'Authorization: Bearer ACCESS_TOKEN'

Other commands work on this database with --config {3}/settings.toml:

  insula operator create --email you@example.org --config {3}/settings.toml
  insula tenant list --config {3}/settings.toml

README.md has the same tour to paste as it is. The API: {0}/docs
)",
        url, mail_dir,
        values.mail == "smtp" ? "mail goes out by SMTP" : "mail is written to " + mail_dir,
        data_dir));
}

std::string toml_text(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
        quoted += c == '"' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
    }
    return quoted + '"';
}

/// DATA/settings.toml: what the other commands need to work on this database, with --config; from
/// wherever they are started.
result<> write_settings(const fs::path& data_dir, const config& values) {
    const auto mail_dir = values.mail_dir.empty() ? data_dir / "mail" : fs::path(values.mail_dir);
    return write_private(
        data_dir / "settings.toml",
        fmt::format("# Written by insula dev at each start. It holds the key.\n"
                    "database_url = {}\nkey_encryption_key = {}\nrole_prefix = {}\ncells = {}\n"
                    "mail_dir = {}\n",
                    toml_text(values.database_url), toml_text(values.key_encryption_key),
                    toml_text(values.role_prefix), values.cells,
                    toml_text(fs::absolute(mail_dir).string())));
}

result<> prepare_database(const config& values, const embedded_postgres& server) {
    const auto administrator = database_url::parse(server.admin_conninfo());
    if (!administrator) {
        return administrator.error();
    }
    if (auto done = bootstrap_database(values, *administrator, "insula", false, tell); !done) {
        return done;
    }
    const auto migrated = migrate_database(values, false, tell);
    return migrated ? result<>() : result<>(migrated.error());
}

int dev(const configuration_flags& flags, const std::string& data_dir) {
    // Before any thread exists, so that every one of them has them blocked.
    runtime::block_signals({SIGINT, SIGTERM});
    config base;
    base.log_format = observe::log_format::text;
    base.rate_scale = dev_rate_scale;
    auto values = flags.load(base);
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (!values->database_url.empty()) {
        return complain(
            "insula dev runs its own PostgreSQL; unset INSULA_DATABASE_URL, or use insula serve.",
            wrong_configuration);
    }
    if (auto free = address_is_free(*values); !free) {
        return complain(sentence_of(free.error()), failed);
    }
    auto server = embedded_postgres::start({.data_directory = data_dir, .progress = tell});
    if (!server) {
        return complain(server.error().sentence, failed);
    }
    if (values->key_encryption_key.empty()) {
        auto key = key_of(data_dir);
        if (!key) {
            return complain(sentence_of(key.error()), failed);
        }
        values->key_encryption_key = std::move(*key);
    }
    values->database_url = fmt::format("host='{}' port={} dbname=insula",
                                       server->socket_folder().string(), embedded_postgres::port());
    if (auto prepared = prepare_database(*values, *server); !prepared) {
        return complain(sentence_of(prepared.error()), failed);
    }
    if (auto written = write_settings(data_dir, *values); !written) {
        return complain(sentence_of(written.error()), failed);
    }
    observe::configure_log({.level = values->log_level, .format = values->log_format});
    instance_options options;
    options.values = *values;
    options.data_dir = data_dir;
    options.development = true;
    options.ready = [&](const std::string& address) {
        print_first_steps(address, *values, data_dir);
    };
    options.trouble = [&]() -> std::string {
        return server->alive() ? ""
                               : "The private PostgreSQL has ended; " + data_dir +
                                     "/postgres/server.log says why. Start insula dev again.";
    };
    auto service = instance::make(std::move(options));
    if (!service) {
        return complain(sentence_of(service.error()), wrong_configuration);
    }
    const auto ended = (*service)->run();
    service = wrong("ended");  // connections go before their server
    server->stop();
    return ended ? done : complain(sentence_of(ended.error()), failed);
}

}  // namespace

void add_dev(CLI::App& program, chosen_command& chosen) {
    auto* command =
        program.add_subcommand("dev",
                               "Everything on this machine: a private PostgreSQL in the data "
                               "directory, and the service");
    auto flags = std::make_shared<configuration_flags>();
    auto data_dir = std::make_shared<std::string>(".insula");
    command->add_option("--data-dir", *data_dir, "where database, key and mail are kept")
        ->capture_default_str();
    flags->add_to(*command);
    command->callback([&chosen, flags, data_dir] {
        chosen = [flags, data_dir] { return dev(*flags, *data_dir); };
    });
}

}  // namespace insula::app::commands
