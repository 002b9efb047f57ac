#include "command.hpp"

#include <unistd.h>

#include <iostream>

namespace insula::app::commands {

void configuration_flags::add_to(CLI::App& command) {
    command.add_option("--config", file_, "TOML file with settings")->check(CLI::ExistingFile);
    for (const auto& s : settings()) {
        const std::string name(s.name);
        command
            .add_option_function<std::string>(
                s.flag(), [this, name](const std::string& text) { given_[name] = text; },
                std::string(s.help) + " (" + s.environment() + ")")
            ->group("Settings");
    }
}

result<config> configuration_flags::load(config base) const {
    config_sources sources;
    sources.flags = given_;
    sources.file = file_;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        sources.environment.emplace_back(*entry);
    }
    return load_config(sources, std::move(base));
}

int complain(std::string_view sentence, exit_code code) {
    std::cerr << "insula: " << sentence << std::endl;
    return code;
}

std::string sentence_of(const error& e) {
    if (!e.internal().empty()) {
        return std::string(e.internal());
    }
    return e.detail().empty() ? std::string(e.name()) : std::string(e.detail());
}

void say(std::string_view line) {
    std::cout << line << std::endl;
}

void tell(std::string_view line) {
    std::cerr << line << std::endl;
}

}  // namespace insula::app::commands
