#include "insula/http/router.hpp"

#include <gtest/gtest.h>

namespace insula::http {
namespace {

struct endpoint {
    http::policy policy;
    int id;
};
constexpr endpoint anybody(int id) {
    return {policy::anonymous, id};
}
constexpr endpoint member(int id) {
    return {policy::member, id};
}

constexpr auto routes = router(std::to_array<route_row<endpoint>>({
    {method::get, "/", anybody(0)},
    {method::get, "/livez", anybody(1)},
    {method::get, "/api/v1/projects", member(2)},
    {method::post, "/api/v1/projects", member(3), {.body = body_rule::json, .rate = "create"}},
    {method::get, "/api/v1/projects/{id}", member(4)},
    {method::patch, "/api/v1/projects/{id}", member(5)},
    {method::delete_, "/api/v1/projects/{id}", member(6)},
    {method::get, "/api/v1/audit/logs/entity/{type}/{id}", member(7)},
    {method::get, "/api/v1/users/me", member(8)},
    {method::get, "/api/v1/users/{id}/tenants", member(9)},
}));

int found(method m, std::string_view path) {
    const auto match = routes.match(m, path);
    return match.route == nullptr
               ? -1
               : static_cast<const route_row<endpoint>*>(match.route)->endpoint.id;
}

TEST(http_router, finds_each_row_by_method_and_path) {
    EXPECT_EQ(found(method::get, "/"), 0);
    EXPECT_EQ(found(method::get, "/livez"), 1);
    EXPECT_EQ(found(method::get, "/api/v1/projects"), 2);
    EXPECT_EQ(found(method::post, "/api/v1/projects"), 3);
    EXPECT_EQ(found(method::patch, "/api/v1/projects/1"), 5);
    EXPECT_EQ(found(method::get, "/api/v1/users/me"), 8);
}

TEST(http_router, gives_parameters_in_the_order_of_the_pattern) {
    const auto match = routes.match(method::get, "/api/v1/audit/logs/entity/project/42");
    ASSERT_NE(match.route, nullptr);
    EXPECT_EQ(match.params[0], "project");
    EXPECT_EQ(match.params[1], "42");
    EXPECT_EQ(match.route->policy, policy::member);
    EXPECT_EQ(match.index, 7u);
}

TEST(http_router, goes_back_from_a_literal_to_a_parameter) {
    const auto match = routes.match(method::get, "/api/v1/users/me/tenants");
    ASSERT_NE(match.route, nullptr);
    EXPECT_EQ(match.params[0], "me");
}

TEST(http_router, knows_nothing_of_other_paths) {
    for (const auto* path : {"/x", "/api", "/api/v1/projects/1/2", "/livez/", "/LIVEZ", "", "livez",
                             "/a/b/c/d/e/f/g/h/i/j/k/l", "/api/v1/users/me/x"}) {
        const auto match = routes.match(method::get, path);
        EXPECT_EQ(match.route, nullptr) << path;
        EXPECT_EQ(match.allow, "") << path;
    }
}

TEST(http_router, says_what_a_path_offers) {
    const auto match = routes.match(method::put, "/api/v1/projects/1");
    EXPECT_EQ(match.route, nullptr);
    EXPECT_EQ(match.allow, "GET, HEAD, PATCH, DELETE, OPTIONS");
    EXPECT_EQ(routes.match(method::other, "/livez").allow, "GET, HEAD, OPTIONS");
    EXPECT_EQ(routes.match(method::options, "/api/v1/projects").allow, "GET, HEAD, POST, OPTIONS");
}

TEST(http_router, head_falls_on_get) {
    EXPECT_EQ(found(method::head, "/livez"), 1);
    EXPECT_EQ(found(method::options, "/livez"), -1);
}

TEST(http_router, rows_carry_their_rules) {
    EXPECT_EQ(routes[3].options.body, body_rule::json);
    EXPECT_EQ(routes[3].options.rate, "create");
    EXPECT_EQ(routes.size(), 10u);
}

// What must not compile, said as concepts: an endpoint without a policy makes no row.
struct no_policy {
    int id;
};
static_assert(route_endpoint<endpoint>);
static_assert(!route_endpoint<no_policy>);
static_assert(!std::is_default_constructible_v<route_row<endpoint>>);

}  // namespace
}  // namespace insula::http
