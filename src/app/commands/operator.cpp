// `insula operator`: who may act on all tenants. From a shell of the machine only, whose users have
// the database's logins anyway.

#include "password_prompt.hpp"
#include "tenant_office.hpp"

#include "insula/core/json_writer.hpp"
#include "insula/identity/operators.hpp"

#include <fmt/format.h>

#include <memory>

namespace insula::app::commands {
namespace {

/// What was typed.
struct operator_request {
    configuration_flags flags;
    std::string email;
    bool json = false;
};

std::string sentence(const error& e) {
    return e.fields().empty() ? sentence_of(e) : "The password " + e.fields().front().detail + ".";
}

runtime::awaitable<int> create(tenant_desk& desk, const email_address& email,
                               const password_text& password) {
    const identity::password_hasher hasher;
    const auto made = co_await identity::create_operator(desk.office().control, hasher, email,
                                                         password, tenant_desk::soon());
    if (!made) {
        co_return complain(sentence(made.error()), failed);
    }
    say(fmt::format("Operator {} can log in: POST /api/v1/auth/login without a tenant_slug.",
                    email.str()));
    co_return done;
}

int run_create(const operator_request& r) {
    const auto email = email_address::parse(r.email);
    if (!email) {
        return complain("--email " + email.error().detail + ".", wrong_usage);
    }
    // Before the password is asked for.
    const auto values = r.flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (auto usable = check_database_settings(*values); !usable) {
        return complain(sentence_of(usable.error()), wrong_configuration);
    }
    const auto typed = read_password();
    const auto password = password_text::parse(typed.view());
    if (!password) {
        return complain("The password " + password.error().detail + ".", wrong_usage);
    }
    return at_desk(r.flags, [&](tenant_desk& desk) { return create(desk, *email, *password); });
}

void print_json(const std::vector<identity::operator_record>& all) {
    std::string text;
    json_writer out(text);
    out.begin_array();
    for (const auto& one : all) {
        out.begin_object()
            .member("id", one.id)
            .member("email", one.email)
            .member("active", one.active)
            .member("created_at", one.created_at)
            .member("last_login_at", one.last_login_at)
            .member("assumed_identities", one.assumed)
            .end_object();
    }
    out.end_array();
    say(text);
}

runtime::awaitable<int> list(tenant_desk& desk, const operator_request& r) {
    const auto all = co_await identity::list_operators(desk.office().control, tenant_desk::soon());
    if (!all) {
        co_return complain(sentence_of(all.error()), failed);
    }
    if (r.json) {
        print_json(*all);
        co_return done;
    }
    if (all->empty()) {
        tell("There are none: insula operator create --email … makes one.");
    }
    say(fmt::format("{:<40} {:<9} {:<28} {}", "EMAIL", "STATE", "LAST LOGIN", "ID"));
    for (const auto& one : *all) {
        say(fmt::format("{:<40} {:<9} {:<28} {}", one.email, one.active ? "active" : "disabled",
                        one.last_login_at ? rfc3339(*one.last_login_at) : "never", one.id.str()));
    }
    co_return done;
}

runtime::awaitable<int> set_active(tenant_desk& desk, const email_address& email, bool active,
                                   bool json) {
    const auto changed = co_await identity::set_operator_active(desk.office().control, email,
                                                                active, tenant_desk::soon());
    if (!changed) {
        co_return complain(
            changed.error() == errc::not_found
                ? "There is no operator " + email.str() + ": insula operator list shows them."
                : sentence_of(changed.error()),
            failed);
    }
    if (json) {
        std::string text;
        json_writer(text)
            .begin_object()
            .member("email", email.str())
            .member("active", active)
            .member("changed", *changed)
            .end_object();
        say(text);
    } else if (!*changed) {
        say(fmt::format("Operator {} is {} already.", email.str(), active ? "active" : "disabled"));
    } else if (active) {
        say(fmt::format("Operator {} can log in again, with the password of before.", email.str()));
    } else {
        say(
            fmt::format("Operator {} is disabled, and every session of it is over; insula operator "
                        "enable {} takes that back.",
                        email.str(), email.str()));
    }
    co_return done;
}

int run_set_active(const operator_request& r, bool active) {
    const auto email = email_address::parse(r.email);
    if (!email) {
        return complain("The address " + email.error().detail + ".", wrong_usage);
    }
    return at_desk(r.flags,
                   [&](tenant_desk& desk) { return set_active(desk, *email, active, r.json); });
}

/// One subcommand with what all of them have.
std::pair<CLI::App*, std::shared_ptr<operator_request>> add(CLI::App& group, chosen_command& chosen,
                                                            const std::string& name,
                                                            const std::string& help,
                                                            int (*work)(const operator_request&)) {
    auto* command = group.add_subcommand(name, help);
    auto request = std::make_shared<operator_request>();
    request->flags.add_to(*command);
    command->callback(
        [&chosen, request, work] { chosen = [request, work] { return work(*request); }; });
    return {command, request};
}

}  // namespace

void add_operator(CLI::App& program, chosen_command& chosen) {
    auto* group = program.add_subcommand("operator", "Platform operators");
    group->require_subcommand(1);
    {
        auto [command, r] = add(*group, chosen, "create",
                                "A new operator; asks for the password, or reads it from standard "
                                "input",
                                &run_create);
        command->add_option("--email", r->email, "the operator's mail address")->required();
    }
    {
        auto [command,
              r] = add(*group, chosen, "list", "All operators", [](const operator_request& typed) {
            return at_desk(typed.flags, [&typed](tenant_desk& desk) { return list(desk, typed); });
        });
        command->add_flag("--json", r->json, "for scripts");
    }
    {
        auto [command, r] = add(
            *group, chosen, "disable",
            "Ends all sessions of an operator, assumed identities too, and lets it log in no more",
            [](const operator_request& typed) { return run_set_active(typed, false); });
        command->add_option("email", r->email, "the operator's mail address")->required();
        command->add_flag("--json", r->json, "for scripts");
    }
    {
        auto [command, r] =
            add(*group, chosen, "enable", "Takes that back",
                [](const operator_request& typed) { return run_set_active(typed, true); });
        command->add_option("email", r->email, "the operator's mail address")->required();
        command->add_flag("--json", r->json, "for scripts");
    }
}

}  // namespace insula::app::commands
