// Rate limits at the API: by client address, by account, by session; before anything expensive.
// The limits are the defaults, but for that of sessions, which comes from a file.
#include "signed_in.hpp"

#include <fstream>

namespace insula::test {
namespace {

constexpr std::string_view login = "/api/v1/auth/login";
constexpr std::string_view wrong_password = "this is not the password";

class system_rate_limits : public testing::Test {
protected:
    static void SetUpTestSuite() {
        std::ofstream(folder_.path() + "/limits.toml")
            << "[rate_limit]\nsession = \"1/min burst 5\"\n";
        limited_ = std::make_unique<served>(
            shared_deployment().variables_with(
                {{"INSULA_RATE_LIMIT", "on"}, {"INSULA_TRUSTED_PROXIES", "127.0.0.0/8"}}),
            std::vector<std::string>{"--config", folder_.path() + "/limits.toml"});
    }
    static void TearDownTestSuite() { limited_.reset(); }

    /// A client address that nobody had before.
    static std::string fresh_address() {
        static int count = 0;
        ++count;
        return "198.51." + std::to_string(100 + count / 250) + "." +
               std::to_string(count % 250 + 1);
    }
    static std::string fresh_email() { return shared_deployment().fresh_slug("nobody") + "@x.org"; }
    http_answer post(std::string_view target, const json::value& body, const std::string& address) {
        return post_json(client_, target, body, {{"X-Forwarded-For", address}});
    }
    http_answer log_in(const std::string& email, const std::string& address) {
        return post(login, {{"email", email}, {"password", wrong_password}}, address);
    }
    static testing::AssertionResult is_limited(const http_answer& answer, int seconds_max) {
        if (auto problem = is_problem(answer, 429, "rate_limited"); !problem) {
            return problem;
        }
        const auto wait = answer.field("Retry-After");
        if (!wait || std::stoi(*wait) < 1 || std::stoi(*wait) > seconds_max) {
            return testing::AssertionFailure() << "Retry-After in " << answer.text();
        }
        return testing::AssertionSuccess();
    }

