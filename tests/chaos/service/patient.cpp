#include "patient.hpp"

#include "support/sanitizers.hpp"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>

namespace insula::test {
namespace {

// These tests stop and kill PostgreSQL: the one that scripts/test shares among programs is not for
// them.
const bool alone = [] {
    ::unsetenv("INSULA_TEST_POSTGRES");
    return true;
}();

const char* const kinds[] = {"ready", "login", "read", "write", "registration", "revocation"};

}  // namespace

holdings holdings_of(pid_t pid) {
    const std::string folder = "/proc/" + std::to_string(pid);
    holdings all;
    for (const auto& ignored : std::filesystem::directory_iterator(folder + "/fd")) {
        (void)ignored;
        ++all.descriptors;
    }
    std::ifstream status(folder + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) {
            all.resident_kb = std::stoul(line.substr(6));
        }
    }
    return all;
}

patient::patient()
    : where_({{"INSULA_WORKERS", "0"}, {"INSULA_DATABASE_CONNECTIONS", "16"}}),
      between_(endpoint{}, {.path = server().socket_folder() + "/.s.PGSQL." +
                                    std::to_string(server().port())}) {
    std::ofstream(files_.path() + "/config.toml") << "[http]\nrequest_timeout = \"1s\"\n";
    arguments_ = {"--config", files_.path() + "/config.toml"};
    start_service();
    for (auto& who : people_) {
        who = where_.make_person("patient");
        auto client = colleague().client();
        make_project(client, who, "of " + who.tenant_id);
    }
    leaver_ = where_.make_person("leaver");
    for (int warm = 0; warm < 3; ++warm) {
        healthy_ = use_everything(clock::now(), 20s);
    }
}

environment patient::variables_behind() const {
    const auto local = between_.address();
    auto all = where_.variables();
    all["INSULA_DATABASE_URL"] = "host=127.0.0.1 port=" + local.substr(local.find(':') + 1) +
                                 " dbname=" + const_cast<deployment&>(where_).database().name();
    all["INSULA_WORKERS"] = "4";
    all["INSULA_DATABASE_CONNECTIONS"] = std::to_string(connections);
    if constexpr (address_sanitizer) {
        // Of the memory that is freed it keeps 256 MB otherwise, which would look like a leak.
        const char* set = std::getenv("ASAN_OPTIONS");
        all["ASAN_OPTIONS"] = std::string(set == nullptr ? "" : set) + ":quarantine_size_mb=16";
    }
    return all;
}

void patient::start_service() {
    service_ = std::make_unique<served>(variables_behind(), arguments_);
}

void patient::restart_service() {
    service_.reset();
    start_service();
}

std::string patient::fresh_name() {
    static std::atomic<int> count = 0;
    return "project " + std::to_string(++count);
}

double patient::metric_of(const std::string& name) {
    auto client = service().client(5s);
    return metric_sum(client, name);
}

std::string patient::value(const std::string& sql) {
    std::string found;
    wait_until("an answer to " + sql, [&] {
        try {
            found = database().value_admin(sql);
            return true;
        } catch (const query_failed& failure) {
            if (!failure.sqlstate().empty() && !failure.sqlstate().starts_with("57P")) {
                throw;
            }
            return false;  // the next is on a new connection
        }
    });
    return found;
}

std::string patient::what_it_is_at() {
    constexpr std::size_t most = 8000;
    (void)value("select 1");
    std::string text = service().process().err();
    text = text.size() <= most ? text : text.substr(text.size() - most);
    for (const char* question :
         {"select pid, application_name, state, wait_event, now() - state_change as since,"
          " pg_blocking_pids(pid) as waits_for, left(query, 80) from pg_stat_activity"
          " where datname = current_database() and pid <> pg_backend_pid()",
          "select * from queue.run", "select * from queue.timer"}) {
        for (const auto& line : database().query_admin(question)) {
            for (const auto& field : line) {
                text += field + " | ";
            }
            text += "\n";
        }
    }
    return text;
}

bool is_done(const http_answer& answer, int status) {
    if (answer.status == status) {
        return true;
    }
    if (is_problem(answer, 503, "") && answer.field("Retry-After")) {
        return false;
    }
    throw std::runtime_error("neither done nor told to come again: " + answer.text());
}

bool patient::registers() {
    auto client = service().client(5s);
    const auto slug = where_.fresh_slug("back");
    const auto made =
        post_json(client, "/api/v1/auth/register", registration_form(slug, slug + "@example.org"));
    if (!is_done(made, 202)) {
        return false;
    }
    wait_until("the registration to be ready", [&] {
        const auto status = get(client, *made.field("Location") + "?wait=1");
        return is_done(status, 200) && text_of(parse(status), "/status") == "ready";
    });
    return true;
}

bool patient::hears_of_revocations() {
    auto elsewhere = colleague().client(5s);
    auto here = service().client(5s);
    const auto answer = post_json(elsewhere, "/api/v1/auth/login",
                                  {{"email", leaver_.email}, {"password", good_password}});
    if (!is_done(answer, 200)) {
        return false;
    }
    const auto tokens = parse(answer);
    const http_fields auth{{"Authorization", "Bearer " + text_of(tokens, "/access_token")}};
    if (!is_done(get(here, "/api/v1/projects", auth), 200)) {
        return false;
    }
    if (!is_done(post_json(elsewhere, "/api/v1/auth/logout",
                           {{"refresh_token", text_of(tokens, "/refresh_token")}}),
                 204)) {
        return false;
    }
    const auto ended = clock::now();
    wait_until("the token to be refused", [&] {
        const auto heard = get(here, "/api/v1/projects", auth);
        return heard.status == 401 || (is_done(heard, 200) && false);
    });
    if (clock::now() - ended > 1500ms) {
        throw std::runtime_error("a revocation was heard too late");
    }
    return true;
}

bool patient::use(const std::string& kind) {
    if (kind == "registration") {
        return registers();
    }
    if (kind == "revocation") {
        return hears_of_revocations();
    }
    auto client = service().client(5s);
    const person& who = people_.front();
    if (kind == "ready") {
        const auto ready = get(client, "/readyz");
        if (ready.status != 200 && ready.status != 503) {
            throw std::runtime_error("readiness is yes or no: " + ready.text());
        }
        return ready.status == 200;
    }
    if (kind == "login") {
        return is_done(post_json(client, "/api/v1/auth/login",
                                 {{"email", who.email}, {"password", good_password}}),
                       200);
    }
    if (kind == "read") {
        return is_done(get(client, "/api/v1/projects", who.auth()), 200);
    }
    return is_done(post_json(client, "/api/v1/projects", {{"name", fresh_name()}}, who.auth()),
                   201);
}

spans patient::use_everything(clock::time_point since, std::chrono::milliseconds limit) {
    std::map<std::string, std::future<std::chrono::milliseconds>> running;
    for (const std::string kind : kinds) {
        running[kind] = std::async(std::launch::async, [this, kind, since, limit] {
            wait_until(kind + " to work again", [&] { return use(kind); }, limit);
            return std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - since);
        });
    }
    spans took;
    for (auto& [kind, span] : running) {
        took[kind] = span.get();
    }
    return took;
}

patient& shared_patient() {
    (void)alone;
    static patient one;
    return one;
}

}  // namespace insula::test
