#include "command.hpp"

#include "insula/app/database_setup.hpp"

#include <fmt/format.h>

#include <memory>

namespace insula::app::commands {
namespace {

int report_check(const migration_summary& summary) {
    if (summary.control_pending.empty() && summary.tenants_behind == 0) {
        say(fmt::format("Nothing to do: control plane at {}, every tenant at {}.",
                        summary.control_head, summary.tenant_head));
        return done;
    }
    say(fmt::format("Pending: {} of the control plane, {} tenants. Run insula migrate.",
                    summary.control_pending.size(), summary.tenants_behind));
    return failed;
}

int migrate(const configuration_flags& flags, bool check) {
    const auto values = flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (auto usable = check_database_settings(*values); !usable) {
        return complain(sentence_of(usable.error()), wrong_configuration);
    }
    const auto summary = migrate_database(*values, check, tell);
    if (!summary) {
        return complain(sentence_of(summary.error()), failed);
    }
    if (check) {
        return report_check(*summary);
    }
    say(fmt::format("Control plane at {}, tenants at {} ({} migrated).", summary->control_head,
                    summary->tenant_head, summary->tenants_migrated));
    for (const auto& sentence : summary->failures) {
        complain(sentence, failed);
    }
    return summary->failures.empty() ? done : failed;
}

}  // namespace

void add_migrate(CLI::App& program, chosen_command& chosen) {
    auto* command = program.add_subcommand("migrate",
                                           "Brings the control plane and every tenant's schema to "
                                           "this version; can be interrupted and repeated");
    auto flags = std::make_shared<configuration_flags>();
    auto check = std::make_shared<bool>(false);
    flags->add_to(*command);
    command->add_flag("--check", *check, "change nothing; exit 1 when something is pending");
    command->callback(
        [&chosen, flags, check] { chosen = [flags, check] { return migrate(*flags, *check); }; });
}

}  // namespace insula::app::commands
