// Logging out, here and everywhere; the list of one's sessions; another tenant without a password.
#include "described.hpp"
#include "signed_in.hpp"

#include <algorithm>
#include <thread>

namespace insula::test {
namespace {

constexpr std::string_view sessions_path = "/api/v1/auth/sessions";

class system_own_sessions : public testing::Test {
protected:
    static void SetUpTestSuite() { (void)shared_deployment().server(); }

    http_answer log_out(std::string_view token) {
        return post_json(client_, "/api/v1/auth/logout", {{"refresh_token", token}});
    }
    http_answer switch_to(const token_pair& who, std::string_view slug) {
        return post_json(client_, "/api/v1/auth/switch-tenant", {{"tenant_slug", slug}},
                         who.auth());
    }
    http_answer end(const token_pair& who, std::string_view session) {
        return client_.send("DELETE", std::string(sessions_path) + "/" + std::string(session),
                            who.auth());
    }
    /// The ids of all pages.
    std::vector<std::string> listed(const token_pair& who, int limit) {
        std::vector<std::string> ids;
        std::string cursor;
        do {
            const auto answer = get(client_,
                                    std::string(sessions_path) + "?limit=" + std::to_string(limit) +
                                        (cursor.empty() ? "" : "&cursor=" + cursor),
                                    who.auth());
            EXPECT_TRUE(is_described(client_, answer, "GET", sessions_path)) << answer.text();
            const auto page = parse(answer);
            for (const auto& one : page.at("items").as_array()) {
                ids.push_back(text_of(one, "/id"));
            }
            cursor = page.at("next_cursor").is_null() ? "" : text_of(page, "/next_cursor");
        } while (!cursor.empty());
        return ids;
    }
    std::string reason(const token_pair& of) {
        return of_session(where_, of.session, "coalesce(end_reason, '')");
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
};

TEST_F(system_own_sessions, G14_log_out_ends_the_session_with_its_access_tokens) {
    const auto who = where_.make_person("logout");
    const auto stays = log_in_as(client_, who);
    const auto leaves = log_in_as(client_, who);
    EXPECT_TRUE(accepted(client_, leaves));
    EXPECT_EQ(log_out(leaves.refresh).status, 204);
    EXPECT_FALSE(accepted(client_, leaves)) << "at once, on the process that did it";
    EXPECT_TRUE(is_problem(refresh_with(client_, leaves.refresh), 401, "invalid_refresh_token"));
    EXPECT_EQ(log_out(leaves.refresh).status, 204) << "a repeat is no error";
    EXPECT_TRUE(accepted(client_, stays));
    EXPECT_EQ(reason(leaves), "logout");
    EXPECT_EQ(audited(where_, "user.logout", leaves.session), 1);
}

TEST_F(system_own_sessions, log_out_takes_spent_tokens_and_says_what_they_look_like) {
    const auto who = where_.make_person("logout-spent");
    // The answer to the refresh was lost, and the client leaves with what it has.
    const auto lost = log_in_as(client_, who);
    const auto unseen = tokens_of(refresh_with(client_, lost.refresh));
    EXPECT_EQ(log_out(lost.refresh).status, 204);
    EXPECT_FALSE(accepted(client_, unseen));
    EXPECT_EQ(reason(lost), "logout");
    // A token from before that is what a thief's looks like.
    const auto first = log_in_as(client_, who);
    const auto latest =
        tokens_of(refresh_with(client_, tokens_of(refresh_with(client_, first.refresh)).refresh));
    EXPECT_EQ(log_out(first.refresh).status, 204);
    EXPECT_FALSE(accepted(client_, latest));
    EXPECT_EQ(reason(first), "token_reuse");
    EXPECT_EQ(audited(where_, "token.reuse", first.session), 1);
    EXPECT_EQ(audited(where_, "user.logout", first.session), 0);
}

TEST_F(system_own_sessions, G14_log_out_everywhere) {
    const auto who = where_.make_person("everywhere");
    const auto other = where_.make_person("everywhere-other");
    add_member(where_, who, other, "member");
    auto guest = who;
    guest.slug = other.slug;
    const auto here = log_in_as(client_, who);
    const auto there = log_in_as(client_, who);
    const auto elsewhere = log_in_as(client_, guest);
    const auto others = log_in_as(client_, other);
    EXPECT_EQ(client_.send("POST", "/api/v1/auth/logout-all", here.auth()).status, 204);
    for (const auto& over : {here, there, elsewhere}) {
        EXPECT_FALSE(accepted(client_, over));
        EXPECT_TRUE(is_problem(refresh_with(client_, over.refresh), 401, "invalid_refresh_token"));
        EXPECT_EQ(reason(over), "logout_all");
    }
    EXPECT_TRUE(accepted(client_, others));
    EXPECT_TRUE(is_problem(client_.send("POST", "/api/v1/auth/logout-all", here.auth()), 401,
                           "invalid_token"));
    EXPECT_EQ(where_.database().query_admin(
                  "select tenant_id, changes->>'sessions' from control.audit_log where"
                  " action = 'user.logout' and entity_id = $1",
                  {who.user_id}),
              (rows{{who.tenant_id, "4"}}));  // make_person's too
}

TEST_F(system_own_sessions, the_list_of_ones_sessions) {
    auto who = where_.make_person("listed");
    const auto other = where_.make_person("listed-other");
    add_member(where_, who, other, "member");
    std::vector<token_pair> mine;
    for (int i = 0; i < 4; ++i) {
        auto own = who;
        own.slug = i % 2 == 0 ? who.slug : other.slug;
        mine.push_back(tokens_of(post_json(
            client_, "/api/v1/auth/login",
            {{"email", own.email}, {"password", good_password}, {"tenant_slug", own.slug}},
            {{"User-Agent", "browser/" + std::to_string(i)}})));
    }
    (void)log_in_as(client_, other);
    // Equal times: the id decides, and no page skips or repeats a row.
    where_.database().query_admin(
        "update control.session set created_at = '2026-01-01' where user_id = $1", {who.user_id});
    auto expected = where_.database().query_admin(
        "select id from control.session where user_id = $1 order by created_at desc, id desc",
        {who.user_id});
    ASSERT_EQ(expected.size(), 5U);
    for (const int limit : {1, 2, 3, 5, 100}) {
        const auto ids = listed(mine[0], limit);
        ASSERT_EQ(ids.size(), expected.size()) << limit;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            EXPECT_EQ(ids[i], expected[i][0]);
        }
    }
    const auto page = parse(get(client_, sessions_path, mine[1].auth()));
    int current = 0;
    for (const auto& one : page.at("items").as_array()) {
        if (one.at("current").as_bool()) {
            ++current;
            EXPECT_EQ(text_of(one, "/id"), mine[1].session);
            EXPECT_EQ(text_of(one, "/tenant_slug"), other.slug);
            EXPECT_EQ(text_of(one, "/user_agent"), "browser/1");
            EXPECT_EQ(text_of(one, "/ip"), "127.0.0.1");
            EXPECT_EQ(text_of(one, "/created_at"), "2026-01-01T00:00:00.000000Z");
        }
    }
    EXPECT_EQ(current, 1);
    // Only what can still be used.
    const auto set = [&](const token_pair& of, const char* assignment) {
        where_.database().query_admin(
            "update control.session set " + std::string(assignment) + " where id = $1",
            {of.session});
    };
    set(mine[1], "refresh_expires_at = now() - interval '1 second'");
    set(mine[2], "expires_at = now() - interval '1 second'");
    EXPECT_EQ(end(mine[0], mine[3].session).status, 204);
    EXPECT_EQ(listed(mine[0], 100).size(), 2U);
    // A cursor is the person's own.
    const auto cursor =
        text_of(parse(get(client_, std::string(sessions_path) + "?limit=1", mine[0].auth())),
                "/next_cursor");
    EXPECT_TRUE(
        is_problem(get(client_, std::string(sessions_path) + "?cursor=" + cursor, other.auth()),
                   400, "invalid_cursor"));
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/projects?cursor=" + cursor, mine[0].auth()), 400,
                           "invalid_cursor"));
}

