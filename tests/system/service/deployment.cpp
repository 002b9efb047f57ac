#include "deployment.hpp"

#include "support/pooler.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace insula::test {

namespace {

using namespace std::chrono_literals;

constexpr auto start_limit = 60s;
constexpr std::size_t mail_token_size = 43;

std::string address_in(const std::string& log_line) {
    return std::string(json::parse(log_line).at("address").as_string());
}

void must_succeed(const finished& command, const char* what) {
    if (command.code != 0) {
        throw std::runtime_error(std::string("insula ") + what + " ended with " +
                                 std::to_string(command.code) + ": " + command.out + command.err);
    }
}

http_answer expect(http_answer answer, int status, const char* what) {
    if (answer.status != status) {
        throw std::runtime_error(std::string(what) + " answered " + answer.text());
    }
    return answer;
}

// INSULA_TEST_POOLER=session puts a real PgBouncer of that mode between every deployment and
// PostgreSQL (pooler_test.cpp runs a part of the suite so).
std::string way_to(test_database& database) {
    const char* mode = std::getenv("INSULA_TEST_POOLER");
    if (mode == nullptr || *mode == '\0') {
        return "host=" + database.home().socket_folder() +
               " port=" + std::to_string(database.home().port()) + " dbname=" + database.name();
    }
    static pooler between(mode, database.home());
    between.let_in(database.role_prefix(), 16);
    return between.conninfo(database.name());
}

const char* const security_fields[] = {"X-Content-Type-Options",
                                       "X-Frame-Options",
                                       "Referrer-Policy",
                                       "Cross-Origin-Opener-Policy",
                                       "Cross-Origin-Resource-Policy",
                                       "Cache-Control",
                                       "Content-Security-Policy"};

}  // namespace

served::served(const environment& variables, const std::vector<std::string>& arguments,
               const std::string& command)
    : process_(
          insula_binary(),
          [&] {
              std::vector<std::string> all{command};
              all.insert(all.end(), arguments.begin(), arguments.end());
              return all;
          }(),
          variables) {
    address_ = address_in(process_.wait_for_line("\"event\":\"listening\"", start_limit));
}

std::string person::schema() const {
    std::string name = "t_";
    std::ranges::copy_if(tenant_id, std::back_inserter(name), [](char c) { return c != '-'; });
    return name;
}

http_fields person::auth() const {
    return {{"Authorization", "Bearer " + token}};
}

http_fields person::auth_with(http_fields more) const {
    more.emplace_back("Authorization", "Bearer " + token);
    return more;
}

deployment::deployment(const environment& extra) {
    variables_ = {{"INSULA_DATABASE_URL", way_to(database_)},
                  {"INSULA_ROLE_PREFIX", database_.role_prefix()},
                  {"INSULA_KEY_ENCRYPTION_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
                  {"INSULA_CELLS", "2"},
                  {"INSULA_LISTEN", "127.0.0.1:0"},
                  {"INSULA_PUBLIC_URL", "https://insula.test"},
                  {"INSULA_MAIL_DIR", mail_.path()},
                  {"INSULA_RATE_LIMIT", "off"},
                  {"INSULA_PASSWORD_MEMORY", "1"},
                  {"INSULA_PASSWORD_PASSES", "1"},
                  {"INSULA_DATABASE_CONNECTIONS", "24"}};
    for (const auto& [name, value] : extra) {
        variables_[name] = value;
    }
    must_succeed(
        run_insula({"bootstrap", "--admin-url", database_.home().admin_conninfo()}, variables_),
        "bootstrap");
    must_succeed(run_insula({"migrate"}, variables_), "migrate");
}

environment deployment::variables_with(const environment& more) const {
    environment all = more;
    all.insert(variables_.begin(), variables_.end());
    return all;
}

served& deployment::server() {
    if (!server_) {
        server_ = std::make_unique<served>(variables_);
    }
    return *server_;
}

void deployment::stop_server() {
    server_.reset();
}

std::string deployment::fresh_slug(std::string_view stem) {
    static std::atomic<int> count = 0;
    return std::string(stem) + "-" + std::to_string(++count);
}

person deployment::make_person(std::string_view stem) {
    auto client = server().client();
    person who;
    who.slug = fresh_slug(stem);
    who.email = who.slug + "@example.org";
    const auto registered = parse(
        expect(post_json(client, "/api/v1/auth/register", registration_form(who.slug, who.email)),
               202, "register"));
    who.user_id = text_of(registered, "/user/id");
    who.tenant_id = text_of(registered, "/tenant/id");
    const auto status =
        expect(get(client, text_of(registered, "/status_url") + "?wait=30"), 200, "registration");
    if (text_of(parse(status), "/status") != "ready") {
        throw std::runtime_error("the registration ended as " + status.text());
    }
    const auto mailed = wait_for_mail(who.email);
    expect(post_json(client, "/api/v1/auth/verify-email", {{"token", mailed}}), 200,
           "verify-email");
    who.token = log_in(who);
    return who;
}

std::string deployment::log_in(const person& who) {
    auto client = server().client();
    const auto answer =
        post_json(client, "/api/v1/auth/login",
                  {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}});
    return text_of(parse(expect(answer, 200, "login")), "/access_token");
}

