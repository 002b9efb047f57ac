// `insula token`: what is wrong with an access token that somebody complains about.

#include "../setup_connection.hpp"
#include "command.hpp"

#include "insula/core/json_writer.hpp"
#include "insula/identity/key_store.hpp"
#include "insula/token/inspect.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace insula::app::commands {
namespace {

constexpr std::chrono::seconds answer_limit{30};
// Far above any token, so that "too long" is still the inspection's word.
constexpr std::size_t input_bytes_max = 1 << 16;

/// What was typed.
struct token_request {
    configuration_flags flags;
    bool json = false;
};

/// All of standard input: never an argument, which every user of the machine could read.
std::string standard_input() {
    std::string all;
    char bytes[4096];
    while (all.size() < input_bytes_max) {
        const auto got = ::read(STDIN_FILENO, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        all.append(bytes, static_cast<std::size_t>(got));
    }
    return all;
}

std::string_view state_of(const token::inspection& seen) {
    return seen.state ? token::name(*seen.state) : "not ours";
}

void print_text(const token::inspection& seen) {
    say(seen.sentence);
    if (!seen.header.empty()) {
        say("header   " + seen.header);
    }
    if (!seen.payload.empty()) {
        say("payload  " + seen.payload);
    }
    if (!seen.kid.empty()) {
        say(fmt::format("key      {} ({})", seen.kid, state_of(seen)));
    }
    if (!seen.why) {
        say("Whether its session still lives, the service knows: GET /api/v1/users/me with it.");
    }
}

void print_json(const token::inspection& seen) {
    std::string text;
    json_writer out(text);
    out.begin_object();
    out.member("verdict", seen.why ? token::name(*seen.why) : "good");
    out.member("sentence", seen.sentence).member("header", seen.header);
    out.member("payload", seen.payload).member("kid", seen.kid).key("key_state");
    seen.state ? out.value(token::name(*seen.state)) : out.null();
    out.end_object();
    say(text);
}

runtime::awaitable<int> look(setup_connection& app, const identity::secret_keys& keys,
                             const token::authority& who, std::string_view text, bool json) {
    const auto known = co_await identity::read_signing_keys(app.pool(), keys,
                                                            runtime::deadline::after(answer_limit));
    if (!known) {
        co_return complain(sentence_of(known.error()), failed);
    }
    const auto seen = token::inspect(text, who, *known, now());
    json ? print_json(seen) : print_text(seen);
    co_return seen.why ? failed : done;
}

runtime::awaitable<int> open_and_look(setup_connection& app, const identity::secret_keys& keys,
                                      const token::authority& who, std::string_view text,
                                      bool json) {
    int code = failed;
    if (const auto opened = co_await app.open(); opened) {
        code = co_await look(app, keys, who, text, json);
    } else {
        code = complain("The database is not usable: " + explain(opened.error()), failed);
    }
    co_await app.close();
    co_return code;
}

int run_inspect(const token_request& r) {
    const auto values = r.flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (auto usable = check_database_settings(*values); !usable) {
        return complain(sentence_of(usable.error()), wrong_configuration);
    }
    const auto text = standard_input();
    if (text.find_first_not_of(" \r\n") == std::string::npos) {
        return complain("Give the token on standard input: insula token inspect < FILE",
                        wrong_usage);
    }
    auto home = setup_loop(*values);
    if (!home) {
        return complain(sentence_of(home.error()), wrong_configuration);
    }
    observe::configure_log({.level = observe::log_level::error, .format = values->log_format});
    const auto key = values->key();
    const auto url = database_url::parse(values->database_url);
    const auto issuer = values->effective_public_url();
    setup_connection app(**home, "app", url->conninfo(roles_of(*values)->app(), *key));
    const identity::secret_keys keys(*key);
    return run_blocking(**home,
                        open_and_look(app, keys, token::authority{issuer, issuer}, text, r.json));
}

}  // namespace

void add_token(CLI::App& program, chosen_command& chosen) {
    auto* group = program.add_subcommand("token", "Access tokens");
    group->require_subcommand(1);
    auto* command = group->add_subcommand(
        "inspect",
        "Reads an access token from standard input and says what is wrong with it; "
        "ends with 0 when it is good");
    auto request = std::make_shared<token_request>();
    command->add_flag("--json", request->json, "for scripts");
    request->flags.add_to(*command);
    command->callback([&chosen, request] { chosen = [request] { return run_inspect(*request); }; });
}

}  // namespace insula::app::commands