TEST_F(system_own_sessions, G14_ending_one_of_ones_sessions) {
    const auto who = where_.make_person("ends");
    const auto other = log_in_as(client_, where_.make_person("ends-other"));
    const auto here = log_in_as(client_, who);
    const auto lost_phone = log_in_as(client_, who);
    EXPECT_TRUE(is_problem(end(here, other.session), 404, "not_found"));
    EXPECT_TRUE(accepted(client_, other));
    EXPECT_TRUE(is_problem(end(here, here.session.substr(1)), 404, "not_found"));
    EXPECT_EQ(end(here, lost_phone.session).status, 204);
    EXPECT_FALSE(accepted(client_, lost_phone));
    EXPECT_TRUE(
        is_problem(refresh_with(client_, lost_phone.refresh), 401, "invalid_refresh_token"));
    EXPECT_TRUE(is_problem(end(here, lost_phone.session), 404, "not_found"));
    EXPECT_EQ(reason(lost_phone), "ended_by_user");
    EXPECT_EQ(audited(where_, "user.logout", lost_phone.session), 1);
    EXPECT_EQ(audited(where_, "user.logout", other.session), 0);
    EXPECT_EQ(end(here, here.session).status, 204) << "this one, too";
    EXPECT_FALSE(accepted(client_, here));
}

