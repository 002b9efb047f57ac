// Every operation of /openapi.json with everything wrong that can be sent to it: the right problem
// comes back, never a 5xx, never silence. A route added tomorrow is tried tomorrow.
#include "described.hpp"

#include <algorithm>
#include <map>

namespace insula::test {
namespace {

using namespace std::string_literals;

constexpr std::size_t body_bytes_max = 1 << 20;
constexpr std::string_view nobody_id = "01900000-0000-7000-8000-000000000000";

struct operation {
    std::string method;
    std::string path;    ///< as in the document
    std::string target;  ///< with something that may stand for its parameters
    bool authenticated = false;
    bool for_operators = false;
    json::object body_schema;  ///< empty: takes none
    std::vector<std::string> query;

    std::string name() const { return method + " " + path; }
    bool has_parameter() const { return path.find('{') != std::string::npos; }
    std::string with_parameter(const std::string& value) const {
        constexpr std::string_view kind = "{type}";
        auto text = path;
        if (const auto at = text.find(kind); at != std::string::npos) {
            text.replace(at, kind.size(), "project");
        }
        const auto open = text.find('{');
        return text.substr(0, open) + value + text.substr(text.find('}') + 1);
    }
};

/// A value that each member takes, so that one thing at a time is wrong.
json::value sample(const std::string& member) {
    static const json::object samples{{"email", "somebody@example.org"},
                                      {"password", good_password},
                                      {"current_password", good_password},
                                      {"new_password", good_password},
                                      {"full_name", "Some Body"},
                                      {"tenant_name", "Some Tenant"},
                                      {"tenant_slug", "some-tenant"},
                                      {"token", std::string(43, 'A')},
                                      {"refresh_token", std::string(86, 'A')},
                                      {"slug", "some-tenant"},
                                      {"confirm", "some-tenant"},
                                      {"immediately", false},
                                      {"user_id", nobody_id},
                                      {"tenant_id", nobody_id},
                                      {"reason", "Some reason"},
                                      {"role", "member"},
                                      {"name", "Some Name"},
                                      {"description", "Some description"}};
    const auto* found = samples.if_contains(member);
    if (found == nullptr) {
        throw std::runtime_error("a new member: say here what it takes: " + member);
    }
    return *found;
}

class system_bad_input : public testing::Test {
protected:
    static void SetUpTestSuite() {
        who_ = shared_deployment().make_person("bad-input");
        leaver_ = shared_deployment().make_person("leaves-everywhere");
        operator_ = shared_deployment().operator_auth().front().second;
        auto client = shared_deployment().server().client();
        project_ = make_project(client, who_, "untouched", "untouched");
        const auto document = parse(get(client, "/openapi.json")).as_object();
        for (const auto& path : document.at("paths").as_object()) {
            for (const auto& entry : path.value().as_object()) {
                operations_.push_back(
                    describe(document, entry.key(), path.key(), entry.value().as_object()));
            }
        }
        ASSERT_GE(operations_.size(), 18U);
    }

    static operation describe(const json::object& document, std::string method,
                              const std::string& path, const json::object& about) {
        std::ranges::transform(method, method.begin(),
                               [](char c) { return static_cast<char>(c - 'a' + 'A'); });
        operation one{method, path, path, needs_token(about), false, {}, {}};
        one.for_operators =
            json::serialize(about.at("security")).find("operator") != std::string::npos;
        if (one.has_parameter()) {
            one.target = one.with_parameter(path.find("{id}") != std::string::npos ? project_
                                            : path.find("{slug}") != std::string::npos
                                                ? who_.slug
                                                : std::string(22, 'A'));
        }
        if (const auto* body = about.if_contains("requestBody")) {
            one.body_schema = resolved(
                document, body->at("content").at("application/json").at("schema").as_object());
        }
        if (const auto* parameters = about.if_contains("parameters")) {
            for (const auto& p : parameters->as_array()) {
                if (p.at("in").as_string() == "query") {
                    one.query.push_back(text_of(p, "/name"));
                }
            }
        }
        return one;
    }

