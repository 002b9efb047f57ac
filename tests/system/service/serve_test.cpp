// The program as an operator meets it: commands, exit codes, configuration, ending.
#include "deployment.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// One line, to a person, that begins with who speaks.
void expect_sentence(const finished& command) {
    EXPECT_TRUE(command.err.starts_with("insula: ")) << command.err;
    EXPECT_EQ(std::ranges::count(command.err, '\n'), 1) << command.err;
    EXPECT_GT(command.err.size(), 20U) << command.err;
}

TEST(system_commands, help_and_version) {
    const auto help = run_insula({"--help"}, {});
    EXPECT_EQ(help.code, 0);
    for (const char* command :
         {"dev", "serve", "worker", "bootstrap", "migrate", "operator", "tenant", "doctor"}) {
        EXPECT_THAT(help.out, HasSubstr(command));
        const auto own = run_insula({command, "--help"}, {});
        EXPECT_EQ(own.code, 0) << command;
        EXPECT_GT(own.out.size(), 50U) << command;
    }
    EXPECT_EQ(run_insula({"operator", "create", "--help"}, {}).code, 0);
    for (const char* what : {"list", "show", "retry", "suspend", "resume", "delete", "restore"}) {
        EXPECT_THAT(run_insula({"tenant", "--help"}, {}).out, HasSubstr(what));
        const auto own = run_insula({"tenant", what, "--help"}, {});
        EXPECT_EQ(own.code, 0) << what;
        EXPECT_THAT(own.out, HasSubstr("--json")) << what;
    }
    const auto version = run_insula({"--version"}, {});
    EXPECT_EQ(version.code, 0);
    EXPECT_TRUE(version.out.starts_with("insula ")) << version.out;
}

TEST(system_commands, wrong_usage_is_2) {
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{},
          {"nonsense"},
          {"serve", "--no-such-flag"},
          {"serve", "extra"},
          {"bootstrap"},
          {"operator"},
          {"operator", "create"},
          {"tenant"},
          {"tenant", "show"},
          {"tenant", "vanish", "x"},
          {"tenant", "list", "--status", "well"},
          {"tenant", "list", "--limit", "0"},
          {"tenant", "delete", "x"},
          {"tenant", "delete", "x", "--confirm", "x", "--wait"},
          {"serve", "--config"},
          {"dev", "--data-dir"}}) {
        const auto command = run_insula(words, {});
        EXPECT_EQ(command.code, 2) << testing::PrintToString(words);
        EXPECT_FALSE(command.err.empty()) << testing::PrintToString(words);
        EXPECT_TRUE(command.out.empty()) << command.out;
    }
}