http_fields deployment::operator_auth() {
    const std::string email = "the-operator@example.org";
    if (!has_operator_) {
        must_succeed(run_insula({"operator", "create", "--email", email}, variables_,
                                std::string(good_password) + "\n"),
                     "operator create");
        has_operator_ = true;
    }
    auto client = server().client();
    const auto answer =
        post_json(client, "/api/v1/auth/login", {{"email", email}, {"password", good_password}});
    return {{"Authorization",
             "Bearer " + text_of(parse(expect(answer, 200, "login")), "/access_token")}};
}

std::set<std::string> deployment::mailed_tokens(std::string_view email) const {
    std::set<std::string> tokens;
    const std::string wanted = "<" + std::string(email) + ">";
    for (const auto& file : std::filesystem::directory_iterator(mail_.path())) {
        if (file.path().extension() != ".eml") {
            continue;
        }
        std::ifstream in(file.path(), std::ios::binary);
        std::ostringstream all;
        all << in.rdbuf();
        const std::string mail = std::move(all).str();
        const auto to = mail.find("To: ");
        const auto at = mail.find("token=");
        if (to != std::string::npos && at != std::string::npos &&
            mail.substr(to, mail.find("\r\n", to) - to).find(wanted) != std::string::npos) {
            tokens.insert(mail.substr(at + 6, mail_token_size));
        }
    }
    return tokens;
}

std::string deployment::wait_for_mail(std::string_view email, const std::set<std::string>& known) {
    std::string found;
    wait_until("a mail to " + std::string(email), [&] {
        for (const auto& token : mailed_tokens(email)) {
            if (!known.contains(token)) {
                found = token;
            }
        }
        return !found.empty();
    });
    return found;
}

deployment& shared_deployment() {
    static deployment shared;  // its cluster is made within, so that it ends later
    return shared;
}

json::value parse(const http_answer& answer) {
    boost::system::error_code failed;
    auto value = json::parse(answer.body, failed);
    if (failed) {
        throw std::runtime_error("not JSON: " + answer.text());
    }
    return value;
}

std::string text_of(const json::value& value, std::string_view pointer) {
    boost::system::error_code failed;
    const auto* found = value.find_pointer(pointer, failed);
    if (found == nullptr) {
        throw std::runtime_error("no " + std::string(pointer) + " in " + json::serialize(value));
    }
    return found->is_string() ? std::string(found->as_string()) : json::serialize(*found);
}

json::object registration_form(std::string_view slug, std::string_view email) {
    return {{"email", email},
            {"password", good_password},
            {"full_name", "Ada Lovelace"},
            {"tenant_name", "Analytical Engines"},
            {"tenant_slug", slug}};
}

http_answer post_json(http_client& to, std::string_view target, const json::value& body,
                      http_fields fields) {
    fields.emplace_back("Content-Type", "application/json");
    return to.send("POST", target, fields, json::serialize(body));
}

