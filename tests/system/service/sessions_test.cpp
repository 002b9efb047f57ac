// Registration's status, mail addresses, log-ins, operators.
#include "deployment.hpp"

namespace insula::test {
namespace {

using namespace std::chrono_literals;

class system_sessions : public testing::Test {
protected:
    http_answer register_now(const std::string& slug) {
        return post_json(client_, "/api/v1/auth/register",
                         registration_form(slug, slug + "@example.org"));
    }
    http_answer log_in(const json::value& form) {
        return post_json(client_, "/api/v1/auth/login", form);
    }
    http_answer verify(const std::string& token) {
        return post_json(client_, "/api/v1/auth/verify-email", {{"token", token}});
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
};

TEST_F(system_sessions, a_waiting_status_answers_as_soon_as_it_is_final) {
    const auto slug = where_.fresh_slug("waiting");
    const auto accepted = register_now(slug);
    ASSERT_EQ(accepted.status, 202) << accepted.text();
    const auto body = parse(accepted);
    const auto id = text_of(body, "/registration_id");
    EXPECT_EQ(id.size(), 22U);
    EXPECT_EQ(text_of(body, "/status_url"), "/api/v1/registrations/" + id);
    EXPECT_EQ(accepted.field("Location"), text_of(body, "/status_url"));
    EXPECT_EQ(text_of(body, "/tenant/status"), "provisioning");
    EXPECT_EQ(text_of(body, "/tenant/slug"), slug);

    auto began = std::chrono::steady_clock::now();
    const auto status = get(client_, "/api/v1/registrations/" + id + "?wait=30");
    EXPECT_LT(std::chrono::steady_clock::now() - began, 20s)
        << "it waited for its time, not for the state";
    const auto final_state = parse(status);
    EXPECT_EQ(text_of(final_state, "/status"), "ready") << status.text();
    EXPECT_TRUE(final_state.at("error").is_null());
    for (const auto& step : final_state.at("steps").as_array()) {
        EXPECT_EQ(text_of(step, "/status"), "done") << status.text();
    }
    EXPECT_EQ(final_state.at("steps").as_array().size(), 2U);
    began = std::chrono::steady_clock::now();
    EXPECT_EQ(get(client_, "/api/v1/registrations/" + id + "?wait=30").status, 200);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);

    EXPECT_EQ(
        where_.database().value_admin("select count(*) from control.registration where position('" +
                                      id + "' in encode(id_hash, 'escape')) > 0"),
        "0")
        << "the capability itself is stored";
    auto other = id;
    other[0] = other[0] == 'A' ? 'B' : 'A';
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/registrations/" + other), 404, "not_found"));
    const auto log = where_.server().process().out() + where_.server().process().err();
    EXPECT_EQ(log.find(id), std::string::npos) << "the capability is in the log";
}

TEST_F(system_sessions, registration_conflicts_name_what_is_taken) {
    const auto who = where_.make_person("taken");
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/auth/register",
                                     registration_form(who.slug, "somebody-else@example.org")),
                           409, "slug_taken"));
    auto same_mail = registration_form(where_.fresh_slug("untaken"), who.email);
    EXPECT_TRUE(
        is_problem(post_json(client_, "/api/v1/auth/register", same_mail), 409, "email_taken"));
}

TEST_F(system_sessions, passwords_that_are_easy_to_guess_are_refused) {
    auto form = registration_form(where_.fresh_slug("guess"), "guessable.person@example.org");
    for (const std::string_view password :
         {"sh0rt!!", "password1234", "aaaaaaaaaaaa", "guessable.person-x91!kk"}) {
        form["password"] = password;
        const auto answer = post_json(client_, "/api/v1/auth/register", form);
        EXPECT_TRUE(is_problem(answer, 422, "validation_failed")) << password;
        EXPECT_EQ(text_of(parse(answer), "/errors/0/pointer"), "/password") << answer.text();
        EXPECT_EQ(answer.body.find(password), std::string::npos) << "the password is in the answer";
    }
}

