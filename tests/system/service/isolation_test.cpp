// Whoever is no member of a tenant gets no session there. What one tenant's token can do with
// another tenant's things is in isolation_generated_test.cpp.
#include "deployment.hpp"

namespace insula::test {
namespace {

constexpr std::string_view nobody_slug = "no-such-tenant-anywhere";

class system_isolation : public testing::Test {
protected:
    static void SetUpTestSuite() {
        a_ = shared_deployment().make_person("isolation-a");
        b_ = shared_deployment().make_person("isolation-b");
    }

    static inline person a_;
    static inline person b_;
};

TEST_F(system_isolation, G10_user_without_membership_cannot_log_in) {
    auto& where = shared_deployment();
    auto client = where.server().client();
    const auto answer = [&](std::string_view email, std::string_view password,
                            std::string_view slug) {
        return comparable(
            post_json(client, "/api/v1/auth/login",
                      {{"email", email}, {"password", password}, {"tenant_slug", slug}},
                      {{"X-Request-ID", std::string(fixed_request_id)}}));
    };
    const auto other_tenant = answer(a_.email, good_password, b_.slug);
    EXPECT_TRUE(other_tenant.starts_with("401")) << other_tenant;
    EXPECT_NE(other_tenant.find("\"invalid_credentials\""), std::string::npos);
    EXPECT_EQ(answer(a_.email, "a wrong password 4711", a_.slug), other_tenant);
    EXPECT_EQ(answer(a_.email, "a wrong password 4711", b_.slug), other_tenant);
    EXPECT_EQ(answer("nobody-at-all@example.org", good_password, a_.slug), other_tenant);
    EXPECT_EQ(answer(a_.email, good_password, nobody_slug), other_tenant);
    EXPECT_EQ(answer(a_.email, good_password, "Not A Slug'; --"), other_tenant);

    const auto leaver = where.make_person("leaver");
    EXPECT_FALSE(where.log_in(leaver).empty());
    where.database().query_admin(
        "update control.membership set status = 'removed' where user_id = $1", {leaver.user_id});
    EXPECT_EQ(answer(leaver.email, good_password, leaver.slug), other_tenant);
    EXPECT_EQ(comparable(post_json(client, "/api/v1/auth/login",
                                   {{"email", leaver.email}, {"password", good_password}},
                                   {{"X-Request-ID", std::string(fixed_request_id)}})),
              other_tenant);

    const auto inactive = where.make_person("inactive");
    where.database().query_admin("update control.account set active = false where id = $1",
                                 {inactive.user_id});
    EXPECT_EQ(answer(inactive.email, good_password, inactive.slug), other_tenant);
    EXPECT_EQ(
        where.database().value_admin("select count(*) from control.session where user_id in ('" +
                                     leaver.user_id + "', '" + inactive.user_id + "')"),
        "3")  // the three good logins from before
        << "a refused login made a session";
}

TEST_F(system_isolation, G10_the_header_names_the_tenant_of_a_login_like_the_body) {
    auto client = shared_deployment().server().client();
    const json::object form{{"email", a_.email}, {"password", good_password}};
    const auto right = post_json(client, "/api/v1/auth/login", form, {{"X-Tenant-Slug", a_.slug}});
    ASSERT_EQ(right.status, 200) << right.text();
    EXPECT_EQ(text_of(parse(right), "/tenant/slug"), a_.slug);
    EXPECT_TRUE(
        is_problem(post_json(client, "/api/v1/auth/login", form, {{"X-Tenant-Slug", b_.slug}}), 401,
                   "invalid_credentials"));
    auto both = form;
    both["tenant_slug"] = a_.slug;
    EXPECT_TRUE(
        is_problem(post_json(client, "/api/v1/auth/login", both, {{"X-Tenant-Slug", b_.slug}}), 422,
                   "validation_failed"));
}

}  // namespace
}  // namespace insula::test