TEST(system_commands, wrong_configuration_is_3) {
    const std::vector<std::pair<environment, const char*>> wrong{
        {{{"INSULA_LISTENN", "x"}}, "INSULA_LISTENN"},
        {{{"INSULA_CELLS", "many"}}, "INSULA_CELLS"},
        {{{"INSULA_CELLS", "0"}}, "INSULA_CELLS"},
        {{{"INSULA_RUNTIME", "magic"}}, "INSULA_RUNTIME"},
        {{{"INSULA_SHUTDOWN_GRACE", "soon"}}, "INSULA_SHUTDOWN_GRACE"},
        {{{"INSULA_RATE_LIMIT", "maybe"}}, "INSULA_RATE_LIMIT"},
        {{{"INSULA_LOG", "loud"}}, "INSULA_LOG"},
        {{{"INSULA_PUBLIC_URL", "ftp://x"}}, "INSULA_PUBLIC_URL"},
        {{}, "INSULA_"},  // nothing at all is set: no database, no key
        {{{"INSULA_DATABASE_URL", "dbname=x"}, {"INSULA_KEY_ENCRYPTION_KEY", "c2hvcnQ="}},
         "INSULA_KEY_ENCRYPTION_KEY"},
        {{{"INSULA_DATABASE_URL", "dbname=x"},
          {"INSULA_KEY_ENCRYPTION_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
          {"INSULA_ROLE_PREFIX", "x\"; drop role postgres; --"}},
         "role_prefix"}};
    for (const auto& [variables, name] : wrong) {
        const auto command = run_insula({"serve"}, variables);
        EXPECT_EQ(command.code, 3) << name << ": " << command.err;
        EXPECT_THAT(command.err, HasSubstr(name));
        expect_sentence(command);
    }
    temporary_folder folder;
    const auto file = folder.path() + "/insula.toml";
    for (const auto& [text, hint] :
         std::vector<std::pair<std::string, std::string>>{{"lissten = \"x\"\n", "lissten"},
                                                          {"cells = [1]\n", "cells"},
                                                          {"cells = \n", "insula.toml"},
                                                          {"[http]\nunknown = 1\n", "unknown"},
                                                          {"[rate_limit]\nlogin = 5\n", "login"}}) {
        std::ofstream(file) << text;
        const auto command = run_insula({"serve", "--config", file}, {});
        EXPECT_EQ(command.code, 3) << text << command.err;
        EXPECT_THAT(command.err, HasSubstr(hint));
        expect_sentence(command);
    }
}

TEST(system_commands, flag_before_environment_before_file) {
    temporary_folder folder;
    const auto file = folder.path() + "/insula.toml";
    std::ofstream(file) << "cells = 3\nworkers = 3\nthreads = 3\n";
    const auto command = run_insula({"serve", "--config", file, "--print-config", "--cells", "5"},
                                    {{"INSULA_CELLS", "4"}, {"INSULA_WORKERS", "4"}});
    EXPECT_EQ(command.code, 0) << command.err;
    EXPECT_THAT(command.out, HasSubstr("cells = \"5\""));
    EXPECT_THAT(command.out, HasSubstr("workers = \"4\""));
    EXPECT_THAT(command.out, HasSubstr("threads = \"3\""));
}

TEST(system_commands, print_config_redacts_secrets) {
    const std::string key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const auto command =
        run_insula({"serve", "--print-config"},
                   {{"INSULA_KEY_ENCRYPTION_KEY", key},
                    {"INSULA_DATABASE_URL", "postgresql://someone:hunter2@db.example.org/insula"}});
    EXPECT_EQ(command.code, 0) << command.err;
    EXPECT_EQ(command.out.find(key), std::string::npos);
    EXPECT_EQ(command.out.find("hunter2"), std::string::npos);
    EXPECT_THAT(command.out, HasSubstr("(redacted)"));
    EXPECT_THAT(command.out, HasSubstr("cells = \"16\""));
    // What is printed is a file that --config takes.
    temporary_folder folder;
    std::ofstream(folder.path() + "/printed.toml") << command.out;
    const auto again =
        run_insula({"serve", "--print-config", "--config", folder.path() + "/printed.toml"}, {});
    EXPECT_EQ(again.code, 0) << again.err;
}

TEST(system_commands, from_nothing_to_migrated) {
    // Before bootstrap, before migrate, after both: each command says what is to be done next.
    test_database database(test_database::creation::name_only);
    const environment variables{
        {"INSULA_DATABASE_URL", "host=" + database.home().socket_folder() +
                                    " port=" + std::to_string(database.home().port()) +
                                    " dbname=" + database.name()},
        {"INSULA_ROLE_PREFIX", database.role_prefix()},
        {"INSULA_KEY_ENCRYPTION_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
        {"INSULA_CELLS", "2"},
        {"INSULA_LISTEN", "127.0.0.1:0"},
        {"INSULA_MAIL_DIR", "/tmp"}};
    for (const std::string command : {"serve", "migrate"}) {
        const auto early =
            run_insula({command}, variables, {}, 12s);  // it does not wait for what never comes
        EXPECT_EQ(early.code, 1) << command << early.out << early.err;
        EXPECT_THAT(early.err, HasSubstr("Run insula bootstrap")) << command;
    }
    const auto sick = run_insula({"doctor"}, variables);
    EXPECT_EQ(sick.code, 1) << sick.out;
    EXPECT_THAT(sick.out, HasSubstr("FAIL"));

    const std::vector<std::string> bootstrap{"bootstrap", "--admin-url",
                                             database.home().admin_conninfo()};
    EXPECT_EQ(run_insula(bootstrap, variables).code, 0);
    const auto pending = run_insula({"migrate", "--check"}, variables);
    EXPECT_EQ(pending.code, 1) << pending.out << pending.err;
    const auto unmigrated = run_insula({"serve"}, variables);
    EXPECT_EQ(unmigrated.code, 1);
    EXPECT_THAT(unmigrated.err, HasSubstr("un insula migrate"));
    const auto no_tenants = run_insula({"tenant", "list"}, variables);
    EXPECT_EQ(no_tenants.code, 1);
    EXPECT_THAT(no_tenants.err, HasSubstr("un insula migrate"));
    expect_sentence(no_tenants);
    const auto behind = run_insula({"doctor"}, variables);
    EXPECT_EQ(behind.code, 1) << behind.out;
    EXPECT_THAT(behind.out, HasSubstr("un insula migrate"));

    for (int i = 0; i < 2; ++i) {  // both may be repeated
        const auto migrated = run_insula({"migrate"}, variables);
        EXPECT_EQ(migrated.code, 0) << migrated.err;
        const auto again = run_insula(bootstrap, variables);
        EXPECT_EQ(again.code, 0) << again.err;
    }
    EXPECT_EQ(run_insula({"migrate", "--check"}, variables).code, 0);
    const auto few = run_insula({"serve", "--cells", "3"}, variables);
    EXPECT_EQ(few.code, 1);
    EXPECT_THAT(few.err, HasSubstr("insula bootstrap"));
}

TEST(system_commands, doctor) {
    auto& where = shared_deployment();
    (void)where.server();  // it makes the signing key
    const auto healthy = run_insula({"doctor"}, where.variables());
    EXPECT_EQ(healthy.code, 0) << healthy.out << healthy.err;
    EXPECT_EQ(healthy.out.find("FAIL"), std::string::npos) << healthy.out;
    for (const char* check : {"kernel", "event loop", "database", "cells", "logins", "migrations",
                              "signing keys", "clock"}) {
        EXPECT_THAT(healthy.out, HasSubstr(check));
    }
    const auto listed = run_insula({"doctor", "--json"}, where.variables());
    const auto findings = json::parse(listed.out);
    for (const auto& finding : findings.as_array()) {
        EXPECT_FALSE(text_of(finding, "/check").empty());
        EXPECT_NE(text_of(finding, "/status"), "FAIL");
    }
    const auto alone = run_insula({"doctor"}, {});
    EXPECT_EQ(alone.code, 0) << alone.out << alone.err;
    EXPECT_THAT(alone.out, HasSubstr("INSULA_DATABASE_URL is not set"));
    auto unreachable = where.variables();
    unreachable["INSULA_DATABASE_URL"] = "host=/nonexistent dbname=insula";
    const auto lost = run_insula({"doctor"}, unreachable);
    EXPECT_EQ(lost.code, 1) << lost.out;
    EXPECT_THAT(lost.out, HasSubstr("FAIL"));
    // A login that was given too much.
    const auto app = where.database().role_prefix() + "_app";
    where.database().query_admin("alter role " + app + " createrole");
    const auto powerful = run_insula({"doctor"}, where.variables());
    where.database().query_admin("alter role " + app + " nocreaterole");
    EXPECT_EQ(powerful.code, 1) << powerful.out;
    EXPECT_THAT(powerful.out, HasSubstr(app));
}

TEST(system_serve, ready_says_so_and_what_is_wrong) {
    auto client = shared_deployment().server().client();
    const auto ready = get(client, "/readyz");
    EXPECT_EQ(ready.status, 200) << ready.text();
    EXPECT_EQ(text_of(parse(ready), "/status"), "ready");
    EXPECT_EQ(get(client, "/livez").status, 200);
    EXPECT_THAT(get(client, "/metrics").body, HasSubstr("insula_pg_round_trips_total"));
    const auto keys = parse(get(client, "/.well-known/jwks.json"));
    EXPECT_GE(keys.at("keys").as_array().size(), 1U);
    EXPECT_EQ(json::serialize(keys).find("\"d\":"), std::string::npos)
        << "the private key is published";
    const auto about = parse(get(client, "/.well-known/openid-configuration"));
    EXPECT_EQ(text_of(about, "/issuer"), "https://insula.test");
    EXPECT_EQ(text_of(about, "/jwks_uri"), "https://insula.test/.well-known/jwks.json");
}

TEST(system_serve, G71_the_runtime_asked_for_is_the_one_that_runs) {
    for (const std::string kind : {"epoll", "io_uring"}) {
        auto& where = shared_deployment();
        auto variables = where.variables();
        variables["INSULA_RUNTIME"] = kind;
        const auto about = run_insula({"doctor"}, variables);
        if (about.code != 0) {  // this machine has none: then it must not start as if it had
            EXPECT_THAT(about.out, HasSubstr("FAIL  event loop"));
            EXPECT_EQ(run_insula({"serve"}, variables).code, 3);
            continue;
        }
        EXPECT_THAT(about.out, HasSubstr(kind + ":"));
        served one(variables);
        auto client = one.client();
        EXPECT_EQ(get(client, "/readyz").status, 200) << kind;
        one.process().signal(SIGTERM);
        EXPECT_EQ(one.process().wait(30s), 0) << kind;
    }
}

TEST(system_serve, G53_a_waiting_request_is_answered_when_the_service_ends) {
    // No workers: the registration stays as it is, and the request would wait for its 30 seconds.
    deployment where({{"INSULA_WORKERS", "0"}, {"INSULA_SHUTDOWN_GRACE", "20s"}});
    auto client = where.server().client();
    const auto accepted = post_json(client, "/api/v1/auth/register",
                                    registration_form("unserved", "unserved@example.org"));
    ASSERT_EQ(accepted.status, 202) << accepted.text();
    auto waiting = std::async(std::launch::async, [&] {
        auto own = where.server().client();
        return get(own, *accepted.field("Location") + "?wait=30");
    });
    wait_until("the request to wait", [&] {
        const auto metrics = get(client, "/metrics").body;  // itself and the one that waits
        return metrics.find("insula_http_in_flight{server=\"public\"} 2") != std::string::npos;
    });
    http_client idle = where.server().client();
    ASSERT_EQ(get(idle, "/livez").status, 200);  // a connection that just stays
    where.server().process().signal(SIGTERM);
    const auto began = std::chrono::steady_clock::now();
    const auto answer = waiting.get();
    EXPECT_EQ(answer.status, 200) << answer.text();
    EXPECT_EQ(text_of(parse(answer), "/status"), "provisioning");
    EXPECT_EQ(where.server().process().wait(25s), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 15s) << "it waited for its time";
    EXPECT_THROW(get(client, "/livez"), http_failure);

    // What was accepted is done by the next process.
    where.stop_server();
    served next(where.variables_with({{"INSULA_WORKERS", "2"}}));
    auto later = next.client();
    EXPECT_EQ(text_of(parse(get(later, *accepted.field("Location") + "?wait=30")), "/status"),
              "ready");
    next.process().signal(SIGINT);
    EXPECT_EQ(next.process().wait(30s), 0);
}

}  // namespace
}  // namespace insula::test