TEST_F(system_sessions, the_address_is_verified_before_the_first_login) {
    const auto slug = where_.fresh_slug("verify");
    const auto email = slug + "@example.org";
    const auto accepted = register_now(slug);
    ASSERT_EQ(accepted.status, 202) << accepted.text();
    EXPECT_EQ(text_of(parse(get(client_, *accepted.field("Location") + "?wait=30")), "/status"),
              "ready");
    const json::object form{{"email", email}, {"password", good_password}, {"tenant_slug", slug}};
    EXPECT_TRUE(is_problem(log_in(form), 403, "email_not_verified"));
    auto wrong = form;
    wrong["password"] = "not the password 4711";
    EXPECT_TRUE(is_problem(log_in(wrong), 401, "invalid_credentials"))
        << "told before the password was right";

    const auto first = where_.wait_for_mail(email);
    EXPECT_EQ(post_json(client_, "/api/v1/auth/resend-verification", {{"email", email}}).status,
              202);
    const auto second = where_.wait_for_mail(email, {first});
    EXPECT_TRUE(is_problem(verify(first), 400, "invalid_token_value"))
        << "a newer mail makes the older void";
    EXPECT_TRUE(is_problem(log_in(form), 403, "email_not_verified"));
    auto bent = second;
    bent[0] = bent[0] == 'A' ? 'B' : 'A';
    EXPECT_TRUE(is_problem(verify(bent), 400, "invalid_token_value"));
    for (int i = 0; i < 2; ++i) {  // a repeat is no error
        const auto verified = verify(second);
        EXPECT_EQ(verified.status, 200) << verified.text();
        EXPECT_TRUE(parse(verified).at("verified").as_bool());
    }
    EXPECT_EQ(where_.database().value_admin("select count(*) from control.audit_log where action ="
                                            " 'user.email_verify' and entity_id = '" +
                                            text_of(parse(accepted), "/user/id") + "'"),
              "1");

    const auto tokens = log_in(form);
    ASSERT_EQ(tokens.status, 200) << tokens.text();
    const auto body = parse(tokens);
    EXPECT_EQ(text_of(body, "/token_type"), "Bearer");
    EXPECT_EQ(text_of(body, "/tenant/slug"), slug);
    EXPECT_EQ(text_of(body, "/tenant/role"), "owner");
    EXPECT_EQ(text_of(body, "/expires_in"), "900");
    // The only tenant need not be named.
    const auto unnamed = log_in({{"email", email}, {"password", good_password}});
    EXPECT_EQ(text_of(parse(unnamed), "/tenant/slug"), slug) << unnamed.text();
    // Verified people get no more mail, and nobody is told who has an account.
    const auto mails = where_.mailed_tokens(email);
    const auto known = post_json(client_, "/api/v1/auth/resend-verification", {{"email", email}},
                                 {{"X-Request-ID", "same"}});
    const auto unknown =
        post_json(client_, "/api/v1/auth/resend-verification",
                  {{"email", "nobody-here@example.org"}}, {{"X-Request-ID", "same"}});
    EXPECT_EQ(known.status, 202);
    EXPECT_EQ(comparable(known), comparable(unknown));
    wait_until("the queue to be empty", [&] {
        return where_.database().value_admin("select count(*) from queue.run") == "0";
    });
    EXPECT_EQ(where_.mailed_tokens(email), mails);
}

TEST_F(system_sessions, mail_tokens_are_stored_as_hashes_and_never_logged) {
    const auto who = where_.make_person("hashed");
    const auto tokens = where_.mailed_tokens(who.email);
    ASSERT_EQ(tokens.size(), 1U);
    const auto log = where_.server().process().out() + where_.server().process().err();
    EXPECT_EQ(log.find(*tokens.begin()), std::string::npos);
    EXPECT_EQ(log.find(good_password), std::string::npos);
    EXPECT_EQ(log.find(who.token), std::string::npos);
    for (const char* table :
         {"control.mail_token", "queue.history", "control.audit_log", "queue.step"}) {
        EXPECT_EQ(where_.database().value_admin("select count(*) from " + std::string(table) +
                                                " x where position('" + *tokens.begin() +
                                                "' in x::text) > 0"),
                  "0")
            << table;
    }
}

