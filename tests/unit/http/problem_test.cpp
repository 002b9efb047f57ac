#include "insula/http/problem.hpp"

#include <boost/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace insula::http {
namespace {

TEST(http_problem, every_code_has_its_status) {
    // API.md 1, written down a second time on purpose.
    const std::map<std::string_view, unsigned> expected{
        {"malformed_request", 400},
        {"malformed_json", 400},
        {"invalid_cursor", 400},
        {"invalid_token_value", 400},
        {"unauthenticated", 401},
        {"invalid_token", 401},
        {"invalid_credentials", 401},
        {"invalid_refresh_token", 401},
        {"refresh_token_reused", 401},
        {"forbidden", 403},
        {"tenant_mismatch", 403},
        {"tenant_suspended", 403},
        {"email_not_verified", 403},
        {"not_found", 404},
        {"method_not_allowed", 405},
        {"request_timeout", 408},
        {"conflict", 409},
        {"slug_taken", 409},
        {"email_taken", 409},
        {"name_taken", 409},
        {"tenant_required", 409},
        {"tenant_not_ready", 409},
        {"tenant_pending_deletion", 409},
        {"not_failed", 409},
        {"last_owner", 409},
        {"already_member", 409},
        {"invite_pending", 409},
        {"idempotency_in_progress", 409},
        {"precondition_failed", 412},
        {"payload_too_large", 413},
        {"unsupported_media_type", 415},
        {"validation_failed", 422},
        {"idempotency_key_reused", 422},
        {"rate_limited", 429},
        {"header_too_large", 431},
        {"internal", 500},
        {"not_implemented", 501},
        {"overloaded", 503},
    };
    std::size_t seen = 0;
    for (int i = 1; i <= static_cast<int>(errc_last); ++i, ++seen) {
        const auto code = static_cast<errc>(i);
        const auto row = expected.find(name(code));
        ASSERT_NE(row, expected.end()) << name(code);
        EXPECT_EQ(kind_of(code).status, row->second) << name(code);
        EXPECT_FALSE(kind_of(code).title.empty()) << name(code);
        EXPECT_NE(reason(kind_of(code).status), "Unknown") << name(code);
    }
    EXPECT_EQ(seen, expected.size());
}

TEST(http_problem, has_the_members_of_rfc9457_and_ours) {
    const auto r = make_problem(
        error(errc::slug_taken, "that slug is taken", "unique_violation tenant_slug_key"), "req-1");
    EXPECT_EQ(r.status(), 409u);
    EXPECT_EQ(r.content_type(), "application/problem+json");
    const auto doc = boost::json::parse(std::string(r.body())).as_object();
    EXPECT_EQ(doc.at("type"), "urn:insula:problem:slug_taken");
    EXPECT_EQ(doc.at("status"), 409);
    EXPECT_EQ(doc.at("code"), "slug_taken");
    EXPECT_EQ(doc.at("detail"), "that slug is taken");
    EXPECT_EQ(doc.at("request_id"), "req-1");
    EXPECT_TRUE(doc.at("title").is_string());
    EXPECT_FALSE(doc.contains("errors"));
    EXPECT_EQ(r.body().find("unique_violation"), std::string::npos)
        << "internal text is never shown";
}

TEST(http_problem, lists_every_wrong_field) {
    const auto r = make_problem(error::validation({{"/email", "required", "is required"},
                                                   {"query/limit", "out_of_range", "1 to 100"}}),
                                "r");
    const auto doc = boost::json::parse(std::string(r.body())).as_object();
    ASSERT_EQ(doc.at("errors").as_array().size(), 2u);
    EXPECT_EQ(doc.at("errors").as_array()[1].at("pointer"), "query/limit");
}

TEST(http_problem, adds_extension_members_and_waiting_times) {
    const auto tenant =
        make_problem(error(errc::tenant_required).with_extension(R"("tenants":[])"), "r");
    EXPECT_TRUE(boost::json::parse(std::string(tenant.body())).as_object().contains("tenants"));
    const auto limited =
        make_problem(error(errc::rate_limited).with_retry_after(std::chrono::seconds(17)), "r");
    EXPECT_EQ(limited.fields(), "Retry-After: 17\r\n");
    EXPECT_EQ(make_problem(errc::overloaded, "r").fields(), "Retry-After: 1\r\n");
}

TEST(http_problem, names_the_scheme_on_401) {
    EXPECT_EQ(make_problem(errc::unauthenticated, "r").fields(), "WWW-Authenticate: Bearer\r\n");
    EXPECT_EQ(make_problem(errc::invalid_token, "r").fields(),
              "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n");
}

TEST(http_response, G64_input_in_a_value_cannot_split_the_response) {
    response r;
    r.set("Location", "/a\r\nSet-Cookie: x=y\r\n\r\n<html>");
    EXPECT_EQ(r.fields(), "Location: /a  Set-Cookie: x=y    <html>\r\n");
    response nul;
    nul.set("ETag", std::string_view("\"a\0\x7f\x01\"", 6));
    EXPECT_EQ(nul.fields(), "ETag: \"a   \"\r\n");
    response bare;
    bare.set("X", "a\nb\rc");
    EXPECT_EQ(bare.fields(), "X: a b c\r\n");
}

TEST(http_response_death, field_names_that_are_not_literals_are_a_bug) {
    EXPECT_DEATH(response().set("X-A\r\nB", "c"), "literals");
    EXPECT_DEATH(response().set("Content-Length", "5"), "session");
}

}  // namespace
}  // namespace insula::http
