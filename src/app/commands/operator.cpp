#include "../setup_connection.hpp"
#include "command.hpp"
#include "password_prompt.hpp"

#include "insula/app/database_setup.hpp"
#include "insula/identity/operators.hpp"

#include <fmt/format.h>

#include <memory>

namespace insula::app::commands {
namespace {

runtime::awaitable<result<user_id>> create(setup_connection& app, const email_address& email,
                                           const password_text& password) {
    const identity::password_hasher hasher;
    auto made = co_await identity::create_operator(
        app.pool(), hasher, email, password,
        runtime::deadline::after(setup_connection::connect_limit));
    co_await app.close();
    co_return made;
}

std::string sentence(const error& e) {
    return e.fields().empty() ? sentence_of(e) : "The password " + e.fields().front().detail + ".";
}

int create_operator(const configuration_flags& flags, const std::string& email_text) {
    const auto values = flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    const auto email = email_address::parse(email_text);
    if (!email) {
        return complain("--email " + email.error().detail + ".", wrong_usage);
    }
    const auto key = values->key();
    const auto roles = roles_of(*values);
    const auto url = database_url::parse(values->database_url);
    if (!key || !roles || !url) {
        const auto problem = !key ? key.error() : !roles ? roles.error() : url.error();
        return complain(sentence_of(problem), wrong_configuration);
    }
    const auto typed = read_password();
    const auto password = password_text::parse(typed.view());
    if (!password) {
        return complain("The password " + password.error().detail + ".", wrong_usage);
    }
    auto home = setup_loop(*values);
    if (!home) {
        return complain(sentence_of(home.error()), wrong_configuration);
    }
    setup_connection app(**home, "app", url->conninfo(roles->app(), *key));
    const auto made = run_blocking(**home, create(app, *email, *password));
    if (!made) {
        return complain(sentence(made.error()), failed);
    }
    say(fmt::format("Operator {} can log in: POST /api/v1/auth/login without a tenant_slug.",
                    email->str()));
    return done;
}

}  // namespace

void add_operator(CLI::App& program, chosen_command& chosen) {
    auto* group = program.add_subcommand("operator", "Platform operators");
    group->require_subcommand(1);
    auto* command =
        group->add_subcommand("create",
                              "A new operator; asks for the password, or reads it from standard "
                              "input");
    auto flags = std::make_shared<configuration_flags>();
    auto email = std::make_shared<std::string>();
    command->add_option("--email", *email, "the operator's mail address")->required();
    flags->add_to(*command);
    command->callback([&chosen, flags, email] {
        chosen = [flags, email] { return create_operator(*flags, *email); };
    });
}

}  // namespace insula::app::commands
