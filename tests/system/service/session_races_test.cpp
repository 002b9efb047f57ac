// Sessions that are being opened while they are being revoked. One side's transaction is held open
// between its locks and its COMMIT; the other must wait for it, and then see what it did.
#include "people.hpp"
#include "signed_in.hpp"

#include <future>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

class system_session_races : public testing::Test {
protected:
    static void SetUpTestSuite() { (void)shared_deployment().server(); }

    /// Runs the request while `holder` has its transaction open, and has it go on only when the
    /// request waits for a lock.
    template <class Request>
    http_answer meanwhile(Request request, const std::string& then) {
        auto answer = std::async(std::launch::async, [&] {
            auto own = where_.server().client();
            return request(own);
        });
        const auto waits = [&] {
            return where_.database().query_admin(
                       "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and"
                       " datname = current_database() and $1 = any (pg_blocking_pids(pid))",
                       {std::to_string(holder_.backend_pid())})[0][0] != "0";
        };
        wait_until("the request to wait for the lock",
                   [&] { return waits() || answer.wait_for(0s) == std::future_status::ready; });
        EXPECT_NE(answer.wait_for(0s), std::future_status::ready) << "it did not wait";
        holder_.query(then);
        return answer.get();
    }
    std::string living(const person& who) {
        return where_.database().query_admin(
            "select count(*) from control.session where user_id = $1 and ended_at is null",
            {who.user_id})[0][0];
    }
    http_answer log_in(http_client& from, const person& who) {
        return post_json(
            from, "/api/v1/auth/login",
            {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}});
    }
    std::string ids(const person& who) { return "'" + who.tenant_id + "', '" + who.user_id + "'"; }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
    sql_connection holder_{where_.database().admin_conninfo()};
};

TEST_F(system_session_races, G10_a_log_in_during_the_removal_of_its_member) {
    const auto who = where_.make_person("race-removed");
    holder_.query("begin; update control.membership set status = 'removed' where user_id = '" +
                  who.user_id + "'; select control.end_member_sessions(" + ids(who) + ", 'x')");
    const auto answer = meanwhile([&](http_client& own) { return log_in(own, who); }, "commit");
    EXPECT_TRUE(is_problem(answer, 401, "invalid_credentials"));
    EXPECT_EQ(living(who), "0") << "a session outlived the membership";
}

TEST_F(system_session_races, G10_a_removal_during_a_log_in_finds_the_session) {
    const auto who = where_.make_person("race-opening");
    holder_.query("begin; select control.open_session(gen_random_uuid(), a.id, a.password_hash, '" +
                  who.tenant_id +
                  "', 'owner', 'ready', '\\x00', '1 day', '1 day', '', '', gen_random_uuid(), '')"
                  " from control.account a where a.id = '" +
                  who.user_id + "'");
    sql_connection remover(where_.database().admin_conninfo());
    auto removed = std::async(std::launch::async, [&] {
        remover.query("begin; update control.membership set status = 'removed' where user_id = '" +
                      who.user_id + "'; select control.end_member_sessions(" + ids(who) +
                      ", 'x'); commit");
    });
    wait_until("the removal to wait", [&] {
        return where_.database().query_admin(
                   "select count(*) from pg_locks where pid = $1 and not granted",
                   {std::to_string(remover.backend_pid())})[0][0] != "0";
    });
    holder_.query("commit");
    removed.get();
    EXPECT_EQ(living(who), "0");
}

TEST_F(system_session_races, G14_a_log_in_with_the_old_password_during_its_change) {
    const auto who = where_.make_person("race-password");
    holder_.query("begin; update control.account set password_hash = 'changed' where id = '" +
                  who.user_id + "'; select control.end_user_sessions('" + who.user_id +
                  "', null, 'password')");
    const auto answer = meanwhile([&](http_client& own) { return log_in(own, who); }, "commit");
    EXPECT_TRUE(is_problem(answer, 401, "invalid_credentials"));
    EXPECT_EQ(living(who), "0") << "a session was opened with a password that was changed";
}

