#include "insula/app/main.hpp"

#include "commands/command.hpp"

#include "insula/observe/log.hpp"

#include <boost/version.hpp>

#include <fmt/format.h>
#include <libpq-fe.h>
#include <openssl/crypto.h>

#include <exception>

#ifndef INSULA_VERSION
#define INSULA_VERSION "0.1.0"
#endif

namespace insula::app {
namespace {

std::string version_text() {
    return fmt::format("insula {} (Boost {}.{}, libpq {}, {})", INSULA_VERSION,
                       BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, PQlibVersion(),
                       OpenSSL_version(OPENSSL_VERSION));
}

int run(int argc, char** argv) {
    CLI::App program("Insula: registration, tenants, tokens and a tenant-scoped API on PostgreSQL.",
                     "insula");
    program.set_version_flag("--version", version_text());
    program.require_subcommand(1);
    program.footer("insula COMMAND --help tells more. Begin with: insula dev");
    commands::chosen_command chosen;
    commands::add_dev(program, chosen);
    commands::add_serve(program, chosen);
    commands::add_worker(program, chosen);
    commands::add_bootstrap(program, chosen);
    commands::add_migrate(program, chosen);
    commands::add_operator(program, chosen);
    commands::add_keys(program, chosen);
    commands::add_token(program, chosen);
    commands::add_tenant(program, chosen);
    commands::add_verify_isolation(program, chosen);
    commands::add_doctor(program, chosen);
    try {
        program.parse(argc, argv);
    } catch (const CLI::Success& e) {
        return program.exit(e);
    } catch (const CLI::ParseError& e) {
        program.exit(e);
        return commands::wrong_usage;
    }
    return chosen();
}

}  // namespace

int main(int argc, char** argv) {
    int code = commands::failed;
    try {
        code = run(argc, argv);
    } catch (const std::exception& e) {
        code = commands::complain(e.what(), commands::failed);
    }
    observe::shutdown_log();
    return code;
}

}  // namespace insula::app
