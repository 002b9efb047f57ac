// Every answer of this program is held against /openapi.json (described.cpp). This is the proof
// that it is held tight: good answers, bent in one place each.
#include "described.hpp"

namespace insula::test {
namespace {

constexpr std::string_view project_id = "01900000-0000-7000-8000-000000000000";

class system_described : public testing::Test {
protected:
    static void SetUpTestSuite() {
        auto client = shared_deployment().server().client();
        document_ = parse(get(client, "/openapi.json")).as_object();
    }

    static http_answer project() {
        http_answer good{
            200,
            {{"Content-Type", "application/json"}, {"X-Request-ID", "one"}, {"ETag", "\"v1\""}},
            {}};
        good.body = json::serialize(json::object{{"id", project_id},
                                                 {"name", "Engine"},
                                                 {"description", nullptr},
                                                 {"created_at", "2026-11-23T12:00:00.000000Z"},
                                                 {"updated_at", "2026-11-23T12:00:00Z"}});
        return good;
    }

    static http_answer problem(int status, std::string_view code) {
        http_answer answer{
            status, {{"Content-Type", "application/problem+json"}, {"X-Request-ID", "one"}}, {}};
        answer.body = json::serialize(json::object{{"type", "urn:x"},
                                                   {"title", "x"},
                                                   {"status", status},
                                                   {"detail", "x"},
                                                   {"code", code},
                                                   {"request_id", "one"}});
        return answer;
    }

    static std::string verdict(const http_answer& answer, std::string_view method = "GET",
                               std::string_view target = "/api/v1/projects/x?a=b") {
        return not_described(document_, method, target, answer);
    }

    /// A project whose JSON was changed.
    template <class Change>
    static std::string with_body(Change change) {
        auto answer = project();
        auto body = json::parse(answer.body).as_object();
        change(body);
        answer.body = json::serialize(body);
        return verdict(answer);
    }

    static inline json::object document_;
};

TEST_F(system_described, what_is_as_described_fits) {
    EXPECT_EQ(verdict(project()), "");
    EXPECT_EQ(verdict(problem(404, "not_found")), "");
    EXPECT_EQ(with_body([](json::object& body) { body["description"] = "text"; }), "");
    http_answer gone{204, {{"X-Request-ID", "one"}}, {}};
    EXPECT_EQ(verdict(gone, "DELETE"), "");
}

TEST_F(system_described, a_status_or_code_of_another_route_does_not) {
    for (const int status : {201, 202, 204, 302, 418, 502}) {
        auto answer = project();
        answer.status = status;
        EXPECT_NE(verdict(answer), "") << status;
    }
    EXPECT_NE(verdict(problem(409, "slug_taken")), "");
    EXPECT_NE(verdict(problem(404, "name_taken")), "") << "a code of another status";
    EXPECT_NE(verdict(problem(404, "no_such_code")), "");
}

TEST_F(system_described, a_body_that_is_another_does_not) {
    const auto whole = json::parse(project().body).as_object();
    for (const auto& member : whole) {
        EXPECT_NE(with_body([&](json::object& body) { body.erase(member.key()); }), "");
        EXPECT_NE(with_body([&](json::object& body) { body[member.key()] = 1; }), "");
    }
    EXPECT_NE(with_body([](json::object& body) { body["tenant_id"] = project_id; }), "");
    EXPECT_NE(with_body([](json::object& body) { body["id"] = "42"; }), "");
    EXPECT_NE(with_body([](json::object& body) { body["created_at"] = "yesterday"; }), "");
    EXPECT_NE(with_body([](json::object& body) { body["name"] = nullptr; }), "");
    auto answer = project();
    answer.body = "[" + answer.body + "]";
    EXPECT_NE(verdict(answer), "");
    answer.body = "nonsense";
    EXPECT_NE(verdict(answer), "");
    http_answer talkative{204, {{"X-Request-ID", "one"}}, "{}"};
    EXPECT_NE(verdict(talkative, "DELETE"), "");
}

TEST_F(system_described, fields_that_miss_or_are_too_many_do_not) {
    const auto fields = project().fields;
    for (const auto& field : fields) {
        auto answer = project();
        std::erase(answer.fields, field);
        EXPECT_NE(verdict(answer), "") << field.first;
    }
    auto answer = project();
    answer.fields.front().second = "text/html";
    EXPECT_NE(verdict(answer), "");
    answer = project();
    answer.fields.emplace_back("Location", "/elsewhere");
    EXPECT_NE(verdict(answer), "");
    EXPECT_NE(verdict(problem(401, "invalid_token")), "") << "no WWW-Authenticate";
    EXPECT_NE(verdict(problem(429, "rate_limited")), "") << "no Retry-After";
}

TEST_F(system_described, docs_is_a_page_that_needs_nothing_else) {
    auto client = shared_deployment().server().client();
    const auto page = get(client, "/docs");
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.field("Content-Type"), "text/html; charset=utf-8");
    const auto policy = page.field("Content-Security-Policy").value_or("");
    EXPECT_TRUE(policy.starts_with("default-src 'none'; style-src 'sha256-")) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos) << policy;
    EXPECT_NE(page.body.find("/api/v1/projects/{id}"), std::string::npos);
}

TEST_F(system_described, what_is_not_routed_answers_no_success) {
    EXPECT_NE(verdict(project(), "GET", "/api/v1/secrets"), "");
    EXPECT_NE(verdict(project(), "PUT"), "");
}

}  // namespace
}  // namespace insula::test