TEST_F(system_session_races, G14_switching_tenants_during_a_log_out_everywhere) {
    const auto who = where_.make_person("race-switch");
    const auto tokens = log_in_as(client_, who);
    holder_.query("begin; select control.log_out_everywhere('" + tokens.session + "', 1, '" +
                  who.user_id + "', null, gen_random_uuid(), '', '')");
    const auto answer = meanwhile(
        [&](http_client& own) {
            return post_json(own, "/api/v1/auth/switch-tenant", {{"tenant_slug", who.slug}},
                             tokens.auth());
        },
        "commit");
    EXPECT_TRUE(is_problem(answer, 401, "invalid_token"));
    EXPECT_EQ(living(who), "0") << "somebody stayed behind";
}

TEST_F(system_session_races, G14_a_log_out_everywhere_during_a_switch_finds_the_session) {
    const auto who = where_.make_person("race-switching");
    const auto tokens = log_in_as(client_, who);
    holder_.query("begin; select control.switch_session('" + tokens.session + "', 1, '" +
                  who.user_id + "', '" + who.slug +
                  "', gen_random_uuid(), '\\x00', '1 day', '', '', gen_random_uuid(), '')");
    const auto answer = meanwhile(
        [&](http_client& own) {
            return own.send("POST", "/api/v1/auth/logout-all", tokens.auth());
        },
        "commit");
    EXPECT_EQ(answer.status, 204) << answer.text();
    EXPECT_EQ(living(who), "0");
}

TEST_F(system_session_races, G13_a_refresh_during_the_end_of_its_session) {
    const auto who = where_.make_person("race-refresh");
    const auto tokens = log_in_as(client_, who);
    holder_.query("begin; select control.end_session('" + tokens.session + "', 'x')");
    EXPECT_TRUE(is_problem(
        meanwhile([&](http_client& own) { return refresh_with(own, tokens.refresh); }, "commit"),
        401, "invalid_refresh_token"));
    // And one that came to nothing changes nothing.
    const auto others = log_in_as(client_, who);
    holder_.query("begin; select control.end_session('" + others.session + "', 'x')");
    EXPECT_EQ(
        meanwhile([&](http_client& own) { return refresh_with(own, others.refresh); }, "rollback")
            .status,
        200);
}

TEST_F(system_session_races, an_invitation_is_accepted_by_a_password_that_is_hashed_anew) {
    const auto owner = where_.make_person("race-inviter");
    const auto who = where_.make_person("race-invited");
    const auto before = where_.mailed_tokens(who.email);
    ASSERT_EQ(invite(client_, owner, who.email, "member").status, 201);
    const auto token = where_.wait_for_mail(who.email, before);
    // Another hash of the same password, as a log-in makes it when the costs have changed.
    holder_.query(
        "begin; update control.account set password_hash = (select o.password_hash from"
        " control.account o where o.id = '" +
        owner.user_id + "') where id = '" + who.user_id + "'");
    const auto answer = meanwhile(
        [&](http_client& own) { return accept(own, token, {{"password", good_password}}); },
        "commit");
    EXPECT_EQ(answer.status, 200) << answer.text();
}

/// The role that a token names and its version are of one moment, on either side of a change.
TEST_F(system_session_races, G14_a_refresh_during_a_change_of_role) {
    const auto owner = where_.make_person("race-role");
    auto member = where_.make_person("race-role-guest");
    add_member(where_, member, owner, "admin");
    member.slug = owner.slug;
    const auto tokens = log_in_as(client_, member);
    const auto two = "'" + owner.tenant_id + "', '" + member.user_id + "'";
    holder_.query("begin; update control.membership set role = 'member' where tenant_id = '" +
                  owner.tenant_id + "' and user_id = '" + member.user_id +
                  "'; select control.age_member_sessions(" + two + ")");
    const auto after = tokens_of(
        meanwhile([&](http_client& own) { return refresh_with(own, tokens.refresh); }, "commit"));
    EXPECT_EQ(after.role, "member");
    EXPECT_EQ(after.claims.at("sver").as_int64(), 2);
    EXPECT_TRUE(accepted(client_, after));
}

}  // namespace
}  // namespace insula::test
