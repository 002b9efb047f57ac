// Refresh tokens: one successor whatever races, a lost answer given again, a copied token found
// out.
#include "described.hpp"
#include "signed_in.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstdlib>
#include <thread>

namespace insula::test {
namespace {

constexpr int week = 7 * 24 * 3600;
constexpr std::string_view refresh_path = "/api/v1/auth/refresh";

/// Two processes on one database.
class system_refresh : public testing::Test {
protected:
    static void SetUpTestSuite() {
        (void)shared_deployment().server();
        second_ =
            std::make_unique<served>(shared_deployment().variables_with({{"INSULA_WORKERS", "0"}}));
    }
    static void TearDownTestSuite() { second_.reset(); }

    std::string of(const token_pair& tokens, const std::string& expression) {
        return of_session(where_, tokens.session, expression);
    }
    void set(const token_pair& tokens, const std::string& assignments) {
        where_.database().query_admin(
            "update control.session set " + assignments + " where id = $1", {tokens.session});
    }
    /// Without the triggers, which would end the sessions as well.
    void change_row_alone(const std::string& what) {
        where_.database().query_admin("set session_replication_role = replica; update " + what +
                                      "; set session_replication_role = default");
    }
    /// What the first replay of a token does that somebody else has used.
    void expect_reuse(http_client& client, const token_pair& tokens, std::string_view replayed) {
        EXPECT_TRUE(is_problem(refresh_with(client, replayed), 401, "refresh_token_reused"));
        EXPECT_EQ(of(tokens, "end_reason"), "token_reuse");
        EXPECT_EQ(audited(where_, "token.reuse", tokens.session), 1);
    }
    /// Nobody holds anything of this session any more, here or there.
    void expect_over(const token_pair& tokens, const std::vector<std::string>& refresh_tokens) {
        for (const auto& one : refresh_tokens) {
            EXPECT_TRUE(is_problem(refresh_with(client_, one), 401, "invalid_refresh_token"));
            EXPECT_TRUE(is_problem(refresh_with(other_, one), 401, "invalid_refresh_token"));
        }
        EXPECT_FALSE(accepted(client_, tokens));
        wait_until("the other process to hear of it",
                   [&] { return get(other_, "/api/v1/users/me", tokens.auth()).status == 401; });
        EXPECT_EQ(audited(where_, "token.reuse", tokens.session), 1) << "noted once";
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
    http_client other_ = second_->client();
    static inline std::unique_ptr<served> second_;
};

TEST_F(system_refresh, new_tokens_for_the_old_one) {
    const auto who = where_.make_person("refresh");
    const auto first = log_in_as(client_, who);
    EXPECT_EQ(first.refresh.size(), 86U);
    EXPECT_EQ(first.refresh_expires_in, week);
    set(first,
        "last_used_at = now() - interval '1 day', refresh_expires_at = now() +"
        " interval '1 hour', ip = 'old', user_agent = 'old'");
    const auto answer = refresh_with(other_, first.refresh, {{"User-Agent", "browser/7"}});
    EXPECT_TRUE(is_described(client_, answer, "POST", refresh_path)) << answer.text();
    EXPECT_EQ(answer.field("Cache-Control"), "no-store");
    const auto next = tokens_of(answer);
    EXPECT_EQ(next.session, first.session);
    EXPECT_NE(next.refresh, first.refresh);
    EXPECT_NE(next.claims.at("jti"), first.claims.at("jti"));
    EXPECT_EQ(next.tenant_slug, who.slug);
    EXPECT_EQ(next.role, "owner");
    EXPECT_EQ(next.expires_in, 900);
    EXPECT_EQ(next.refresh_expires_in, week) << "it slides";
    EXPECT_TRUE(accepted(client_, next));
    EXPECT_TRUE(accepted(client_, first)) << "an access token lives until it expires";
    EXPECT_EQ(of(first, "ip || ' ' || user_agent"), "127.0.0.1 browser/7");
    EXPECT_EQ(of(first, "last_used_at > now() - interval '1 minute'"), "t");
    // Neither token is anywhere in the database.
    for (const auto& token : {first.refresh, next.refresh}) {
        EXPECT_EQ(where_.database().value_admin("select count(*) from control.session s where "
                                                "position('" +
                                                token + "' in s::text) > 0"),
                  "0");
        EXPECT_EQ(of(first, "refresh_hash = sha256('" + next.refresh + "')"), "t");
    }
}

TEST_F(system_refresh, G13_a_hundred_clients_on_two_processes_get_one_successor) {
    constexpr int clients = 100;
    const char* wanted = std::getenv("INSULA_REFRESH_ROUNDS");
    const int rounds = wanted != nullptr ? std::atoi(wanted) : 3;
    const auto who = where_.make_person("hundred");
    auto tokens = log_in_as(client_, who);
    for (int round = 0; round < rounds; ++round) {
        std::vector<http_answer> answers(clients);
        std::barrier start(clients);
        std::atomic<int> failed = 0;
        {
            std::vector<std::jthread> threads;
            for (int i = 0; i < clients; ++i) {
                threads.emplace_back([&, i] {
                    auto own = i % 2 == 0 ? where_.server().client() : second_->client();
                    (void)get(own, "/livez");  // connected
                    start.arrive_and_wait();
                    try {
                        answers[static_cast<std::size_t>(i)] = refresh_with(own, tokens.refresh);
                    } catch (const std::exception&) {
                        ++failed;
                    }
                });
            }
        }
        EXPECT_EQ(failed, 0);
        std::set<std::string> successors;
        std::set<std::string> access_tokens;
        for (const auto& answer : answers) {
            ASSERT_EQ(answer.status, 200) << "logged out: " << answer.text();
            successors.insert(tokens_of(answer).refresh);
            access_tokens.insert(tokens_of(answer).access);
        }
        ASSERT_EQ(successors.size(), 1U);
        EXPECT_FALSE(successors.contains(tokens.refresh));
        EXPECT_EQ(access_tokens.size(), static_cast<std::size_t>(clients));
        EXPECT_TRUE(accepted(client_, tokens_of(answers[1])));
        EXPECT_TRUE(accepted(other_, tokens_of(answers[0])));
        tokens = tokens_of(answers.front());
        EXPECT_EQ(of(tokens, "ended_at is null"), "t");
        EXPECT_EQ(of(tokens, "refresh_hash = sha256('" + tokens.refresh + "')"), "t");
    }
    EXPECT_EQ(audited(where_, "token.reuse", tokens.session), 0);
    EXPECT_EQ(where_.database().value_admin("select count(*) from control.session where user_id ="
                                            " '" +
                                            who.user_id + "'"),
              "2")  // make_person's and this
        << "a refresh makes no session";
    EXPECT_EQ(refresh_with(other_, tokens.refresh).status, 200);
}

TEST_F(system_refresh, G13_a_lost_answer_can_be_asked_for_again) {
    const auto who = where_.make_person("again");
    const auto first = log_in_as(client_, who);
    const auto second = tokens_of(refresh_with(client_, first.refresh));
    for (auto* from : {&client_, &other_, &client_}) {
        const auto again = tokens_of(refresh_with(*from, first.refresh));
        EXPECT_EQ(again.refresh, second.refresh);
        EXPECT_EQ(again.session, second.session);
        EXPECT_NE(again.access, second.access);
        EXPECT_TRUE(accepted(*from, again));
    }
    set(first, "rotated_at = now() - interval '9 seconds'");
    EXPECT_EQ(tokens_of(refresh_with(other_, first.refresh)).refresh, second.refresh);
    // The one whose answer was lost goes on as if nothing had happened.
    const auto third = tokens_of(refresh_with(client_, second.refresh));
    EXPECT_NE(third.refresh, second.refresh);
    EXPECT_EQ(of(first, "ended_at is null"), "t");
}

TEST_F(system_refresh, G13_the_parent_after_its_successor_was_used_ends_the_session) {
    const auto who = where_.make_person("replay");
    const auto elsewhere = log_in_as(client_, who);  // another session of the same person
    const auto first = log_in_as(client_, who);
    const auto second = tokens_of(refresh_with(client_, first.refresh));
    const auto third = tokens_of(refresh_with(client_, second.refresh));
    expect_reuse(other_, first, first.refresh);
    // That process knows at once, this one within a second.
    EXPECT_FALSE(accepted(other_, third));
    wait_until("this process to hear of it",
               [&] { return get(client_, "/api/v1/users/me", third.auth()).status == 401; });
    expect_over(third, {first.refresh, second.refresh, third.refresh});
    EXPECT_TRUE(accepted(client_, elsewhere)) << "only the session whose token was copied";
    EXPECT_EQ(where_.database()
                  .query_admin("select tenant_id, user_id, status, ip from control.audit_log where"
                               " action = 'token.reuse' and entity_id = $1",
                               {first.session})
                  .at(0),
              (row{who.tenant_id, who.user_id, "failure", "127.0.0.1"}));
}

TEST_F(system_refresh, G13_the_parent_after_the_window_ends_the_session) {
    const auto who = where_.make_person("late");
    const auto first = log_in_as(client_, who);
    const auto second = tokens_of(refresh_with(client_, first.refresh));
    set(first, "rotated_at = now() - interval '11 seconds'");
    expect_reuse(client_, first, first.refresh);
    expect_over(second, {first.refresh, second.refresh});
}

TEST_F(system_refresh, G13_a_token_of_long_ago_ends_the_session) {
    const auto who = where_.make_person("ancient");
    const auto first = log_in_as(client_, who);
    auto latest = first;
    for (int i = 0; i < 6; ++i) {
        latest = tokens_of(refresh_with(i % 2 == 0 ? client_ : other_, latest.refresh));
    }
    // Nothing of the first is stored any more, and the latest has run out meanwhile: found out all
    // the same.
    set(first, "refresh_expires_at = now() - interval '1 day'");
    expect_reuse(client_, first, first.refresh);
    expect_over(latest, {first.refresh, latest.refresh});
}

TEST_F(system_refresh, made_up_tokens_end_nothing) {
    const auto who = where_.make_person("made-up");
    const auto mine = log_in_as(client_, who);
    const auto stranger = log_in_as(client_, where_.make_person("made-up-b"));
    std::vector<std::string> bad{
        "x", "A", std::string(43, 'A'), std::string(86, 'A'), mine.refresh + "A",
        mine.refresh.substr(1), mine.refresh.substr(0, 85), mine.refresh + "=",
        // The id of one session, the rest of another's token.
        mine.refresh.substr(0, 20) + stranger.refresh.substr(20), mine.session, mine.access};
    for (std::size_t i = 0; i < mine.refresh.size(); ++i) {
        auto bent = mine.refresh;
        bent[i] = bent[i] == 'A' ? 'B' : 'A';
        bad.push_back(bent);
    }
    for (const auto& token : bad) {
        if (token.size() <= 512) {
            EXPECT_TRUE(is_problem(refresh_with(client_, token), 401, "invalid_refresh_token"))
                << token;
        } else {
            EXPECT_TRUE(is_client_error(refresh_with(client_, token)));
        }
        EXPECT_EQ(post_json(client_, "/api/v1/auth/logout", {{"refresh_token", token}}).status,
                  token.size() <= 512 ? 204 : 422);
    }
    EXPECT_EQ(refresh_with(client_, mine.refresh).status, 200);
    EXPECT_EQ(refresh_with(client_, stranger.refresh).status, 200);
}

TEST_F(system_refresh, sliding_and_absolute_lifetimes) {
    const auto who = where_.make_person("lifetimes");
    const auto idle = log_in_as(client_, who);
    set(idle, "refresh_expires_at = now() - interval '1 second'");
    EXPECT_TRUE(is_problem(refresh_with(client_, idle.refresh), 401, "invalid_refresh_token"));
    EXPECT_EQ(of(idle, "ended_at is null"), "t") << "it has run out; nobody has stolen anything";

    const auto old = log_in_as(client_, who);
    EXPECT_EQ(of(old, "expires_at - created_at = interval '30 days'"), "t");
    set(old, "expires_at = now() + interval '100 seconds'");
    const auto last = tokens_of(refresh_with(client_, old.refresh));
    EXPECT_LE(last.refresh_expires_in, 100) << "no refresh beyond the session's end";
    EXPECT_GT(last.refresh_expires_in, 60);
    EXPECT_LE(last.expires_in, 100) << "nor an access token";
    EXPECT_EQ(last.claims.at("exp").as_int64() - last.claims.at("iat").as_int64(), last.expires_in);
    const auto again = tokens_of(refresh_with(other_, old.refresh));
    EXPECT_LE(again.refresh_expires_in, last.refresh_expires_in);
    set(old, "expires_at = now() - interval '1 second'");
    EXPECT_TRUE(is_problem(refresh_with(client_, last.refresh), 401, "invalid_refresh_token"));
    EXPECT_TRUE(is_problem(refresh_with(client_, old.refresh), 401, "invalid_refresh_token"));
    EXPECT_EQ(audited(where_, "token.reuse", old.session), 0);
}

TEST_F(system_refresh, G10_only_an_active_member_refreshes) {
    const auto owner = where_.make_person("refresh-home");
    const auto member = where_.make_person("refresh-guest");
    add_member(where_, member, owner, "member");
    auto guest = member;
    guest.slug = owner.slug;
    const auto tokens = log_in_as(client_, guest);
    const auto home = log_in_as(client_, member);
    // The row and no more: not even a removal that forgot the sessions lets anybody refresh.
    change_row_alone("control.membership set status = 'removed' where tenant_id = '" +
                     owner.tenant_id + "' and user_id = '" + member.user_id + "'");
    EXPECT_TRUE(is_problem(refresh_with(client_, tokens.refresh), 401, "invalid_refresh_token"));
    EXPECT_TRUE(is_problem(refresh_with(other_, tokens.refresh), 401, "invalid_refresh_token"));
    const auto still = tokens_of(refresh_with(client_, home.refresh));
    change_row_alone("control.account set active = false where id = '" + member.user_id + "'");
    EXPECT_TRUE(is_problem(refresh_with(client_, still.refresh), 401, "invalid_refresh_token"));
    EXPECT_TRUE(is_problem(refresh_with(client_, home.refresh), 401, "invalid_refresh_token"))
        << "the window is no way around it";
}

TEST_F(system_refresh, the_role_and_the_version_are_those_of_now) {
    const auto owner = where_.make_person("role-home");
    auto member = where_.make_person("role-guest");
    add_member(where_, member, owner, "admin");
    member.slug = owner.slug;
    const auto before = log_in_as(client_, member);
    EXPECT_EQ(before.role, "admin");
    where_.database().query_admin(
        "update control.membership set role = 'member' where tenant_id = $1 and user_id = $2",
        {owner.tenant_id, member.user_id});
    where_.database().query_admin("select control.age_member_sessions($1, $2)",
                                  {owner.tenant_id, member.user_id});
    EXPECT_TRUE(is_problem(
        patch_json(client_, "/api/v1/users/me", {{"full_name", "Old Role"}}, before.auth()), 401,
        "invalid_token"));
    const auto after = tokens_of(refresh_with(client_, before.refresh));
    EXPECT_EQ(after.role, "member");
    EXPECT_EQ(after.claims.at("role").as_string(), "member");
    EXPECT_EQ(after.claims.at("sver").as_int64(), before.claims.at("sver").as_int64() + 1);
    EXPECT_TRUE(accepted(client_, after));
}

TEST_F(system_refresh, the_state_of_the_tenant_decides_and_spends_nothing) {
    const auto owner = where_.make_person("refresh-state");
    auto member = where_.make_person("refresh-state-guest");
    add_member(where_, member, owner, "member");
    member.slug = owner.slug;
    auto owners = log_in_as(client_, owner);
    const auto members = log_in_as(client_, member);
    const auto set_status = [&](const char* status) {
        where_.database().query_admin("update control.tenant set status = $1 where id = $2",
                                      {status, owner.tenant_id});
    };
    set_status("suspended");
    EXPECT_TRUE(is_problem(refresh_with(client_, owners.refresh), 403, "tenant_suspended"));
    EXPECT_TRUE(is_problem(refresh_with(other_, members.refresh), 403, "tenant_suspended"));
    set_status("ready");
    owners = tokens_of(refresh_with(client_, owners.refresh));
    wait_until_open(client_, owners.auth());
    ASSERT_EQ(delete_json(client_, "/api/v1/tenants/" + owner.slug, {{"confirm", owner.slug}},
                          owners.auth())
                  .status,
              202);
    EXPECT_TRUE(is_problem(refresh_with(client_, members.refresh), 409, "tenant_pending_deletion"));
    owners = tokens_of(refresh_with(client_, owners.refresh));
    EXPECT_EQ(
        client_.send("POST", "/api/v1/tenants/" + owner.slug + "/restore", owners.auth()).status,
        200);
    EXPECT_EQ(refresh_with(client_, members.refresh).status, 200) << "it was good for later";
}

TEST_F(system_refresh, operators_refresh_without_a_tenant) {
    const std::string email = where_.fresh_slug("operator") + "@example.org";  // also when repeated
    ASSERT_EQ(run_insula({"operator", "create", "--email", email}, where_.variables(),
                         std::string(good_password) + "\n")
                  .code,
              0);
    const auto first = tokens_of(
        post_json(client_, "/api/v1/auth/login", {{"email", email}, {"password", good_password}}));
    const auto answer = refresh_with(other_, first.refresh);
    EXPECT_TRUE(parse(answer).at("tenant").is_null()) << answer.text();
    const auto second = tokens_of(answer);
    EXPECT_FALSE(second.claims.contains("tid"));
    EXPECT_EQ(get(client_, "/api/v1/admin/tenants?limit=1", second.auth()).status, 200);
    change_row_alone("control.account set operator = false where email = '" + email + "'");
    EXPECT_TRUE(is_problem(refresh_with(client_, second.refresh), 401, "invalid_refresh_token"));
}

}  // namespace
}  // namespace insula::test