TEST_F(system_own_sessions, an_operators_session_under_ones_name_is_not_ones_own) {
    const auto who = where_.make_person("acted-for");
    const auto mine = log_in_as(client_, who);
    const auto acting = log_in_as(client_, who);
    (void)where_.operator_auth();
    where_.database().query_admin(
        "update control.session set operator_user_id = (select id from control.account where"
        " operator and active limit 1), assumed_for = 'a test', refresh_hash = null,"
        " parent_hash = null where id = $1",
        {acting.session});
    const auto ids = listed(mine, 100);
    EXPECT_EQ(std::ranges::count(ids, acting.session), 0);
    EXPECT_TRUE(is_problem(end(mine, acting.session), 404, "not_found"));
    EXPECT_TRUE(is_problem(refresh_with(client_, acting.refresh), 401, "refresh_token_reused"))
        << "no such session has a refresh token";
}

TEST_F(system_own_sessions, switch_to_another_tenant) {
    const auto who = where_.make_person("switch");
    const auto other = where_.make_person("switch-target");
    const auto stranger = where_.make_person("switch-stranger");
    add_member(where_, who, other, "admin");
    const auto home = log_in_as(client_, who);
    const auto answer = switch_to(home, other.slug);
    EXPECT_TRUE(is_described(client_, answer, "POST", "/api/v1/auth/switch-tenant"));
    const auto there = tokens_of(answer);
    EXPECT_EQ(there.tenant_slug, other.slug);
    EXPECT_EQ(there.role, "admin");
    EXPECT_NE(there.session, home.session);
    EXPECT_EQ(text_of(there.claims, "/tid"), other.tenant_id);
    EXPECT_EQ(get(client_, "/api/v1/projects", there.auth()).status, 200);
    EXPECT_TRUE(accepted(client_, home)) << "the session it came from goes on";
    EXPECT_EQ(tokens_of(refresh_with(client_, there.refresh)).tenant_slug, other.slug);
    EXPECT_EQ(where_.database().query_admin(
                  "select changes->>'switched_from' from control.audit_log where"
                  " action = 'user.login' and tenant_id = $1 and user_id = $2",
                  {other.tenant_id, who.user_id}),
              (rows{{home.session}}));
    // Foreign and unknown look the same.
    const auto request = [&](std::string_view slug) {
        auto fields = home.auth();
        fields.emplace_back("X-Request-ID", fixed_request_id);
        return post_json(client_, "/api/v1/auth/switch-tenant", {{"tenant_slug", slug}}, fields);
    };
    EXPECT_TRUE(is_problem(request(stranger.slug), 404, "not_found"));
    EXPECT_EQ(comparable(request(stranger.slug)), comparable(request("no-such-tenant-at-all")));
    EXPECT_EQ(comparable(request(stranger.slug)), comparable(request("Not a slug'; --")));
}

TEST_F(system_own_sessions, G10_switching_needs_an_active_membership_and_an_open_tenant) {
    const auto who = where_.make_person("switch-state");
    const auto other = where_.make_person("switch-state-target");
    add_member(where_, who, other, "member");
    const auto home = log_in_as(client_, who);
    const auto sql = [&](const char* text, const std::string& id) {
        where_.database().query_admin(text, {id});
    };
    const auto sessions_there = [&] {
        return where_.database().query_admin(
            "select count(*) from control.session where tenant_id = $1 and user_id = $2",
            {other.tenant_id, who.user_id})[0][0];
    };
    sql("update control.tenant set status = 'suspended' where id = $1", other.tenant_id);
    EXPECT_TRUE(is_problem(switch_to(home, other.slug), 403, "tenant_suspended"));
    sql("update control.tenant set status = 'ready' where id = $1", other.tenant_id);
    wait_until_open(client_, other.auth());
    ASSERT_EQ(delete_json(client_, "/api/v1/tenants/" + other.slug, {{"confirm", other.slug}},
                          other.auth())
                  .status,
              202);
    EXPECT_TRUE(is_problem(switch_to(home, other.slug), 409, "tenant_pending_deletion"));
    const auto owner_home = log_in_as(client_, other);
    EXPECT_EQ(tokens_of(switch_to(owner_home, other.slug)).role, "owner") << "to restore it";
    ASSERT_EQ(
        client_.send("POST", "/api/v1/tenants/" + other.slug + "/restore", other.auth()).status,
        200);
    sql("update control.membership set status = 'pending' where user_id = $1 and role = 'member'",
        who.user_id);
    EXPECT_TRUE(is_problem(switch_to(home, other.slug), 404, "not_found"));
    sql("update control.membership set status = 'removed' where user_id = $1 and role = 'member'",
        who.user_id);
    EXPECT_TRUE(is_problem(switch_to(home, other.slug), 404, "not_found"));
    EXPECT_EQ(sessions_there(), "0") << "what was refused made a session";
    sql("update control.membership set status = 'active' where user_id = $1 and role = 'member'",
        who.user_id);
    EXPECT_EQ(switch_to(home, other.slug).status, 200);
    // Whose own session is over, or of an old version, goes nowhere.
    sql("update control.session set version = version + 1 where id = $1", home.session);
    EXPECT_TRUE(is_problem(switch_to(home, other.slug), 401, "invalid_token"));
    sql("update control.session set version = version - 1, ended_at = now() where id = $1",
        home.session);
    EXPECT_TRUE(is_problem(switch_to(home, other.slug), 401, "invalid_token"));
    EXPECT_EQ(sessions_there(), "1");
}

