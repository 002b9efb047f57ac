// The program behind a real PgBouncer: session pooling works, everything else is refused with a
// sentence, by start-up and by the doctor.
//
// INSULA_TEST_POOLED names the tests that are run once more with everything behind PgBouncer in
// session mode, as --gtest_filter: a selection by default, '*' for all that can
// (scripts/test --long).

#include "support/pooler.hpp"

#include "deployment.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* selection =
    "system_registration_race.G20*:system_projects.*:system_refresh.new*:system_refresh.G13_the*:"
    "revocation.G14_a_session*:revocation.G14_a_role*:system_tenant_life.G50*:"
    "system_keys.a_rotation*:system_isolation.*";
/// What brings its own way to the database, or is about the machine and not about the service.
constexpr const char* never =
    "system_pooler*:system_dev*:system_lost_commit*:*lost_commit*:system_backup*:*storm*:*timing*:"
    "*G53*:*G52*:bounds*";

class system_pooler : public testing::Test {
protected:
    environment through(const pooler& between) {
        auto variables = direct.variables();
        variables["INSULA_DATABASE_URL"] = between.conninfo(direct.database().name());
        return variables;
    }
    static void let_in(pooler& between, deployment& of) {
        between.let_in(of.database().role_prefix(), 2);
    }
    static void expect_refusal(const finished& command, const std::string& what) {
        EXPECT_EQ(command.code, 1) << what << command.out << command.err;
        const auto said = command.out + command.err;
        EXPECT_NE(said.find("gives each transaction another backend"), std::string::npos)
            << what << said;
        EXPECT_NE(said.find("pool_mode = session"), std::string::npos) << what << said;
    }

    deployment direct;
};

TEST_F(system_pooler, G06_transaction_and_statement_pooling_are_refused_by_start_up_and_doctor) {
    for (const auto* mode : {"transaction", "statement"}) {
        pooler between(mode);
        let_in(between, direct);
        const auto variables = through(between);
        const auto started = std::chrono::steady_clock::now();
        expect_refusal(run_insula({"doctor"}, variables), "doctor");
        expect_refusal(run_insula({"serve"}, variables), "serve");
        expect_refusal(run_insula({"worker"}, variables), "worker");
        expect_refusal(run_insula({"migrate"}, variables), "migrate");
        expect_refusal(run_insula({"verify-isolation"}, variables), "verify-isolation");
        EXPECT_LT(std::chrono::steady_clock::now() - started, 60s) << "waiting would not help";
    }
}

TEST_F(system_pooler, G06_behind_session_pooling_the_doctor_is_content_and_the_service_works) {
    pooler between("session");
    let_in(between, direct);
    const auto variables = through(between);
    const auto doctor = run_insula({"doctor"}, variables);
    EXPECT_EQ(doctor.code, 0) << doctor.out << doctor.err;
    EXPECT_NE(doctor.out.find("session mode"), std::string::npos) << doctor.out;
    EXPECT_EQ(run_insula({"doctor"}, direct.variables()).out.find("session mode"),
              std::string::npos);
    EXPECT_EQ(run_insula({"migrate", "--check"}, variables).code, 0);
    const auto verified = run_insula({"verify-isolation"}, variables);
    EXPECT_EQ(verified.code, 0) << verified.out << verified.err;
    served service(variables);
    auto client = service.client();
    EXPECT_EQ(get(client, "/readyz").status, 200);
    const auto form = registration_form(direct.fresh_slug("pooled"), "pooled@example.org");
    const auto registered = post_json(client, "/api/v1/auth/register", form);
    ASSERT_EQ(registered.status, 202) << registered.text();
    const auto ready = get(client, text_of(parse(registered), "/status_url") + "?wait=30");
    EXPECT_EQ(text_of(parse(ready), "/status"), "ready");
    service.process().signal(SIGTERM);
    EXPECT_EQ(service.process().wait(30s), 0) << service.process().err();
}

// Whoever changes the mode under a running service finds it unready, not mixed up.
TEST_F(system_pooler, G06_a_pooler_that_changes_its_mode_underneath_is_noticed) {
    auto between = std::make_unique<pooler>("session");
    let_in(*between, direct);
    auto variables = through(*between);
    served service(variables);
    auto client = service.client();
    ASSERT_EQ(get(client, "/readyz").status, 200);
    between->restart("transaction");
    wait_until("the service to be unready", [&] { return get(client, "/readyz").status == 503; });
    const auto login = post_json(client, "/api/v1/auth/login",
                                 {{"email", "nobody@example.org"}, {"password", good_password}});
    EXPECT_TRUE(is_problem(login, 503, "overloaded")) << login.text();
    between->restart("session");
    wait_until("the service to be ready", [&] { return get(client, "/readyz").status == 200; });
}

TEST(system_pooler_suite, G06_the_suite_passes_behind_session_pooling) {
    const char* chosen = std::getenv("INSULA_TEST_POOLED");
    const std::string filter = chosen != nullptr ? chosen : selection;
    environment variables{{"INSULA_TEST_POOLER", "session"}};
    const auto where =
        shared_cluster().socket_folder() + ":" + std::to_string(shared_cluster().port());
    variables["INSULA_TEST_POSTGRES"] = where;
    child_process suite(std::filesystem::read_symlink("/proc/self/exe").string(),
                        {"--gtest_filter=" + filter + ":-" + never}, variables);
    const int code = suite.wait(filter == "*" ? 15min : 5min);
    const auto said = suite.out();
    EXPECT_EQ(code, 0) << said << suite.err();
    EXPECT_NE(said.find("[  PASSED  ]"), std::string::npos) << said;
    EXPECT_EQ(said.find("[  PASSED  ] 0 tests"), std::string::npos) << "the filter fits nothing";
}

}  // namespace
}  // namespace insula::test
