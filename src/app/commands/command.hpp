#pragma once
// What the commands share: flags from the table of settings, exit codes, errors for people.

#include "insula/app/config.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace insula::app::commands {

enum exit_code : int { done = 0, failed = 1, wrong_usage = 2, wrong_configuration = 3 };

/// Flags of a command for all settings (or those named), and --config.
class configuration_flags {
public:
    void add_to(CLI::App& command);
    /// What flags, environment and file say, on top of `base`.
    result<config> load(config base = {}) const;

private:
    std::map<std::string, std::string> given_;
    std::string file_;
};

/// "insula: <sentence>" on standard error.
int complain(std::string_view sentence, exit_code code);
/// The internal sentence of an error, or its detail, or its code.
std::string sentence_of(const error& e);
/// A line on standard output, flushed at once.
void say(std::string_view line);
/// A line on standard error, for progress.
void tell(std::string_view line);

/// Each adds itself to the command line; `chosen` is what will run.
using chosen_command = std::function<int()>;
void add_dev(CLI::App& program, chosen_command& chosen);
void add_serve(CLI::App& program, chosen_command& chosen);
void add_worker(CLI::App& program, chosen_command& chosen);
void add_tenant(CLI::App& program, chosen_command& chosen);
void add_bootstrap(CLI::App& program, chosen_command& chosen);
void add_migrate(CLI::App& program, chosen_command& chosen);
void add_keys(CLI::App& program, chosen_command& chosen);
void add_token(CLI::App& program, chosen_command& chosen);
void add_operator(CLI::App& program, chosen_command& chosen);
void add_verify_isolation(CLI::App& program, chosen_command& chosen);
void add_doctor(CLI::App& program, chosen_command& chosen);

}  // namespace insula::app::commands
