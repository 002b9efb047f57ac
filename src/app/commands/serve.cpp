#include "command.hpp"

#include "insula/app/instance.hpp"
#include "insula/runtime/signals.hpp"

#include <csignal>
#include <memory>

namespace insula::app::commands {
namespace {

int serve(const configuration_flags& flags, bool only_print) {
    auto values = flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (only_print) {
        say(print_config(*values));
        return done;
    }
    runtime::block_signals({SIGINT, SIGTERM});
    observe::configure_log({.level = values->log_level, .format = values->log_format});
    instance_options options;
    options.values = std::move(*values);
    auto service = instance::make(std::move(options));
    if (!service) {
        return complain(sentence_of(service.error()), wrong_configuration);
    }
    const auto ended = (*service)->run();
    return ended ? done : complain(sentence_of(ended.error()), failed);
}

}  // namespace

void add_serve(CLI::App& program, chosen_command& chosen) {
    auto* command = program.add_subcommand("serve",
                                           "The service, for production: INSULA_DATABASE_URL and "
                                           "INSULA_KEY_ENCRYPTION_KEY must be set");
    auto flags = std::make_shared<configuration_flags>();
    auto only_print = std::make_shared<bool>(false);
    flags->add_to(*command);
    command->add_flag("--print-config", *only_print,
                      "show the effective settings, secrets redacted, and end");
    command->callback([&chosen, flags, only_print] {
        chosen = [flags, only_print] { return serve(*flags, *only_print); };
    });
}

}  // namespace insula::app::commands