TEST_F(system_sessions, the_state_of_the_tenant_decides_after_a_right_password) {
    const auto who = where_.make_person("state");
    const json::object form{
        {"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}};
    const auto set_status = [&](const char* status) {
        where_.database().query_admin("update control.tenant set status = $1 where id = $2",
                                      {status, who.tenant_id});
    };
    set_status("suspended");
    EXPECT_TRUE(is_problem(log_in(form), 403, "tenant_suspended"));
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, who.auth()), 403,
                           "tenant_suspended"));
    set_status("ready");
    EXPECT_EQ(log_in(form).status, 200);
    // Changed behind the service's back: it hears of it from the feed.
    wait_until("the tenant to be ready here, too",
               [&] { return get(client_, "/api/v1/projects", who.auth()).status == 200; });
    EXPECT_EQ(
        delete_json(client_, "/api/v1/tenants/" + who.slug, {{"confirm", who.slug}}, who.auth())
            .status,
        202);
    EXPECT_EQ(log_in(form).status, 200) << "the owner may restore it";
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, who.auth()), 409,
                           "tenant_pending_deletion"));
    EXPECT_EQ(client_.send("POST", "/api/v1/tenants/" + who.slug + "/restore", who.auth()).status,
              200);
    EXPECT_EQ(post_json(client_, "/api/v1/projects", {{"name", "x"}}, who.auth()).status, 201);
}

TEST_F(system_sessions, a_session_that_ended_writes_nothing) {
    const auto who = where_.make_person("ended");
    make_project(client_, who, "before");
    where_.database().query_admin("update control.session set ended_at = now() where user_id = $1",
                                  {who.user_id});
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "after"}}, who.auth()),
                           401, "invalid_token"));
    EXPECT_EQ(where_.database().value_admin("select count(*) from " + who.schema() + ".projects"),
              "1");
}

TEST_F(system_sessions, users_read_and_rename_themselves) {
    const auto who = where_.make_person("me");
    const auto me = get(client_, "/api/v1/users/me", who.auth());
    ASSERT_EQ(me.status, 200) << me.text();
    EXPECT_EQ(text_of(parse(me), "/id"), who.user_id);
    EXPECT_EQ(text_of(parse(me), "/email"), who.email);
    const auto tag = *me.field("ETag");
    const auto renamed =
        patch_json(client_, "/api/v1/users/me", {{"full_name", "Countess of Lovelace"}},
                   who.auth_with({{"If-Match", tag}}));
    ASSERT_EQ(renamed.status, 200) << renamed.text();
    EXPECT_EQ(text_of(parse(renamed), "/full_name"), "Countess of Lovelace");
    EXPECT_TRUE(is_problem(patch_json(client_, "/api/v1/users/me", {{"full_name", "Late"}},
                                      who.auth_with({{"If-Match", tag}})),
                           412, "precondition_failed"));
    EXPECT_EQ(
        get(client_, "/api/v1/users/me", who.auth_with({{"If-None-Match", *renamed.field("ETag")}}))
            .status,
        304);
    const auto tenant = get(client_, "/api/v1/tenants/" + who.slug, who.auth());
    ASSERT_EQ(tenant.status, 200) << tenant.text();
    EXPECT_EQ(text_of(parse(tenant), "/status"), "ready");
    EXPECT_EQ(text_of(parse(tenant), "/role"), "owner");
}

TEST_F(system_sessions, an_operator_logs_in_without_a_tenant) {
    const std::string email = "operator@example.org";
    const auto made = run_insula({"operator", "create", "--email", email}, where_.variables(),
                                 std::string(good_password) + "\n");
    ASSERT_EQ(made.code, 0) << made.err;
    EXPECT_EQ((made.out + made.err).find(good_password), std::string::npos);
    const auto again = run_insula({"operator", "create", "--email", email}, where_.variables(),
                                  std::string(good_password) + "\n");
    EXPECT_EQ(again.code, 1) << again.err;
    const auto weak = run_insula({"operator", "create", "--email", "weak@example.org"},
                                 where_.variables(), "password1234\n");
    EXPECT_NE(weak.code, 0);
    EXPECT_NE(weak.err.find("password"), std::string::npos) << weak.err;

    const auto tokens = log_in({{"email", email}, {"password", good_password}});
    ASSERT_EQ(tokens.status, 200) << tokens.text();
    const auto body = parse(tokens);
    EXPECT_TRUE(body.at("tenant").is_null()) << tokens.text();
    const http_fields auth{{"Authorization", "Bearer " + text_of(body, "/access_token")}};
    EXPECT_EQ(get(client_, "/api/v1/users/me", auth).status, 200);
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/projects", auth), 403, "forbidden"));
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, auth), 403,
                           "forbidden"));
    EXPECT_TRUE(is_problem(
        log_in({{"email", email}, {"password", good_password}, {"tenant_slug", "anything"}}), 401,
        "invalid_credentials"));
}

}  // namespace
}  // namespace insula::test
