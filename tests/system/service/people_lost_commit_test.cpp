// Connections to PostgreSQL that are cut around the COMMIT of what people do about people: the
// client gets the true answer, and it has happened once.
#include "people.hpp"
#include "support/gate.hpp"

namespace insula::test {
namespace {

using mode = gate::mode;

class system_people_lost_commit : public testing::TestWithParam<mode> {
protected:
    static void SetUpTestSuite() {
        owner_ = shared_deployment().make_person("cut-off");
        gate_ = std::make_unique<gate>(shared_cluster());
        served_ = std::make_unique<served>(shared_deployment().variables_with(
            {{"INSULA_DATABASE_URL", "host=" + gate_->folder() + " port=5432 dbname=" +
                                         shared_deployment().database().name()},
             // What is done in the background is another process's work.
             {"INSULA_WORKERS", "0"}}));
    }
    static void TearDownTestSuite() {
        served_.reset();
        gate_.reset();
    }
    void TearDown() override { gate_->set(mode::pass); }

    /// Cuts the connection on which the text is sent, once. It is the request's id, which is in its
    /// audit row.
    http_fields cut(const std::string& needle) {
        gate_->set_needle(needle);
        gate_->set(GetParam());
        return {{"X-Request-ID", needle}};
    }
    static std::string fresh_id() {
        static int count = 0;
        return "lost-request-" + std::to_string(++count);
    }
    std::string rows_of(const std::string& request) {
        return where_.database().value_admin(
            "select count(*) from control.audit_log where request_id = '" + request +
            "' and action like 'member.%'");
    }

    deployment& where_ = shared_deployment();
    http_client client_ = served_->client();
    static inline person owner_;
    static inline std::unique_ptr<gate> gate_;
    static inline std::unique_ptr<served> served_;
};

TEST_P(system_people_lost_commit, G41_an_invitation_and_its_acceptance) {
    const auto email = where_.fresh_slug("lost") + "@example.org";
    auto id = fresh_id();
    const auto made = invite(client_, owner_, email, "member", cut(id));
    EXPECT_TRUE(gate_->sprung());
    ASSERT_EQ(made.status, 201) << made.text();
    EXPECT_EQ(rows_of(id), "1");
    EXPECT_EQ(get(client_, *made.field("Location"), owner_.auth()).body, made.body)
        << "times and all";
    const auto token = where_.wait_for_mail(email);
    EXPECT_EQ(where_.mailed_tokens(email).size(), 1U);

    id = fresh_id();
    const auto joined =
        accept(client_, token, {{"password", good_password}, {"full_name", "Lost Once"}}, cut(id));
    EXPECT_TRUE(gate_->sprung());
    ASSERT_EQ(joined.status, 200) << joined.text();
    EXPECT_EQ(rows_of(id), "1");
    EXPECT_EQ(where_.database().value_admin("select string_agg(id::text, ' ') from"
                                            " control.account where email = '" +
                                            email + "'"),
              text_of(parse(joined), "/user_id"));
}

TEST_P(system_people_lost_commit, G41_a_role_and_a_removal) {
    const auto member = make_member(where_, owner_, "member");
    auto id = fresh_id();
    const auto changed = set_role(client_, owner_, member, "admin", cut(id));
    EXPECT_TRUE(gate_->sprung());
    ASSERT_EQ(changed.status, 200) << changed.text();
    EXPECT_EQ(text_of(parse(changed), "/role"), "admin");
    EXPECT_EQ(rows_of(id), "1");
    EXPECT_EQ(membership(where_, member), "admin active");
    EXPECT_EQ(look(client_, member).status, 401);

    id = fresh_id();
    const auto removed =
        client_.send("DELETE", "/api/v1/members/" + member.user_id, owner_.auth_with(cut(id)));
    EXPECT_TRUE(gate_->sprung());
    EXPECT_EQ(removed.status, 204) << removed.text();
    EXPECT_EQ(rows_of(id), "1");
    EXPECT_EQ(membership(where_, member), "admin removed");
}

INSTANTIATE_TEST_SUITE_P(cut, system_people_lost_commit,
                         testing::Values(mode::cut_before_sync, mode::cut_after_sync),
                         [](const auto& of) {
                             return of.param == mode::cut_before_sync ? "before_sync"
                                                                      : "after_sync";
                         });

}  // namespace
}  // namespace insula::test
