#include "../doctor.hpp"

#include "command.hpp"

#include "insula/core/json_writer.hpp"

#include <fmt/format.h>

#include <memory>

namespace insula::app::commands {
namespace {

std::string to_json(const std::vector<finding>& findings) {
    std::string text;
    json_writer out(text);
    out.begin_array();
    for (const auto& f : findings) {
        out.begin_object()
            .member("check", f.check)
            .member("status", name(f.status))
            .member("detail", f.detail)
            .end_object();
    }
    out.end_array();
    return text;
}

int doctor(const configuration_flags& flags, bool json) {
    const auto values = flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    const auto findings = examine(*values);
    bool healthy = true;
    for (const auto& f : findings) {
        healthy = healthy && f.status != verdict::fail;
        if (!json) {
            say(fmt::format("{:<5} {:<22} {}", name(f.status), f.check, f.detail));
        }
    }
    if (json) {
        say(to_json(findings));
    }
    return healthy ? done : failed;
}

}  // namespace

void add_doctor(CLI::App& program, chosen_command& chosen) {
    auto* command =
        program.add_subcommand("doctor",
                               "Checks kernel, io_uring, limits, database, roles, keys and clock; "
                               "one line each");
    auto flags = std::make_shared<configuration_flags>();
    auto json = std::make_shared<bool>(false);
    flags->add_to(*command);
    command->add_flag("--json", *json, "for scripts");
    command->callback(
        [&chosen, flags, json] { chosen = [flags, json] { return doctor(*flags, *json); }; });
}

}  // namespace insula::app::commands
