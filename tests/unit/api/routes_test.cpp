#include "api/routes.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace insula::api {
namespace {

/// The contract (API.md section 3): a token of a tenant that is not ready is refused, but for what
/// brings the tenant back, /auth/*, and the end of an assumed identity.
TEST(routes, only_auth_and_the_way_back_work_while_the_tenant_is_not_ready) {
    std::set<std::string> others;
    for (const auto& row : routes.rows()) {
        if (row.policy == http::policy::anonymous) {
            continue;
        }
        const std::string path(row.pattern);
        const bool works = row.endpoint.about.any_tenant_state;
        if (path.starts_with("/api/v1/auth/")) {
            EXPECT_TRUE(works) << path;
        } else if (works) {
            others.insert(path);
        }
    }
    EXPECT_EQ(others, (std::set<std::string>{"/api/v1/admin/assume-identity/end",
                                             "/api/v1/tenants/{slug}/restore"}));
}

}  // namespace
}  // namespace insula::api