    static http_fields fields_of(const operation& to, http_fields more = {}) {
        if (to.path.ends_with("/logout-all")) {  // it may succeed, and the others need their tokens
            more.emplace_back("Authorization", "Bearer " + shared_deployment().log_in(leaver_));
        } else if (to.authenticated) {
            more.emplace_back("Authorization",
                              to.for_operators ? operator_ : "Bearer " + who_.token);
        }
        return more;
    }

    http_answer send_body(const operation& to, const std::string& body,
                          const std::string& content_type = "application/json") {
        return client_.send(to.method, to.target, fields_of(to, {{"Content-Type", content_type}}),
                            body);
    }

    static json::object whole_body(const operation& to) {
        json::object body;
        for (const auto& member : to.body_schema.at("properties").as_object()) {
            body[member.key()] = sample(member.key());
        }
        return body;
    }

    void expect_untouched() {
        EXPECT_EQ(shared_deployment().database().query_admin("select name, description from " +
                                                             who_.schema() + ".projects"),
                  (rows{{"untouched", "untouched"}}));
        EXPECT_EQ(get(client_, "/readyz").status, 200);
    }

    http_client client_ = shared_deployment().server().client(std::chrono::seconds(30));
    static inline std::vector<operation> operations_;
    static inline person who_;
    static inline person leaver_;
    static inline std::string operator_;
    static inline std::string project_;
};

TEST_F(system_bad_input, G63_bodies_that_are_not_json) {
    const std::string deep_array = std::string(5000, '[') + std::string(5000, ']');
    std::string deep_object;
    for (int i = 0; i < 40; ++i) {
        deep_object += R"({"a":)";
    }
    deep_object += "1" + std::string(40, '}');
    const std::vector<std::string> bodies{"",
                                          " ",
                                          "nonsense",
                                          "{",
                                          "}",
                                          "{\"name\"",
                                          "{\"name\":}",
                                          "{\"name\":\"x\",}",
                                          "{name:\"x\"}",
                                          "{'name':'x'}",
                                          "{\"name\":\"x\"} trailing",
                                          "{\"name\":\"x\"}{}",
                                          "\xef\xbb\xbf{}",
                                          "{\"name\":\"\xff\"}",
                                          "{\"na\xc3\x28me\":1}",
                                          "{\"name\":\"\\ud800\"}",
                                          "{\"name\":\"\xed\xa0\x80\"}",
                                          "{\"name\":\"a\nb\"}",
                                          "{\"name\":\"\\x41\"}",
                                          "{\"name\":01}",
                                          "{\"name\":1e}",
                                          "{\"name\":NaN}",
                                          "{\"name\":\"x\",\"name\":\"x\"}",
                                          "{\"a\":{\"b\":1,\"b\":2}}",
                                          deep_array,
                                          deep_object,
                                          "{\"name\":\"x\"\0}"s,
                                          "\0"s,
                                          "//\n{}",
                                          "a=b&c=d"};
    for (const auto& to : operations_) {
        if (to.body_schema.empty()) {
            continue;
        }
        for (const auto& body : bodies) {
            EXPECT_TRUE(is_problem(send_body(to, body), 400, "malformed_json"))
                << to.name() << " " << testing::PrintToString(body.substr(0, 60));
        }
    }
    expect_untouched();
}

TEST_F(system_bad_input, G63_bodies_with_members_wrong_missing_or_unknown) {
    const std::vector<json::value> wrong_types{nullptr,
                                               true,
                                               1,
                                               -1.5,
                                               1e300,
                                               json::array{},
                                               json::array{"x"},
                                               json::object{},
                                               json::object{{"$ne", ""}}};
    for (const auto& to : operations_) {
        if (to.body_schema.empty()) {
            continue;
        }
        const auto refused = [&](const json::value& body, const std::string& pointer) {
            const auto answer = send_body(to, json::serialize(body));
            EXPECT_TRUE(is_problem(answer, 422, "validation_failed"))
                << to.name() << json::serialize(body);
            bool named = false;
            if (answer.status == 422) {
                const auto problem_body = parse(answer);
                for (const auto& problem : problem_body.at("errors").as_array()) {
                    named = named || text_of(problem, "/pointer") == pointer;
                    EXPECT_FALSE(text_of(problem, "/code").empty());
                    EXPECT_FALSE(text_of(problem, "/detail").empty());
                }
            }
            EXPECT_TRUE(named) << to.name() << " does not name " << pointer << " in "
                               << answer.text();
        };
        for (const auto& body : {json::value(nullptr), json::value(1), json::value("text"),
                                 json::value(json::array{}), json::value(true)}) {
            refused(body, "");
        }
        const auto good = whole_body(to);
        for (const auto& member : to.body_schema.at("properties").as_object()) {
            const std::string name(member.key());
            const auto type = json::serialize(member.value());
            for (const auto& value : wrong_types) {
                if ((value.is_null() && type.find("null") != std::string::npos) ||
                    (value.is_bool() && type.find("boolean") != std::string::npos)) {
                    continue;
                }
                auto body = good;
                body[name] = value;
                refused(body, "/" + name);
            }
        }
        if (const auto* required = to.body_schema.if_contains("required")) {
            for (const auto& name : required->as_array()) {
                auto body = good;
                body.erase(name.as_string());
                refused(body, "/" + text_of(name, ""));
            }
        }
        for (const std::string extra :
             {"unknown", "id", "tenant_id", "role", "__proto__", "Name"}) {
            auto body = good;
            body[extra] = "x";
            refused(body, "/" + extra);
        }
        auto odd = good;
        odd["a/b~c"] = 1;
        refused(odd, "/a~1b~0c");
    }
    expect_untouched();
}

TEST_F(system_bad_input, G63_texts_of_every_odd_kind) {
    const std::vector<std::string> texts{"",
                                         " ",
                                         "\n",
                                         "\0"s,
                                         "a\0b"s,
                                         "\x7f",
                                         "\xc2\x85",
                                         "\xe2\x80\xa8",
                                         "\xef\xbf\xbf",
                                         "\xf4\x8f\xbf\xbf",
                                         "\xe2\x80\xae"
                                         "abc",
                                         std::string(300, 'x'),
                                         std::string(5000, 'x'),
                                         std::string(100'000, 'x'),
                                         "%00",
                                         "${jndi:ldap://x}",
                                         "<script>",
                                         "../../etc"};
    for (const auto& to : operations_) {
        if (to.body_schema.empty()) {
            continue;
        }
        for (const auto& member : to.body_schema.at("properties").as_object()) {
            for (const auto& text : texts) {
                auto body = whole_body(to);
                if (to.method == "PATCH" || to.path.ends_with("/register") ||
                    to.path.ends_with("/change-password") || to.path.ends_with("/projects") ||
                    to.path.ends_with("/tenants")) {
                    body["unknown"] = 1;  // a text that is taken must not change anything
                }
                body[member.key()] = text;
                const auto answer = send_body(to, json::serialize(body));
                if (to.path.ends_with("/resend-verification") && answer.status == 202) {
                    continue;
                }
                if (to.path.ends_with("/logout") && answer.status == 204) {
                    continue;  // whatever the token is: nobody has such a session any more
                }
                EXPECT_TRUE(is_client_error(answer)) << to.name() << " " << member.key()
                                                     << testing::PrintToString(text.substr(0, 40));
            }
        }
    }
    expect_untouched();
}

TEST_F(system_bad_input, G63_media_types) {
    for (const auto& to : operations_) {
        if (to.body_schema.empty()) {
            continue;
        }
        const auto body = json::serialize(whole_body(to));
        for (const std::string type :
             {"text/plain", "application/x-www-form-urlencoded", "application/jsonx",
              "application/problem+json", "json", "", "*/*", "application/json, text/plain"}) {
            EXPECT_TRUE(is_problem(send_body(to, body, type), 415, "unsupported_media_type"))
                << to.name() << type;
        }
        EXPECT_TRUE(is_problem(client_.send(to.method, to.target, fields_of(to), body), 415,
                               "unsupported_media_type"))
            << to.name() << " without a type";
        EXPECT_TRUE(is_problem(client_.send(to.method, to.target,
                                            fields_of(to, {{"Content-Type", "application/json"},
                                                           {"Content-Encoding", "gzip"}}),
                                            body),
                               415, "unsupported_media_type"))
            << to.name();
        EXPECT_TRUE(is_problem(send_body(to, "nonsense", "Application/JSON ; charset=utf-8"), 400,
                               "malformed_json"))
            << to.name() << ": a good type was refused";
    }
    expect_untouched();
}

TEST_F(system_bad_input, G63_bodies_that_are_too_large) {
    for (const auto& to : operations_) {
        if (to.body_schema.empty()) {
            continue;
        }
        const std::string fits = "\"" + std::string(body_bytes_max - 2, 'x') + "\"";
        EXPECT_TRUE(is_problem(send_body(to, fits), 422, "validation_failed")) << to.name();
        EXPECT_TRUE(is_problem(send_body(to, fits + " "), 413, "payload_too_large")) << to.name();
        // Announced only: the answer does not wait for what is never sent.
        http_client own = shared_deployment().server().client(std::chrono::seconds(30));
        std::string head = to.method + " " + to.target +
                           " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        for (const auto& [name, value] : fields_of(to)) {
            head += name + ": " + value + "\r\n";
        }
        own.write(head + "Content-Length: 99999999999\r\n\r\n");
        EXPECT_TRUE(is_problem(own.read_answer(), 413, "payload_too_large")) << to.name();
    }
    expect_untouched();
}

TEST_F(system_bad_input, G63_ids_that_are_none) {
    const std::vector<std::string> ids{"x",
                                       "0",
                                       "-1",
                                       "null",
                                       "%00",
                                       "%2e%2e",
                                       "..%2f..%2fadmin",
                                       "%ff%fe",
                                       "%",
                                       "%zz",
                                       "a%20b",
                                       "%27%3b--",
                                       "*",
                                       "+",
                                       std::string(36, '-'),
                                       std::string(2000, 'a'),
                                       std::string(nobody_id) + "0",
                                       "{" + std::string(nobody_id) + "}",
                                       "urn:uuid:" + std::string(nobody_id),
                                       std::string(nobody_id),
                                       "00000000-0000-0000-0000-000000000000",
                                       "ffffffff-ffff-ffff-ffff-ffffffffffff",
                                       "0190000000007000800000000000000",
                                       "%E2%80%8B",
                                       std::string(22, '_')};
    for (const auto& to : operations_) {
        if (!to.has_parameter()) {
            continue;
        }
        const std::string body = to.body_schema.empty() ? "" : json::serialize(whole_body(to));
        for (const auto& id : ids) {
            const auto answer =
                client_.send(to.method, to.with_parameter(id),
                             fields_of(to, {{"Content-Type", "application/json"}}), body);
            if (to.path.find("{type}") != std::string::npos && answer.status == 200) {
                EXPECT_EQ(parse(answer).at("items").as_array().size(), 0U) << to.name() << id;
                continue;  // of what there is nothing, nothing happened to
            }
            EXPECT_TRUE(is_client_error(answer)) << to.name() << " " << id.substr(0, 60);
            EXPECT_TRUE(answer.status == 400 || answer.status == 404) << answer.text();
        }
    }
    expect_untouched();
}

TEST_F(system_bad_input, G63_query_parameters) {
    const std::map<std::string, std::vector<std::string>> bad{
        {"limit",
         {"0", "101", "-1", "abc", "", "1.5", "1e2", "0x10",
          "%20"
          "5",
          "5%20", "99999999999999999999", "+5", "%D9%A1", "5&limit=6"}},
        {"wait", {"31", "-1", "abc", "", "1.5", "99999999999999999999", "%00", "1&wait=2"}},
        {"cursor", {"", "x", "%00", "%ff", "AAAA", "a%20b"}},
        {"status", {"", "x", "READY", "%00", "ready,failed", "ready&status=failed"}},
        {"q", {"", "%20", "%00", "%ff", "a%0Ab", std::string(101, 'a')}},
        {"kind", {"", "A", "a%20b", "%00", "%27", std::string(101, 'a')}},
        {"tenant_id", {"", "x", "%00", std::string(nobody_id) + "0"}},
        {"user_id", {"", "x", "%00", std::string(nobody_id) + "0"}},
        {"action", {"", "x", "a.b.c", "A.b", "%00", "a%20.b", std::string(101, 'a')}}};
    int tried = 0;
    for (const auto& to : operations_) {
        for (const auto& name : to.query) {
            ASSERT_TRUE(bad.contains(name)) << "a new parameter: say here what is bad: " << name;
            for (const auto& value : bad.at(name)) {
                ++tried;
                const auto answer =
                    client_.send(to.method, to.target + "?" + name + "=" + value, fields_of(to));
                EXPECT_TRUE(is_problem(answer, answer.status == 400 ? 400 : 422, ""))
                    << to.name() << name << value;
            }
        }
        if (!to.query.empty()) {
            const auto answer = client_.send(to.method, to.target + "?unknown=1", fields_of(to));
            EXPECT_TRUE(is_problem(answer, 422, "validation_failed")) << to.name();
        }
        for (const std::string query :
             {"?%zz", "?a=%", "?a=%ff", "?&&&===", "?a=b=c", "?%00=%00"}) {
            const auto answer = client_.send(to.method, to.target + query,
                                             fields_of(to, {{"If-Match", "\"v999\""}}));
            EXPECT_LT(answer.status, 500) << to.name() << query << answer.text();
        }
    }
    EXPECT_GT(tried, 20);
    expect_untouched();
}

TEST_F(system_bad_input, G63_credentials) {
    const auto head = who_.token.substr(0, who_.token.find('.'));
    const auto rest = who_.token.substr(head.size());
    auto bent = who_.token;
    bent.back() = bent.back() == 'A' ? 'B' : 'A';
    const std::vector<std::string> bad{"",
                                       "Bearer",
                                       "Bearer ",
                                       "Basic dXNlcjpwYXNz",
                                       "bearer",
                                       "Token " + who_.token,
                                       who_.token,
                                       "Bearer  " + who_.token,
                                       "Bearer " + who_.token + " x",
                                       "Bearer a.b",
                                       "Bearer a.b.c",
                                       "Bearer ..",
                                       "Bearer a.b.c.d.e",
                                       "Bearer eyJhbGciOiJub25lIn0.e30.",
                                       "Bearer " + bent,
                                       "Bearer " + who_.token + "=",
                                       "Bearer " + who_.token.substr(1),
                                       "Bearer " + head + rest + rest,
                                       "Bearer \xff\xfe",
                                       "Bearer " + std::string(14'000, 'a'),
                                       "Bearer " + who_.token + ", Bearer " + who_.token};
    int tried = 0;
    for (const auto& to : operations_) {
        if (!to.authenticated) {
            continue;
        }
        ++tried;
        const std::string body = to.body_schema.empty() ? "" : json::serialize(whole_body(to));
        const auto with = [&](http_fields fields) {
            fields.emplace_back("Content-Type", "application/json");
            return client_.send(to.method, to.target, fields, body);
        };
        EXPECT_TRUE(is_problem(with({}), 401, "unauthenticated")) << to.name();
        for (const auto& value : bad) {
            EXPECT_TRUE(is_problem(with({{"Authorization", value}}), 401, "invalid_token"))
                << to.name() << testing::PrintToString(value.substr(0, 60));
        }
        EXPECT_TRUE(is_problem(with({{"Authorization", "Bearer " + who_.token},
                                     {"Authorization", "Bearer " + who_.token}}),
                               401, "invalid_token"))
            << to.name();
    }
    EXPECT_GE(tried, 8);
    expect_untouched();
}

TEST_F(system_bad_input, methods_that_are_not_offered) {
    const std::vector<std::string> methods{"GET", "POST", "PUT", "PATCH", "DELETE"};
    std::map<std::string, std::set<std::string>> offered;
    std::map<std::string, std::string> targets;
    for (const auto& to : operations_) {
        offered[to.path].insert(to.method);
        targets[to.path] = to.target;
    }
    for (const auto& [path, known] : offered) {
        std::string allow;
        for (const auto& method : methods) {
            if (known.contains(method)) {
                allow += method + ", " + (method == "GET" ? "HEAD, " : "");
            }
        }
        allow += "OPTIONS";
        for (const auto& method : methods) {
            if (known.contains(method)) {
                continue;
            }
            const auto answer = client_.send(method, targets[path], {});
            EXPECT_TRUE(is_problem(answer, 405, "method_not_allowed")) << method << " " << path;
            EXPECT_EQ(answer.field("Allow"), allow) << method << " " << path;
        }
        const auto options = client_.send("OPTIONS", targets[path], {});
        EXPECT_EQ(options.status, 204) << options.text();
        EXPECT_EQ(options.field("Allow"), allow) << path;
        EXPECT_TRUE(options.field("X-Request-ID").has_value());
        for (const std::string odd : {"TRACE", "CONNECT", "FOO", "get"}) {
            if (odd == "CONNECT") {
                continue;  // its target has another form
            }
            const auto answer = client_.send(odd, targets[path], {});
            EXPECT_TRUE(is_client_error(answer) || answer.status == 501) << odd << answer.text();
        }
    }
    EXPECT_EQ(client_.send("OPTIONS", "*", {}).status, 204);
    expect_untouched();
}

TEST_F(system_bad_input, paths_that_do_not_exist) {
    for (const std::string path :
         {"/", "/api", "/api/v1", "/api/v2/projects", "/api/v1/projects/", "/api/v1/Projects",
          "/api/v1/projects/x/y", "//livez", "/livez/", "/api/v1/../v1/projects", "/admin", "/.env",
          "/api/v1/%70rojects/%00"}) {
        const auto answer = get(client_, path, who_.auth());
        EXPECT_TRUE(is_client_error(answer)) << path;
    }
    EXPECT_TRUE(is_problem(get(client_, "/nothing/here"), 404, "not_found"));
    EXPECT_TRUE(is_problem(get(client_, "/verify-email?token=x"), 404, "not_found"))
        << "that page is of insula dev";
}

TEST_F(system_bad_input, request_ids) {
    EXPECT_EQ(get(client_, "/livez", {{"X-Request-ID", "My.Id_1-2"}}).field("X-Request-ID"),
              "My.Id_1-2");
    for (const std::string& id :
         {std::string("has blank"), std::string(65, 'a'), std::string("a;b"), std::string()}) {
        const auto answer = get(client_, "/livez", {{"X-Request-ID", id}});
        EXPECT_NE(answer.field("X-Request-ID"), id);
        EXPECT_GE(answer.field("X-Request-ID").value_or("").size(), 16U);
    }
    EXPECT_TRUE(is_problem(get(client_, "/livez", {{"X-Long", std::string(20'000, 'a')}}), 431,
                           "header_too_large"));
}

}  // namespace
}  // namespace insula::test