http_answer patch_json(http_client& to, std::string_view target, const json::value& body,
                       http_fields fields) {
    fields.emplace_back("Content-Type", "application/json");
    return to.send("PATCH", target, fields, json::serialize(body));
}

http_answer delete_json(http_client& to, std::string_view target, const json::value& body,
                        http_fields fields) {
    fields.emplace_back("Content-Type", "application/json");
    return to.send("DELETE", target, fields, json::serialize(body));
}

http_answer get(http_client& from, std::string_view target, const http_fields& fields) {
    return from.send("GET", target, fields);
}

std::string make_project(http_client& client, const person& who, std::string_view name,
                         std::optional<std::string> description) {
    json::object form{{"name", name}};
    if (description) {
        form["description"] = *description;
    }
    return text_of(parse(expect(post_json(client, "/api/v1/projects", form, who.auth()), 201,
                                "create project")),
                   "/id");
}

std::string comparable(const http_answer& answer) {
    http_answer same = answer;
    std::erase_if(same.fields, [](const auto& field) { return field.first == "Date"; });
    return same.text();
}

testing::AssertionResult is_problem(const http_answer& answer, int status, std::string_view code) {
    const auto wrong = [&](std::string_view what) {
        return testing::AssertionFailure() << what << " in " << answer.text();
    };
    if (answer.status != status) {
        return wrong("the status is not " + std::to_string(status));
    }
    if (answer.field("Content-Type") != "application/problem+json") {
        return wrong("no application/problem+json");
    }
    for (const char* name : security_fields) {
        if (!answer.field(name)) {
            return wrong(std::string("no ") + name);
        }
    }
    boost::system::error_code failed;
    const auto body = json::parse(answer.body, failed);
    if (failed || !body.is_object()) {
        return wrong("the body is no JSON object");
    }
    const auto& members = body.as_object();
    for (const char* name : {"type", "title", "detail", "code", "request_id"}) {
        const auto* member = members.if_contains(name);
        if (member == nullptr || !member->is_string() || member->as_string().empty()) {
            return wrong(std::string("no text ") + name);
        }
    }
    const auto* number = members.if_contains("status");
    if (number == nullptr || !number->is_int64() || number->as_int64() != status) {
        return wrong("another status in the body");
    }
    if (answer.field("X-Request-ID") != std::string(members.at("request_id").as_string())) {
        return wrong("X-Request-ID is not request_id");
    }
    if (!code.empty() &&
        members.at("code").as_string() != json::string_view(code.data(), code.size())) {
        return wrong("the code is not " + std::string(code));
    }
    if (status == 422 && (!members.contains("errors") || members.at("errors").as_array().empty())) {
        return wrong("no errors");
    }
    if (status == 401 && !answer.field("WWW-Authenticate")) {
        return wrong("no WWW-Authenticate");
    }
    return testing::AssertionSuccess();
}

testing::AssertionResult is_client_error(const http_answer& answer) {
    if (answer.status < 400 || answer.status > 499) {
        return testing::AssertionFailure() << "not a client error: " << answer.text();
    }
    return is_problem(answer, answer.status, "");
}

double metric_sum(http_client& client, std::string_view name, std::string_view labels) {
    const auto all = get(client, "/metrics").body;
    const std::string begin = std::string(name) + (labels.empty() ? "" : "{" + std::string(labels));
    double sum = 0;
    bool found = false;
    std::istringstream lines(all);
    for (std::string line; std::getline(lines, line);) {
        const auto next = line.size() > begin.size() ? line[begin.size()] : '\0';
        if (line.starts_with(begin) && (!labels.empty() || next == ' ' || next == '{')) {
            sum += std::stod(line.substr(line.rfind(' ') + 1));
            found = true;
        }
    }
    if (!found) {
        throw std::runtime_error("no metric " + begin);
    }
    return sum;
}

double metric(http_client& client, std::string_view name, std::string_view pool) {
    return metric_sum(client, name, "pool=\"" + std::string(pool));
}

void wait_a_little() {
    std::this_thread::sleep_for(10ms);
}

}  // namespace insula::test
