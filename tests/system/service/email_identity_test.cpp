// Spellings of one address at the API: one account, whichever is used, and mail to the stored one
// only.
#include "mails.hpp"

namespace insula::test {
namespace {

class system_email_identity : public testing::Test {
protected:
    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
};

/// "abc@example.org" in other ways: the first letter wide, all in capitals, with a soft hyphen.
std::vector<std::string> spellings_of(const std::string& email) {
    const auto at = email.find('@');
    auto upper = email;
    for (auto& c : upper) {
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    const auto wide =
        std::string("\xef\xbd") + static_cast<char>(email[0] - 'a' + 0x81) + email.substr(1);
    return {upper, wide, email.substr(0, 1) + "\u00ad" + email.substr(1),
            email.substr(0, at) + "@\uff25xample.org"};
}

TEST_F(system_email_identity, G17_every_spelling_is_the_same_person) {
    const auto who = where_.make_person("identity");
    for (const auto& spelling : spellings_of(who.email)) {
        ASSERT_NE(spelling, who.email);
        EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/auth/register",
                                         registration_form(where_.fresh_slug("twin"), spelling)),
                               409, "email_taken"))
            << spelling;
        const auto tokens = post_json(client_, "/api/v1/auth/login",
                                      {{"email", spelling}, {"password", good_password}});
        ASSERT_EQ(tokens.status, 200) << spelling << tokens.text();
        const auto me =
            get(client_, "/api/v1/users/me",
                {{"Authorization", "Bearer " + text_of(parse(tokens), "/access_token")}});
        EXPECT_EQ(text_of(parse(me), "/id"), who.user_id);
        EXPECT_EQ(text_of(parse(me), "/email"), who.email);
        const auto invited = post_json(client_, "/api/v1/invites",
                                       {{"email", spelling}, {"role", "member"}}, who.auth());
        EXPECT_TRUE(is_problem(invited, 409, "already_member")) << spelling;
    }
}

TEST_F(system_email_identity, G17_mail_goes_to_the_stored_address_only) {
    const auto who = where_.make_person("stored");
    std::size_t count = 0;
    for (const auto& spelling : spellings_of(who.email)) {
        EXPECT_EQ(post_json(client_, "/api/v1/auth/forgot-password", {{"email", spelling}}).status,
                  202);
        ++count;
        EXPECT_EQ(wait_for_mails(where_, who.email, "Choose a new password", count).size(), count);
        EXPECT_TRUE(mails_to(where_, spelling, "Choose a new password").empty()) << spelling;
    }
}

TEST_F(system_email_identity, G17_the_database_has_one_row_of_a_form) {
    const auto who = where_.make_person("unique");
    EXPECT_EQ(where_.database().value_admin("select email_canonical from control.account where id ="
                                            " '" +
                                            who.user_id + "'"),
              who.email);
    try {
        where_.database().query_admin(
            "insert into control.account (id, email, email_canonical, full_name, password_hash)"
            " select gen_random_uuid(), email, email_canonical, full_name, password_hash"
            " from control.account where id = $1",
            {who.user_id});
        ADD_FAILURE() << "a second row of one form";
    } catch (const query_failed& refused) {
        EXPECT_EQ(refused.sqlstate(), "23505");
    }
}

}  // namespace
}  // namespace insula::test