    static inline temporary_folder folder_;
    static inline std::unique_ptr<served> limited_;
    deployment& where_ = shared_deployment();
    http_client client_ = limited_->client();
};

struct limit {
    std::string_view target;
    int count;  ///< in a burst
    int status;
    int wait_max;  ///< seconds until the next one
    json::object (*body)(int n);
};

std::string numbered(std::string_view stem, int n) {
    return std::string(stem) + std::to_string(n) + "@x.org";
}

TEST_F(system_rate_limits, of_one_address_on_every_anonymous_route) {
    const limit limits[] = {
        {login, 5, 401, 12,
         [](int n) {
             return json::object{{"email", numbered("login", n)}, {"password", wrong_password}};
         }},
        {"/api/v1/auth/refresh", 10, 401, 6,
         [](int n) {
             return json::object{{"refresh_token", std::string(43, 'x') + char('a' + n)}};
         }},
        {"/api/v1/auth/register", 3, 422, 1200, [](int) { return json::object{}; }},
        {"/api/v1/auth/verify-email", 5, 400, 12,
         [](int) { return json::object{{"token", std::string(43, 'x')}}; }},
        {"/api/v1/auth/reset-password", 5, 400, 12,
         [](int) {
             return json::object{{"token", std::string(43, 'x')}, {"new_password", good_password}};
         }},
        {"/api/v1/auth/resend-verification", 3, 202, 1200,
         [](int n) { return json::object{{"email", numbered("resend", n)}}; }},
        {"/api/v1/auth/forgot-password", 3, 202, 1200,
         [](int n) { return json::object{{"email", numbered("forgot", n)}}; }},
    };
    for (const auto& [target, count, status, wait_max, body] : limits) {
        const auto address = fresh_address();
        for (int n = 0; n < count; ++n) {
            EXPECT_EQ(post(target, body(n), address).status, status) << target << " " << n;
        }
        EXPECT_TRUE(is_limited(post(target, body(count), address), wait_max)) << target;
        EXPECT_EQ(post(target, body(count), fresh_address()).status, status)
            << target << ": somebody else is not limited";
    }
}

TEST_F(system_rate_limits, of_other_anonymous_routes_let_a_burst_pass) {
    const http_fields from{{"X-Forwarded-For", fresh_address()}};
    const std::string target = "/api/v1/registrations/" + std::string(22, 'A');
    for (int n = 0; n < 20; ++n) {
        EXPECT_EQ(get(client_, target, from).status, 404) << n;
    }
    wait_until("the burst to be used up",
               [&] { return bool(is_limited(get(client_, target, from), 1)); });
}

TEST_F(system_rate_limits, of_an_account_hold_for_every_address_and_spelling) {
    const auto who = where_.make_person("account");
    auto wide = who.email;  // with U+FF21, the full-width A
    wide.replace(0, 1, "Ａ");
    auto upper = who.email;
    upper[0] = 'A';
    for (const auto& email : {who.email, upper, wide, who.email, upper}) {
        EXPECT_EQ(log_in(email, fresh_address()).status, 401);
    }
    EXPECT_TRUE(is_limited(log_in(wide, fresh_address()), 12));
    // The right password, too: or the limit would be one on wrong guesses only.
    EXPECT_TRUE(is_limited(
        post(login, {{"email", who.email}, {"password", good_password}}, fresh_address()), 12));

    const auto nobody = fresh_email();
    for (int n = 0; n < 5; ++n) {
        EXPECT_EQ(log_in(nobody, fresh_address()).status, 401);
    }
    EXPECT_TRUE(is_limited(log_in(nobody, fresh_address()), 12)) << "an account that is none, too";
    for (const std::string_view target :
         {"/api/v1/auth/forgot-password", "/api/v1/auth/resend-verification"}) {
        for (int n = 0; n < 3; ++n) {
            EXPECT_EQ(post(target, {{"email", nobody}}, fresh_address()).status, 202);
        }
        EXPECT_TRUE(is_limited(post(target, {{"email", nobody}}, fresh_address()), 1200)) << target;
    }
}

TEST_F(system_rate_limits, of_refresh_hold_for_a_session_whatever_the_address) {
    const auto who = where_.make_person("refreshing");
    auto home = where_.server().client();
    auto latest = log_in_as(home, who).refresh;
    const auto refresh_from = [&](std::string_view token) {
        return post("/api/v1/auth/refresh", {{"refresh_token", token}}, fresh_address());
    };
    for (int n = 0; n < 10; ++n) {
        latest = tokens_of(refresh_from(latest)).refresh;
    }
    EXPECT_TRUE(is_limited(refresh_from(latest), 6));
    EXPECT_TRUE(is_limited(refresh_from(latest), 6)) << "and it is not spent by that";
    EXPECT_EQ(refresh_from(log_in_as(home, who).refresh).status, 200) << "another session";
    EXPECT_EQ(refresh_with(home, latest).status, 200);
}

TEST_F(system_rate_limits, of_switching_tenants_hold_for_a_person_whatever_the_session) {
    const auto who = where_.make_person("switching");
    auto home = where_.server().client();
    auto latest = log_in_as(home, who);
    const auto switch_from = [&](const token_pair& session) {
        return post_json(client_, "/api/v1/auth/switch-tenant", {{"tenant_slug", who.slug}},
                         session.auth());
    };
    for (int n = 0; n < 10; ++n) {
        latest = tokens_of(switch_from(latest));
    }
    EXPECT_TRUE(is_limited(switch_from(latest), 6));
    EXPECT_EQ(switch_from(log_in_as(home, where_.make_person("not-switching"))).status, 404);
}

TEST_F(system_rate_limits, of_making_tenants_hold_for_a_person_whatever_the_session) {
    const auto who = where_.make_person("founder");
    auto home = where_.server().client();
    const auto make = [&](const std::string& slug, const std::string& key) {
        auto fields = log_in_as(home, who).auth();
        fields.emplace_back("Idempotency-Key", key);
        return post_json(client_, "/api/v1/tenants", {{"name", "One of many"}, {"slug", slug}},
                         fields);
    };
    for (int n = 0; n < 10; ++n) {
        EXPECT_TRUE(is_problem(make(who.slug, "taken " + std::to_string(n)), 409, "slug_taken"));
    }
    EXPECT_TRUE(is_limited(make(where_.fresh_slug("many"), "new"), 360));
    const auto other = where_.make_person("other-founder");
    EXPECT_EQ(post_json(client_, "/api/v1/tenants",
                        {{"name", "Another's"}, {"slug", where_.fresh_slug("more")}}, other.auth())
                  .status,
              202);
}

TEST_F(system_rate_limits, of_registrations_hold_for_an_account_too) {
    const auto who = where_.make_person("registered");
    for (int n = 0; n < 3; ++n) {
        EXPECT_TRUE(is_problem(
            post("/api/v1/auth/register", registration_form(where_.fresh_slug("again"), who.email),
                 fresh_address()),
            409, "email_taken"));
    }
    EXPECT_TRUE(
        is_limited(post("/api/v1/auth/register",
                        registration_form(where_.fresh_slug("again"), who.email), fresh_address()),
                   1200));
}

TEST_F(system_rate_limits, of_registrations_do_not_count_what_is_only_answered_again) {
    const auto slug = where_.fresh_slug("repeated");
    const auto send = [&](const std::string& key) {
        return post_json(client_, "/api/v1/auth/register", registration_form(slug, slug + "@x.org"),
                         {{"X-Forwarded-For", fresh_address()}, {"Idempotency-Key", key}});
    };
    for (int n = 0; n < 6; ++n) {
        EXPECT_EQ(send("key of " + slug).status, 202) << n;
    }
    EXPECT_TRUE(is_problem(send("another"), 409, ""));
    EXPECT_TRUE(is_problem(send("another"), 409, ""));
    EXPECT_TRUE(is_limited(send("another"), 1200)) << "what failed was not answered before";
}

TEST_F(system_rate_limits, ipv6_counts_by_its_network) {
    for (int n = 0; n < 5; ++n) {
        EXPECT_EQ(log_in(fresh_email(), "2001:db8:1:2::" + std::to_string(n)).status, 401);
    }
    EXPECT_TRUE(is_limited(log_in(fresh_email(), "2001:db8:1:2:ffff:ffff:ffff:ffff"), 12));
    EXPECT_EQ(log_in(fresh_email(), "2001:db8:1:3::1").status, 401);
}

TEST_F(system_rate_limits, count_the_address_that_the_proxies_vouch_for) {
    const auto address = fresh_address();
    const auto send = [&](const http_fields& fields) {
        return post_json(client_, login, {{"email", fresh_email()}, {"password", wrong_password}},
                         fields)
            .status;
    };
    for (int n = 0; n < 5; ++n) {
        EXPECT_EQ(send({{"X-Forwarded-For",
                         "10.0.0." + std::to_string(n) + ", " + address + ", 127.0.0.9"}}),
                  401)
            << "what a client says of itself stands on the left and does not count";
    }
    EXPECT_EQ(send({{"X-Forwarded-For", "10.9.9.9"}, {"X-Forwarded-For", address}}), 429);
    EXPECT_EQ(send({{"Forwarded", "for=10.9.9.9, for=\"" + address + ":4711\";proto=https"}}), 429);
    EXPECT_EQ(send({{"Forwarded", "for=\"[2001:db8:77::1]\""}}), 401)
        << "the standard one counts when there are both";
}

TEST_F(system_rate_limits, of_a_session_leave_others_of_its_address_alone) {
    auto who = where_.make_person("session");
    auto other = who;
    other.token = where_.log_in(who);
    for (int n = 0; n < 5; ++n) {
        EXPECT_EQ(get(client_, "/api/v1/users/me", who.auth()).status, 200);
    }
    EXPECT_TRUE(is_limited(get(client_, "/api/v1/users/me", who.auth()), 60));
    EXPECT_EQ(get(client_, "/api/v1/users/me", other.auth()).status, 200);
}

TEST_F(system_rate_limits, of_guesses_at_the_current_password_hold_for_all_sessions) {
    auto who = where_.make_person("guesses");
    const auto guess = [&] {
        return post_json(client_, "/api/v1/auth/change-password",
                         {{"current_password", wrong_password}, {"new_password", good_password}},
                         who.auth());
    };
    for (int n = 0; n < 5; ++n) {
        if (n % 2 == 1) {
            who.token = where_.log_in(who);
        }
        EXPECT_TRUE(is_problem(guess(), 401, "invalid_credentials"));
    }
    who.token = where_.log_in(who);
    EXPECT_TRUE(is_limited(guess(), 12));
}

TEST_F(system_rate_limits, are_checked_before_anything_expensive_and_counted) {
    const auto address = fresh_address();
    for (int n = 0; n < 5; ++n) {
        log_in(fresh_email(), address);
    }
    const auto hashes = [&] { return metric_sum(client_, "insula_hash_wait_seconds_count"); };
    const auto counted = [&] {
        return metric_sum(client_, "insula_rate_limited_total", "class=\"login\"");
    };
    const auto hashed = hashes();
    const auto before = counted();
    const auto audited = where_.database().value_admin(
        "select count(*) from control.audit_log where ip = '" + address + "'");
    EXPECT_EQ(audited, "5");
    for (int n = 0; n < 50; ++n) {
        EXPECT_TRUE(is_limited(log_in(fresh_email(), address), 12));
    }
    EXPECT_EQ(hashes(), hashed);
    EXPECT_EQ(counted(), before + 50);
    EXPECT_EQ(where_.database().value_admin("select count(*) from control.audit_log where ip = '" +
                                            address + "'"),
              audited);
    EXPECT_LE(metric_sum(client_, "insula_rate_limit_keys"),
              metric_sum(client_, "insula_rate_limit_keys_max"));
}

}  // namespace
}  // namespace insula::test