TEST_F(system_own_sessions, a_switched_session_lives_no_longer_than_its_origin) {
    const auto who = where_.make_person("switch-life");
    const auto home = log_in_as(client_, who);
    where_.database().query_admin(
        "update control.session set expires_at = now() + interval '100 seconds' where id = $1",
        {home.session});
    const auto next = tokens_of(switch_to(home, who.slug));
    EXPECT_LE(next.refresh_expires_in, 100);
    EXPECT_LE(next.expires_in, 100);
    const auto after = tokens_of(switch_to(next, who.slug));
    EXPECT_LE(after.refresh_expires_in, 100);
}

TEST_F(system_own_sessions, G10_a_person_has_a_hundred_sessions_at_most) {
    auto who = where_.make_person("hundred-one");
    const auto living = [&] {
        return where_.database().query_admin(
            "select count(*) from control.session where user_id = $1 and ended_at is null and"
            " operator_user_id is null",
            {who.user_id})[0][0];
    };
    const auto unused = log_in_as(client_, who);
    const auto used = log_in_as(client_, who);
    where_.database().query_admin(
        "insert into control.session (id, user_id, tenant_id, refresh_hash, refresh_expires_at,"
        " expires_at, last_used_at) select gen_random_uuid(), s.user_id, s.tenant_id, '\\x00',"
        " s.refresh_expires_at, s.expires_at, now() from control.session s"
        " cross join generate_series(1, 97) where s.id = $1",
        {used.session});
    ASSERT_EQ(living(), "100");  // with make_person's
    where_.database().query_admin(
        "update control.session set last_used_at = now() - interval '1 hour' where id = $1",
        {unused.session});
    where_.database().query_admin(
        "update control.session set last_used_at = now() - interval '2 hours', created_at = now()"
        " - interval '2 hours' where id = $1",
        {used.session});
    // Older than all, and used since.
    const auto kept = tokens_of(refresh_with(client_, used.refresh));
    const auto latest = log_in_as(client_, who);
    EXPECT_EQ(living(), "100");
    EXPECT_EQ(reason(unused), "too_many");
    EXPECT_FALSE(accepted(client_, unused)) << "at once, on the process that did it";
    EXPECT_TRUE(accepted(client_, kept));
    EXPECT_EQ(where_.database().value_admin(
                  "select changes->>'sessions_ended' from control.audit_log where action ="
                  " 'user.login' and user_id = '" +
                  who.user_id + "' order by created_at desc, id desc limit 1"),
              "1");
    EXPECT_TRUE(accepted(client_, tokens_of(switch_to(latest, who.slug))));
    EXPECT_EQ(living(), "100");
    // At once: nobody sees ninety-nine where another is just about to make the hundredth.
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 8; ++i) {
            threads.emplace_back([&, i] {
                auto own = where_.server().client();
                const auto answer =
                    i % 2 == 0 ? post_json(own, "/api/v1/auth/switch-tenant",
                                           {{"tenant_slug", who.slug}}, latest.auth())
                               : post_json(own, "/api/v1/auth/login",
                                           {{"email", who.email}, {"password", good_password}});
                EXPECT_EQ(answer.status, 200) << answer.text();
            });
        }
    }
    EXPECT_EQ(living(), "100");
}

TEST_F(system_own_sessions, sessions_are_the_persons_whatever_state_the_tenant_is_in) {
    const auto who = where_.make_person("suspended-sessions");
    const auto here = log_in_as(client_, who);
    const auto other = log_in_as(client_, who);
    const auto last = log_in_as(client_, who);
    where_.database().query_admin("update control.tenant set status = 'suspended' where id = $1",
                                  {who.tenant_id});
    EXPECT_EQ(listed(here, 100).size(), 4U);
    EXPECT_EQ(end(here, other.session).status, 204);
    EXPECT_EQ(log_out(last.refresh).status, 204);
    EXPECT_EQ(client_.send("POST", "/api/v1/auth/logout-all", here.auth()).status, 204);
    EXPECT_EQ(reason(here), "logout_all");
}

}  // namespace
}  // namespace insula::test
