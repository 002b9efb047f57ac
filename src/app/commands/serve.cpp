#include "command.hpp"

#include "insula/app/instance.hpp"
#include "insula/runtime/signals.hpp"

#include <csignal>
#include <memory>

namespace insula::app::commands {
namespace {

constexpr std::string_view no_work =
    "INSULA_WORKERS is 0: a worker would do nothing. Set how many workflow runs it may do at once.";

int run(const configuration_flags& flags, bool only_print, bool serves) {
    auto values = flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (only_print) {
        say(print_config(*values));
        return done;
    }
    if (!serves && values->workers == 0) {
        return complain(no_work, wrong_configuration);
    }
    runtime::block_signals({SIGINT, SIGTERM});
    observe::configure_log({.level = values->log_level, .format = values->log_format});
    instance_options options;
    options.values = std::move(*values);
    options.serves = serves;
    if (!serves) {
        options.ready = [](const std::string&) { observe::info("working"); };
    }
    auto service = instance::make(std::move(options));
    if (!service) {
        return complain(sentence_of(service.error()), wrong_configuration);
    }
    const auto ended = (*service)->run();
    return ended ? done : complain(sentence_of(ended.error()), failed);
}

void add(CLI::App& program, chosen_command& chosen, const std::string& name,
         const std::string& help, bool serves) {
    auto* command = program.add_subcommand(name, help);
    auto flags = std::make_shared<configuration_flags>();
    auto only_print = std::make_shared<bool>(false);
    flags->add_to(*command);
    command->add_flag("--print-config", *only_print,
                      "show the effective settings, secrets redacted, and end");
    command->callback([&chosen, flags, only_print, serves] {
        chosen = [flags, only_print, serves] { return run(*flags, *only_print, serves); };
    });
}

}  // namespace

void add_serve(CLI::App& program, chosen_command& chosen) {
    add(program, chosen, "serve",
        "The service, for production: INSULA_DATABASE_URL and INSULA_KEY_ENCRYPTION_KEY must be "
        "set",
        true);
}

void add_worker(CLI::App& program, chosen_command& chosen) {
    add(program, chosen, "worker",
        "Only the tasks of the service, without HTTP (INSULA_ADMIN_LISTEN still has metrics and "
        "health); any number may run beside insula serve",
        false);
}

}  // namespace insula::app::commands
