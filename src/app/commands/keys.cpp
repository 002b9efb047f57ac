// `insula keys`: the keys that sign access tokens.

#include "../setup_connection.hpp"
#include "command.hpp"

#include "insula/core/json_writer.hpp"
#include "insula/identity/key_store.hpp"
#include "insula/token/key.hpp"

#include <fmt/format.h>

#include <memory>

namespace insula::app::commands {
namespace {

using identity::signing_key_record;
using token::key_state;
using outcome = runtime::awaitable<int>;

/// What was typed; each subcommand uses its part.
struct key_request {
    configuration_flags flags;
    std::string kid;
    std::string algorithm;
    bool json = false;
};

/// The control plane's login and the key-encryption key, for one command.
struct key_desk {
    static constexpr std::chrono::seconds answer_limit{30};

    key_desk(runtime::loop& home, std::string conninfo, const secret_bytes& key_encryption)
        : app(home, "app", std::move(conninfo)), keys(key_encryption) {}
    static runtime::deadline soon() { return runtime::deadline::after(answer_limit); }

    setup_connection app;
    identity::secret_keys keys;
};

int complain_of(const error& e, const key_request& r) {
    if (e == errc::not_found) {
        return complain("There is no signing key " + r.kid + ": insula keys list shows them.",
                        failed);
    }
    return complain(sentence_of(e), failed);
}

/// Of --algorithm, or what there is without it.
std::optional<token::algorithm> algorithm_of(const key_request& r) {
    return r.algorithm.empty() ? std::nullopt : token::parse_algorithm(r.algorithm);
}

std::string_view meaning(key_state state) {
    switch (state) {
        case key_state::active:
            return "signs new tokens";
        case key_state::retiring:
            return "verifies what it has signed; revoked by itself within two hours";
        case key_state::revoked:
            return "refused";
    }
    return {};
}

void print_list(const std::vector<signing_key_record>& all, bool json) {
    if (json) {
        std::string text;
        json_writer out(text);
        out.begin_array();
        for (const auto& one : all) {
            out.begin_object();
            out.key("kid").value(one.kid);
            out.key("algorithm").value(one.algorithm);
            out.key("state").value(token::name(one.state));
            out.key("created_at").value(one.created_at);
            out.key("changed_at").value(one.changed_at);
            out.end_object();
        }
        out.end_array();
        say(text);
        return;
    }
    say(fmt::format("{:<44} {:<10} {:<9} {:<28} {}", "KID", "ALGORITHM", "STATE", "SINCE", ""));
    for (const auto& one : all) {
        say(fmt::format("{:<44} {:<10} {:<9} {:<28} {}", one.kid, one.algorithm,
                        token::name(one.state), rfc3339(one.changed_at), meaning(one.state)));
    }
}

outcome list(key_desk& desk, const key_request& r) {
    const auto all = co_await identity::list_signing_keys(desk.app.pool(), key_desk::soon());
    if (!all) {
        co_return complain_of(all.error(), r);
    }
    if (all->empty() && !r.json) {
        say("There are no signing keys yet: the first insula serve makes one, and so does insula "
            "keys rotate.");
        co_return done;
    }
    print_list(*all, r.json);
    co_return done;
}

/// The algorithm that signs now, so that a rotation changes the key and nothing else.
runtime::awaitable<result<token::algorithm>> algorithm_now(key_desk& desk) {
    const auto all = co_await identity::list_signing_keys(desk.app.pool(), key_desk::soon());
    if (!all) {
        co_return all.error();
    }
    if (!all->empty() && all->front().state == key_state::active) {
        if (const auto known = token::parse_algorithm(all->front().algorithm)) {
            co_return *known;
        }
    }
    co_return token::algorithm::es256;
}

outcome rotate(key_desk& desk, const key_request& r) {
    auto algorithm = algorithm_of(r);
    if (!algorithm) {
        const auto now = co_await algorithm_now(desk);
        if (!now) {
            co_return complain_of(now.error(), r);
        }
        algorithm = *now;
    }
    const auto rotated = co_await identity::rotate_signing_key(desk.app.pool(), desk.keys,
                                                               *algorithm, key_desk::soon());
    if (!rotated) {
        co_return complain_of(rotated.error(), r);
    }
    if (r.json) {
        std::string text;
        json_writer out(text);
        out.begin_object().key("kid").value(rotated->kid);
        out.key("algorithm").value(token::name(*algorithm));
        out.key("before");
        rotated->before.empty() ? out.null() : out.value(rotated->before);
        out.end_object();
        say(text);
        co_return done;
    }
    say(fmt::format("{} ({}) signs new tokens from now on.", rotated->kid,
                    token::name(*algorithm)));
    if (!rotated->before.empty()) {
        say(
            fmt::format("{} goes on verifying what it has signed. If it may be known to somebody: "
                        "insula keys revoke {}",
                        rotated->before, rotated->before));
    }
    co_return done;
}

outcome revoke(key_desk& desk, const key_request& r) {
    const auto revoked = co_await identity::revoke_signing_key(desk.app.pool(), desk.keys, r.kid,
                                                               algorithm_of(r), key_desk::soon());
    if (!revoked) {
        co_return complain_of(revoked.error(), r);
    }
    if (r.json) {
        std::string text;
        json_writer out(text);
        out.begin_object().key("kid").value(r.kid);
        out.key("was").value(token::name(revoked->was));
        out.key("successor");
        revoked->successor.empty() ? out.null() : out.value(revoked->successor);
        out.end_object();
        say(text);
    } else if (revoked->was == key_state::revoked) {
        say(r.kid + " was revoked already.");
    } else {
        say(
            fmt::format("{} is revoked: every access token it has signed is refused within a "
                        "second, and clients refresh theirs.",
                        r.kid));
        if (!revoked->successor.empty()) {
            say(revoked->successor + " signs new tokens from now on.");
        }
    }
    co_return done;
}

runtime::awaitable<int> at_desk(key_desk& desk, const key_request& r,
                                outcome (*work)(key_desk&, const key_request&)) {
    int code = failed;
    if (const auto opened = co_await desk.app.open(); opened) {
        code = co_await work(desk, r);
    } else {
        code = complain("The database is not usable: " + explain(opened.error()), failed);
    }
    co_await desk.app.close();
    co_return code;
}

int run(const key_request& r, outcome (*work)(key_desk&, const key_request&)) {
    const auto values = r.flags.load();
    if (!values) {
        return complain(sentence_of(values.error()), wrong_configuration);
    }
    if (auto usable = check_database_settings(*values); !usable) {
        return complain(sentence_of(usable.error()), wrong_configuration);
    }
    auto home = setup_loop(*values);
    if (!home) {
        return complain(sentence_of(home.error()), wrong_configuration);
    }
    observe::configure_log({.level = observe::log_level::error, .format = values->log_format});
    const auto key = values->key();
    const auto url = database_url::parse(values->database_url);
    key_desk desk(**home, url->conninfo(roles_of(*values)->app(), *key), *key);
    return run_blocking(**home, at_desk(desk, r, work));
}

std::pair<CLI::App*, std::shared_ptr<key_request>> add(
    CLI::App& group, chosen_command& chosen, const std::string& name, const std::string& help,
    outcome (*work)(key_desk&, const key_request&)) {
    auto* command = group.add_subcommand(name, help);
    auto request = std::make_shared<key_request>();
    command->add_flag("--json", request->json, "for scripts");
    request->flags.add_to(*command);
    command->callback(
        [&chosen, request, work] { chosen = [request, work] { return run(*request, work); }; });
    return {command, request};
}

CLI::Option* add_algorithm(CLI::App& command, key_request& r, const std::string& help) {
    return command.add_option("--algorithm", r.algorithm, help)
        ->check(CLI::IsMember({"ES256", "EdDSA", "RS256", "HS256"}));
}

}  // namespace

void add_keys(CLI::App& program, chosen_command& chosen) {
    auto* group = program.add_subcommand("keys", "The keys that sign access tokens");
    group->require_subcommand(1);
    add(*group, chosen, "list", "All keys, the active one first", &list);
    {
        auto [command, r] = add(*group, chosen, "rotate",
                                "A new key signs; the one before goes on verifying what it has "
                                "signed. Nobody is logged out",
                                &rotate);
        add_algorithm(*command, *r,
                      "of the new key; that of the active one when not given. HS256 is not "
                      "published: only this service can check its tokens");
    }
    {
        auto [command, r] = add(*group, chosen, "revoke",
                                "Refuses a key and all it has signed, everywhere within a second. "
                                "The active key gets a successor at once",
                                &revoke);
        command->add_option("kid", r->kid, "the key's id, as insula keys list shows it")
            ->required();
        add_algorithm(*command, *r, "of the successor; that of the revoked key when not given");
    }
}

}  // namespace insula::app::commands
