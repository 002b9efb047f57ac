// Passwords forgotten, reset and changed, and what follows for everybody who is logged in.
#include "mails.hpp"

#include <atomic>
#include <thread>

namespace insula::test {
namespace {

constexpr const char* reset_subject = "Choose a new password";
constexpr const char* notice_subject = "Your password was changed";
constexpr const char* another_password = "seven purple elephants dance 9";

class system_passwords : public testing::Test {
protected:
    http_answer forgot(const std::string& email) {
        return post_json(client_, "/api/v1/auth/forgot-password", {{"email", email}},
                         {{"X-Request-ID", std::string(fixed_request_id)}});
    }
    http_answer reset(const std::string& token, std::string_view password) {
        return post_json(client_, "/api/v1/auth/reset-password",
                         {{"token", token}, {"new_password", password}});
    }
    http_answer change(const http_fields& auth, std::string_view from, std::string_view to) {
        return post_json(client_, "/api/v1/auth/change-password",
                         {{"current_password", from}, {"new_password", to}}, auth);
    }
    http_answer log_in(const person& who, std::string_view password) {
        return post_json(client_, "/api/v1/auth/login",
                         {{"email", who.email}, {"password", password}, {"tenant_slug", who.slug}});
    }
    http_answer refresh(const json::value& tokens) {
        return post_json(client_, "/api/v1/auth/refresh",
                         {{"refresh_token", text_of(tokens, "/refresh_token")}});
    }
    http_answer me(const http_fields& auth) { return get(client_, "/api/v1/users/me", auth); }
    static http_fields auth_of(const json::value& tokens) {
        return {{"Authorization", "Bearer " + text_of(tokens, "/access_token")}};
    }
    /// The token of the only reset mail so far.
    std::string mailed_reset(const person& who) {
        EXPECT_EQ(forgot(who.email).status, 202);
        return token_in(wait_for_mails(where_, who.email, reset_subject).front(),
                        "/reset-password");
    }
    std::string audited(const person& who, const std::string& action, const std::string& status) {
        return where_.database().value_admin(
            "select count(*) from control.audit_log where user_id"
            " = '" +
            who.user_id + "' and action = '" + action + "' and status = '" + status + "'");
    }
    void wait_for_quiet_queue() {
        wait_until("the queue to be empty", [&] {
            return where_.database().value_admin("select count(*) from queue.run") == "0";
        });
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
};

TEST_F(system_passwords, G14_a_reset_by_mail_ends_every_session) {
    const auto who = where_.make_person("reset");
    const auto second = parse(log_in(who, good_password));
    const auto token = mailed_reset(who);

    const auto weak = reset(token, "password12345");
    EXPECT_TRUE(is_problem(weak, 422, "validation_failed"));
    EXPECT_EQ(text_of(parse(weak), "/errors/0/pointer"), "/new_password");
    EXPECT_EQ(me(who.auth()).status, 200) << "nothing has happened yet";

    EXPECT_EQ(reset(token, another_password).status, 204) << "a refused password costs no token";
    EXPECT_TRUE(is_problem(me(who.auth()), 401, "invalid_token"));
    EXPECT_TRUE(is_problem(me(auth_of(second)), 401, "invalid_token"));
    EXPECT_EQ(refresh(second).status, 401);
    EXPECT_TRUE(is_problem(log_in(who, good_password), 401, "invalid_credentials"));
    EXPECT_EQ(log_in(who, another_password).status, 200);
    EXPECT_TRUE(is_problem(reset(token, good_password), 400, "invalid_token_value"));
    EXPECT_EQ(log_in(who, another_password).status, 200);

    EXPECT_EQ(audited(who, "password.reset", "success"), "1");
    const auto notice = wait_for_mails(where_, who.email, notice_subject).front();
    EXPECT_EQ(notice.find("://"), std::string::npos) << notice;
    EXPECT_NE(notice.find("Hello Ada Lovelace,"), std::string::npos) << notice;
}

TEST_F(system_passwords, forgot_answers_alike_whether_there_is_somebody_or_not) {
    const auto who = where_.make_person("forgot");
    const auto known = forgot(who.email);
    EXPECT_EQ(known.status, 202);
    EXPECT_EQ(comparable(known), comparable(forgot("nobody-at-all@example.org")));
    EXPECT_EQ(wait_for_mails(where_, who.email, reset_subject).size(), 1U);
    wait_for_quiet_queue();
    EXPECT_TRUE(mails_to(where_, "nobody-at-all@example.org", reset_subject).empty());
}

TEST_F(system_passwords, one_of_those_who_use_a_token_at_once_succeeds) {
    const auto who = where_.make_person("race");
    const auto token = mailed_reset(who);
    std::atomic<int> done = 0;
    std::atomic<int> refused = 0;
    std::atomic<int> winner = -1;
    const auto password_of = [](int i) { return another_password + std::to_string(i); };
    {
        std::vector<std::jthread> racers;
        for (int i = 0; i < 16; ++i) {
            racers.emplace_back([&, i] {
                auto client = where_.server().client();
                const auto answer = post_json(client, "/api/v1/auth/reset-password",
                                              {{"token", token}, {"new_password", password_of(i)}});
                if (answer.status == 204) {
                    ++done;
                    winner = i;
                } else {
                    EXPECT_TRUE(is_problem(answer, 400, "invalid_token_value"));
                    ++refused;
                }
            });
        }
    }
    EXPECT_EQ(done, 1);
    EXPECT_EQ(refused, 15);
    EXPECT_EQ(log_in(who, password_of(winner)).status, 200);
    EXPECT_EQ(audited(who, "password.reset", "success"), "1");
}

TEST_F(system_passwords, a_newer_mail_makes_the_older_one_void) {
    const auto who = where_.make_person("newer");
    const auto older = mailed_reset(who);
    EXPECT_EQ(forgot(who.email).status, 202);
    std::string newer;
    for (const auto& mail : wait_for_mails(where_, who.email, reset_subject, 2)) {
        const auto token = token_in(mail, "/reset-password");
        newer = token != older ? token : newer;
    }
    EXPECT_TRUE(is_problem(reset(older, another_password), 400, "invalid_token_value"));
    EXPECT_EQ(reset(newer, another_password).status, 204);
}

TEST_F(system_passwords, a_token_is_good_for_an_hour_and_for_nothing_else) {
    const auto who = where_.make_person("kinds");
    const auto token = mailed_reset(who);
    EXPECT_EQ(where_.database().value_admin(
                  "select round(extract(epoch from expires_at - created_at)) from"
                  " control.mail_token where purpose = 'reset_password' and user_id = '" +
                  who.user_id + "'"),
              "3600");
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/auth/verify-email", {{"token", token}}), 400,
                           "invalid_token_value"))
        << "G12";
    for (const auto& verification : where_.mailed_tokens(who.email)) {
        if (verification != token) {
            EXPECT_TRUE(
                is_problem(reset(verification, another_password), 400, "invalid_token_value"))
                << "G12";
        }
    }
    where_.database().query_admin(
        "update control.mail_token set expires_at = now() where purpose = 'reset_password' and"
        " user_id = $1",
        {who.user_id});
    EXPECT_TRUE(is_problem(reset(token, another_password), 400, "invalid_token_value"));
    EXPECT_EQ(log_in(who, good_password).status, 200);
}

TEST_F(system_passwords, an_inactive_account_gets_no_mail_and_cannot_use_one) {
    const auto who = where_.make_person("inactive");
    const auto token = mailed_reset(who);
    where_.database().query_admin("update control.account set active = false where id = $1",
                                  {who.user_id});
    EXPECT_TRUE(is_problem(reset(token, another_password), 400, "invalid_token_value"));
    EXPECT_EQ(forgot(who.email).status, 202);
    wait_for_quiet_queue();
    EXPECT_EQ(mails_to(where_, who.email, reset_subject).size(), 1U);
}

TEST_F(system_passwords, who_reads_the_mailbox_has_verified_the_address) {
    const auto slug = where_.fresh_slug("unverified");
    const person who{slug + "@example.org", slug, "", "", ""};
    const auto accepted =
        post_json(client_, "/api/v1/auth/register", registration_form(slug, who.email));
    ASSERT_EQ(accepted.status, 202) << accepted.text();
    get(client_, text_of(parse(accepted), "/status_url") + "?wait=30");
    EXPECT_TRUE(is_problem(log_in(who, good_password), 403, "email_not_verified"));
    EXPECT_EQ(reset(mailed_reset(who), another_password).status, 204);
    EXPECT_EQ(log_in(who, another_password).status, 200);
    person known = who;
    known.user_id = text_of(parse(accepted), "/user/id");
    EXPECT_EQ(audited(known, "user.email_verify", "success"), "1");
}

TEST_F(system_passwords, G14_a_changed_password_ends_all_other_sessions) {
    const auto who = where_.make_person("change");
    const auto mine = parse(log_in(who, good_password));
    const auto mailed = mailed_reset(who);

    EXPECT_TRUE(is_problem(change(auth_of(mine), "not my password", another_password), 401,
                           "invalid_credentials"));
    EXPECT_EQ(audited(who, "password.change", "failure"), "1");
    EXPECT_TRUE(
        is_problem(change(auth_of(mine), good_password, who.slug), 422, "validation_failed"));
    EXPECT_EQ(me(who.auth()).status, 200);

    EXPECT_EQ(change(auth_of(mine), good_password, another_password).status, 204);
    EXPECT_TRUE(is_problem(me(who.auth()), 401, "invalid_token"));
    EXPECT_EQ(me(auth_of(mine)).status, 200);
    EXPECT_EQ(refresh(mine).status, 200);
    EXPECT_TRUE(is_problem(log_in(who, good_password), 401, "invalid_credentials"));
    EXPECT_EQ(log_in(who, another_password).status, 200);
    EXPECT_TRUE(is_problem(reset(mailed, good_password), 400, "invalid_token_value"))
        << "a link that was mailed before";
    EXPECT_EQ(audited(who, "password.change", "success"), "1");
    EXPECT_EQ(wait_for_mails(where_, who.email, notice_subject).size(), 1U);
}

TEST_F(system_passwords, of_changes_at_once_one_wins) {
    const auto who = where_.make_person("changes");
    std::atomic<int> done = 0;
    {
        std::vector<std::jthread> racers;
        for (int i = 0; i < 8; ++i) {
            racers.emplace_back([&, i] {
                auto client = where_.server().client();
                const auto answer =
                    post_json(client, "/api/v1/auth/change-password",
                              {{"current_password", good_password},
                               {"new_password", another_password + std::to_string(i)}},
                              who.auth());
                done += answer.status == 204;
                if (answer.status != 204) {
                    EXPECT_TRUE(is_problem(answer, 401, "invalid_credentials"));
                }
            });
        }
    }
    EXPECT_EQ(done, 1);
    EXPECT_EQ(audited(who, "password.change", "success"), "1");
}

TEST_F(system_passwords, change_works_whatever_the_state_of_the_tenant) {
    const auto who = where_.make_person("suspended");
    where_.database().query_admin("update control.tenant set status = 'suspended' where id = $1",
                                  {who.tenant_id});
    EXPECT_EQ(change(who.auth(), good_password, another_password).status, 204);
}

TEST_F(system_passwords, an_operator_who_is_somebody_else_changes_no_password) {
    const auto who = where_.make_person("assumed");
    const auto assumed =
        post_json(client_, "/api/v1/admin/assume-identity",
                  {{"user_id", who.user_id}, {"tenant_id", who.tenant_id}, {"reason", "a ticket"}},
                  where_.operator_auth());
    ASSERT_EQ(assumed.status, 200) << assumed.text();
    EXPECT_TRUE(is_problem(change(auth_of(parse(assumed)), good_password, another_password), 403,
                           "forbidden"));
    EXPECT_EQ(log_in(who, good_password).status, 200);
}

TEST_F(system_passwords, new_costs_are_applied_at_the_next_log_in_even_by_many_at_once) {
    const auto who = where_.make_person("costs");
    const auto costs = [&] {
        return where_.database().value_admin(
            "select substr(password_hash, 1, 27) from control.account where id = '" + who.user_id +
            "'");
    };
    EXPECT_EQ(costs(), "$argon2id$v=19$m=1024,t=1,p");
    served dearer(
        where_.variables_with({{"INSULA_PASSWORD_MEMORY", "2"}, {"INSULA_PASSWORD_PASSES", "3"}}));
    {
        std::vector<std::jthread> all;
        for (int i = 0; i < 8; ++i) {
            all.emplace_back([&] {
                auto client = dearer.client();
                const auto answer = post_json(client, "/api/v1/auth/login",
                                              {{"email", who.email}, {"password", good_password}});
                EXPECT_EQ(answer.status, 200) << answer.text();
            });
        }
    }
    EXPECT_EQ(costs(), "$argon2id$v=19$m=2048,t=3,p");
    EXPECT_EQ(log_in(who, "wrong password").status, 401);
    EXPECT_EQ(costs(), "$argon2id$v=19$m=2048,t=3,p");
    EXPECT_EQ(log_in(who, good_password).status, 200);
    EXPECT_EQ(costs(), "$argon2id$v=19$m=1024,t=1,p");
}

}  // namespace
}  // namespace insula::test
