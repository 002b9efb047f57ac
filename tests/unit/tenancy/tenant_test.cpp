// What the database's refusals become, and states that only a newer program would know.
#include "insula/tenancy/tenant.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace insula::tenancy {
namespace {

TEST(tenant_states, have_names_that_read_back) {
    for (const auto state :
         {tenant_status::provisioning, tenant_status::ready, tenant_status::failed,
          tenant_status::suspended, tenant_status::pending_deletion, tenant_status::deleting,
          tenant_status::gone}) {
        EXPECT_EQ(parse_tenant_status(name(state)), state);
    }
    EXPECT_THROW((void)parse_tenant_status("asleep"), std::logic_error);
    EXPECT_THROW((void)parse_tenant_status(""), std::logic_error);
    EXPECT_THROW((void)parse_tenant_status("Ready"), std::logic_error);
}

TEST(tenant_refusals, become_what_the_caller_can_act_on) {
    struct expected {
        const pg::sqlstate state;
        errc code;
    };
    for (const auto& [state, code] :
         {expected{session_over, errc::invalid_token},
          expected{write_to_suspended, errc::tenant_suspended},
          expected{write_to_pending_deletion, errc::tenant_pending_deletion},
          expected{write_to_not_ready, errc::tenant_not_ready},
          expected{not_allowed, errc::forbidden}, expected{no_such_tenant, errc::not_found},
          expected{wrong_tenant_status, errc::conflict}}) {
        pg::pg_error failure;
        failure.state = state;
        failure.message = "session 0192f0a1 of somebody";
        failure.detail = "suspended";
        const auto made = tenancy::to_error(failure);
        EXPECT_EQ(made.code(), code) << state.str();
        EXPECT_EQ(made.detail().find("0192f0a1"), std::string::npos)
            << "the database's words are for the log: " << made.detail();
        EXPECT_EQ(made.detail().find("suspended") != std::string::npos,
                  code == errc::tenant_suspended || code == errc::conflict);
    }
}

TEST(tenant_refusals, others_are_what_they_are_for_everybody) {
    pg::pg_error failure;
    failure.state = pg::sqlstate("42501");
    failure.message = "permission denied for schema t_0192f0a1b2c37d4e8f500123456789ab";
    const auto made = tenancy::to_error(failure);
    EXPECT_EQ(made.code(), pg::to_error(failure).code());
    EXPECT_EQ(made.detail().find("t_0192f0a1"), std::string::npos) << made.detail();
}

}  // namespace
}  // namespace insula::tenancy
