// `insula token inspect`.
#include "deployment.hpp"

namespace insula::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class system_token_inspect : public testing::Test {
protected:
    static void SetUpTestSuite() { who_ = shared_deployment().make_person("inspected"); }

    static finished inspect(const std::string& token, std::vector<std::string> more = {}) {
        more.insert(more.begin(), {"token", "inspect"});
        return run_insula(more, shared_deployment().variables(), token);
    }

    static inline person who_;
};

TEST_F(system_token_inspect, a_good_token_is_shown_but_for_its_signature) {
    const auto seen = inspect(who_.token + "\n");
    EXPECT_EQ(seen.code, 0) << seen.err;
    EXPECT_THAT(seen.out, HasSubstr("The token is good. It was issued at "));
    EXPECT_THAT(seen.out, HasSubstr(who_.user_id));
    EXPECT_THAT(seen.out, HasSubstr("(active)"));
    EXPECT_THAT(seen.out, Not(HasSubstr(who_.token.substr(who_.token.rfind('.') + 1))));

    const auto told = json::parse(inspect(who_.token, {"--json"}).out);
    EXPECT_EQ(text_of(told, "/verdict"), "good");
    EXPECT_EQ(text_of(told, "/key_state"), "active");
    EXPECT_EQ(text_of(json::parse(text_of(told, "/payload")), "/tid"), who_.tenant_id);
}

TEST_F(system_token_inspect, a_bad_one_ends_with_1_and_the_reason) {
    auto bent = who_.token;
    bent[bent.rfind('.') + 5] = bent[bent.rfind('.') + 5] == 'A' ? 'B' : 'A';
    const auto seen = inspect(bent);
    EXPECT_EQ(seen.code, 1);
    EXPECT_THAT(seen.out, HasSubstr("The signature is wrong"));
    EXPECT_EQ(text_of(json::parse(inspect(bent, {"--json"}).out), "/verdict"), "bad_signature");
    const auto foreign = inspect(
        "eyJhbGciOiJFUzI1NiIsImtpZCI6Im5vYm9keSIsInR5cCI6ImF0K2p3dCJ9.e30.AAAA", {"--json"});
    EXPECT_EQ(foreign.code, 1);
    EXPECT_EQ(text_of(json::parse(foreign.out), "/verdict"), "unknown_key");
    EXPECT_EQ(text_of(json::parse(foreign.out), "/key_state"), "null");
    EXPECT_EQ(inspect("\x1b[2J").code, 1);
    EXPECT_THAT(inspect("\x1b[2J").out, Not(HasSubstr("\x1b")));
}

TEST_F(system_token_inspect, another_installation_is_not_the_issuer) {
    auto variables = shared_deployment().variables();
    variables["INSULA_PUBLIC_URL"] = "https://elsewhere.test";
    const auto seen = run_insula({"token", "inspect"}, variables, who_.token);
    EXPECT_EQ(seen.code, 1);
    EXPECT_THAT(seen.out, HasSubstr("iss is not this service"));
}

TEST_F(system_token_inspect, nothing_is_wrong_usage) {
    const auto seen = inspect("\n");
    EXPECT_EQ(seen.code, 2);
    EXPECT_THAT(seen.err, HasSubstr("standard input"));
    EXPECT_TRUE(seen.out.empty());
}

}  // namespace
}  // namespace insula::test
