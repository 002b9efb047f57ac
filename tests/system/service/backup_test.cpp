// The commands of docs/operations.md, "Backup and restore", run as they stand there: from one
// cluster to another, and the service goes on with what it finds.
#include "deployment.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace insula::test {
namespace {

using testing::HasSubstr;

/// The commands behind the marker of that name.
std::string commands_of(const std::string& name) {
    std::ifstream file(std::filesystem::path(INSULA_README).parent_path() / "docs/operations.md");
    std::ostringstream all;
    all << file.rdbuf();
    const auto page = std::move(all).str();
    const std::string marker = "backup_test.cpp: " + name + " -->\n```sh\n";
    const auto begin = page.find(marker);
    if (begin == std::string::npos) {
        throw std::runtime_error("docs/operations.md has no commands for " + name);
    }
    const auto first = begin + marker.size();
    return page.substr(first, page.find("\n```\n", first) - first);
}

/// As somebody types them; stops at the first that fails.
finished run_commands(const std::string& commands, environment variables) {
    const auto folder = std::filesystem::path(insula_binary()).parent_path().string();
    variables["PATH"] = folder + ":/usr/bin:/bin";
    child_process shell("/bin/bash", {"-euo", "pipefail", "-c", commands}, variables);
    const int code = shell.wait(std::chrono::minutes(3));
    return {code, shell.out(), shell.err()};
}

environment as_superuser(const cluster& where) {
    return {{"PGHOST", where.socket_folder()},
            {"PGPORT", std::to_string(where.port())},
            {"PGUSER", "postgres"}};
}

/// Tables, indexes, functions, constraints, owners and rights, as statements.
std::string everything_but_rows(const cluster& where, const std::string& database) {
    const auto dumped = run_commands(
        "pg_dump --schema-only --dbname '" + database + "' | grep -vE '^--|^.(un)?restrict'",
        as_superuser(where));
    EXPECT_EQ(dumped.code, 0) << dumped.err;
    return dumped.out;
}

TEST(system_backup, what_the_operations_page_says_brings_everything_back) {
    deployment where;
    auto client = where.server().client();
    const auto who = where.make_person("saved");
    const auto other = where.make_person("saved");
    const auto project = make_project(client, who, "kept through the fire");
    make_project(client, other, "kept as well");
    const auto session = parse(
        post_json(client, "/api/v1/auth/login",
                  {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}}));

    const temporary_folder folder;
    const auto& name = where.database().name();
    auto& old_home = where.database().home();
    auto variables = as_superuser(old_home);
    variables["DATABASE"] = name;
    variables["BACKUP"] = folder.path() + "/today";
    const auto saved = run_commands(commands_of("backup"), variables);
    ASSERT_EQ(saved.code, 0) << saved.out << saved.err;
    const auto before = everything_but_rows(old_home, name);
    // What happens later is lost, and must not get in the way.
    make_project(client, who, "made too late");
    const auto late = where.make_person("late");
    where.stop_server();

    const auto new_home = cluster::start();
    for (const auto& [key, value] : as_superuser(*new_home)) {
        variables[key] = value;
    }
    auto settings = where.variables();
    settings["INSULA_DATABASE_URL"] = "host=" + new_home->socket_folder() +
                                      " port=" + std::to_string(new_home->port()) +
                                      " dbname=" + name;
    variables.insert(settings.begin(), settings.end());
    const auto restored = run_commands(commands_of("restore"), variables);
    ASSERT_EQ(restored.code, 0) << restored.out << restored.err;
    EXPECT_TRUE(everything_but_rows(*new_home, name) == before) << "rights or objects differ";

    sql_connection admin(new_home->admin_conninfo(name));
    admin.query("create role t_" + std::string(32, '0'));  // as of a tenant registered since
    const auto dropped = run_commands(commands_of("leftovers"), variables);
    EXPECT_EQ(dropped.code, 0) << dropped.err;
    EXPECT_EQ(admin.query("select count(*) from pg_roles where rolname = 't_" +
                          std::string(32, '0') + "'")[0][0],
              "0");
    EXPECT_EQ(
        admin.query("select count(*) from pg_roles where rolname = '" + who.schema() + "'")[0][0],
        "1");

    served again(settings);
    auto anew = again.client();
    EXPECT_TRUE(is_problem(post_json(anew, "/api/v1/auth/refresh",
                                     {{"refresh_token", text_of(session, "/refresh_token")}}),
                           401, ""))
        << "a session of before goes on";
    auto logged_in = who;
    const auto login =
        post_json(anew, "/api/v1/auth/login",
                  {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}});
    ASSERT_EQ(login.status, 200) << login.text();
    logged_in.token = text_of(parse(login), "/access_token");
    EXPECT_EQ(get(anew, "/api/v1/projects/" + project, logged_in.auth()).status, 200);
    const auto projects = get(anew, "/api/v1/projects", logged_in.auth());
    EXPECT_EQ(parse(projects).at("items").as_array().size(), 1U) << projects.text();
    make_project(anew, logged_in, "made afterwards");
    EXPECT_THAT(get(anew, "/api/v1/audit/logs", logged_in.auth()).body,
                HasSubstr("made afterwards"));
    EXPECT_TRUE(is_problem(
        post_json(anew, "/api/v1/auth/login", {{"email", late.email}, {"password", good_password}}),
        401, "invalid_credentials"));
    // Whoever came too late registers again: the provisioner has its rights.
    const auto registered =
        post_json(anew, "/api/v1/auth/register", registration_form(late.slug, late.email));
    ASSERT_EQ(registered.status, 202) << registered.text();
    const auto ready = get(anew, *registered.field("Location") + "?wait=30");
    EXPECT_EQ(text_of(parse(ready), "/status"), "ready") << ready.text();
}

}  // namespace
}  // namespace insula::test
