// What was revoked is refused: at once by the process that did it, within a second by every other,
// whether it hears of it or not. Three processes on one database: `near` acts, `far` hears, and
// `cut_off` is behind a gate that can take its notification connection away.
#include "deployment.hpp"
#include "support/gate.hpp"

#include <functional>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr auto projects = "/api/v1/projects";

class revocation : public testing::Test {
protected:
    struct processes {
        deployment where;
        gate behind{where.database().home()};
        std::unique_ptr<served> far;
        std::unique_ptr<served> cut_off;
    };
    static void SetUpTestSuite() {
        all = new processes;
        all->behind.set_needle("insula feed");
        (void)all->where.server();
        all->far = std::make_unique<served>(all->where.variables());
        auto variables = all->where.variables();
        variables["INSULA_DATABASE_URL"] =
            "host=" + all->behind.folder() + " port=5432 dbname=" + all->where.database().name();
        all->cut_off = std::make_unique<served>(variables);
    }
    static void TearDownTestSuite() {
        delete all;
        all = nullptr;
    }
    void TearDown() override { all->behind.set(gate::mode::pass); }

    static served& near() { return all->where.server(); }
    static served& far() { return *all->far; }
    static served& cut_off() { return *all->cut_off; }
    static std::string sql(const std::string& text) {
        return all->where.database().value_admin(text);
    }
    static void change(const std::string& text) { all->where.database().query_admin(text); }

    static http_answer read(served& at, const std::string& token,
                            std::string_view what = projects) {
        auto client = at.client();
        return get(client, what, {{"Authorization", "Bearer " + token}});
    }
    /// Verified, and so remembered, on every loop: on several connections, several times.
    static void warm(served& at, const std::string& token) {
        for (int connection = 0; connection < 6; ++connection) {
            auto client = at.client();
            for (int i = 0; i < 3; ++i) {
                const auto answer = get(client, projects, {{"Authorization", "Bearer " + token}});
                ASSERT_EQ(answer.status, 200) << answer.text();
            }
        }
    }
    static void warm_everywhere(const std::string& token) {
        for (auto* at : {&near(), &far(), &cut_off()}) {
            ASSERT_NO_FATAL_FAILURE(warm(*at, token));
        }
    }
    /// No request that starts later than a second after `since` is let through; and it comes to a
    /// refusal.
    static void refused_within_a_second(served& at, const std::string& token,
                                        clock_type::time_point since, int status,
                                        std::string_view code) {
        for (;;) {
            const auto began = clock_type::now();
            const auto answer = read(at, token);
            if (answer.status != 200) {
                EXPECT_TRUE(is_problem(answer, status, code));
                return;
            }
            ASSERT_LT(began - since, 1s) << "a second later it is still let in";
            wait_a_little();
        }
    }
    static void refused_at_once(served& at, const std::string& token, int status,
                                std::string_view code) {
        for (int connection = 0; connection < 4; ++connection) {
            EXPECT_TRUE(is_problem(read(at, token), status, code));
        }
    }
    static void let_in_again(served& at, const std::string& token) {
        wait_until("the token to count again", [&] { return read(at, token).status == 200; }, 5s);
    }
    static std::string session_of(const std::string& token) {
        auto client = near().client();
        const auto list =
            parse(get(client, "/api/v1/auth/sessions", {{"Authorization", "Bearer " + token}}));
        for (const auto& one : list.at("items").as_array()) {
            if (one.at("current").as_bool()) {
                return text_of(one, "/id");
            }
        }
        throw std::runtime_error("no current session in " + json::serialize(list));
    }
    static double number(served& at, std::string_view name, std::string_view labels = "") {
        auto client = at.client();
        return metric_sum(client, name, labels);
    }
    static void becomes_silent(served& at) {
        wait_until(
            "the feed to be silent", [&] { return number(at, "insula_feed_silent") == 1.0; }, 5s);
    }
    static void is_heard(served& at) {
        wait_until(
            "the feed to be heard", [&] { return number(at, "insula_feed_silent") == 0.0; }, 10s);
    }
    static finished keys(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "keys");
        return run_insula(arguments, all->where.variables());
    }
    static std::string active_key() {
        return sql("select kid from control.signing_key where state = 'active'");
    }

    static inline processes* all = nullptr;
};

TEST_F(revocation, G14_a_read_asks_the_control_plane_nothing) {
    const auto who = all->where.make_person("hot");
    for (auto* at : {&near(), &far()}) {
        warm(*at, who.token);
        const auto before = number(*at, "insula_pg_units_total", "pool=\"app");
        const auto cells = number(*at, "insula_pg_units_total", "pool=\"cell");
        ASSERT_NO_FATAL_FAILURE(warm(*at, who.token));
        EXPECT_EQ(number(*at, "insula_pg_units_total", "pool=\"app"), before);
        EXPECT_GE(number(*at, "insula_pg_units_total", "pool=\"cell"), cells + 18);
        EXPECT_GE(number(*at, "insula_feed_last_number"), 1);
        EXPECT_LT(number(*at, "insula_feed_look_age_seconds"), 5);
        EXPECT_EQ(number(*at, "insula_feed_silent"), 0);
    }
}

TEST_F(revocation, G14_a_session_that_is_ended_by_its_owner_is_over_everywhere) {
    const auto who = all->where.make_person("ended");
    const auto other = all->where.log_in(who);
    warm_everywhere(other);
    auto client = near().client();
    const auto gone =
        delete_json(client, "/api/v1/auth/sessions/" + session_of(other), {}, who.auth());
    const auto since = clock_type::now();
    ASSERT_EQ(gone.status, 204) << gone.text();
    refused_at_once(near(), other, 401, "invalid_token");
    refused_within_a_second(far(), other, since, 401, "invalid_token");
    refused_within_a_second(cut_off(), other, since, 401, "invalid_token");
    EXPECT_EQ(read(near(), who.token).status, 200) << "the wrong session ended";
    EXPECT_EQ(read(far(), who.token).status, 200);
}

TEST_F(revocation, G14_logging_out_everywhere_ends_every_session) {
    const auto who = all->where.make_person("logout");
    const auto other = all->where.log_in(who);
    warm_everywhere(who.token);
    warm_everywhere(other);
    auto client = near().client();
    const auto gone = client.send("POST", "/api/v1/auth/logout-all", who.auth());
    const auto since = clock_type::now();
    ASSERT_EQ(gone.status, 204) << gone.text();
    for (const auto& token : {who.token, other}) {
        refused_at_once(near(), token, 401, "invalid_token");
        refused_within_a_second(far(), token, since, 401, "invalid_token");
    }
}

TEST_F(revocation, G14_whoever_ends_a_session_in_the_database_is_heard_everywhere) {
    const auto who = all->where.make_person("sql");
    warm_everywhere(who.token);
    change("update control.session set ended_at = now(), end_reason = 'by hand' where id = '" +
           session_of(who.token) + "'");
    const auto since = clock_type::now();
    for (auto* at : {&near(), &far(), &cut_off()}) {
        refused_within_a_second(*at, who.token, since, 401, "invalid_token");
    }
}

TEST_F(revocation, G14_a_role_that_changed_needs_another_token) {
    const auto who = all->where.make_person("role");
    warm_everywhere(who.token);
    change("select control.age_member_sessions('" + who.tenant_id + "', '" + who.user_id + "')");
    const auto since = clock_type::now();
    for (auto* at : {&near(), &far(), &cut_off()}) {
        refused_within_a_second(*at, who.token, since, 401, "invalid_token");
    }
    EXPECT_EQ(read(far(), all->where.log_in(who)).status, 200);
}

TEST_F(revocation, G14_a_suspended_tenant_is_closed_to_its_people_until_it_is_resumed) {
    const auto who = all->where.make_person("suspended");
    const auto root = all->where.operator_auth();
    warm_everywhere(who.token);
    auto client = near().client();
    const auto path = "/api/v1/admin/tenants/" + who.tenant_id;
    ASSERT_EQ(post_json(client, path + "/suspend", json::object(), root).status, 200);
    auto since = clock_type::now();
    refused_at_once(near(), who.token, 403, "tenant_suspended");
    refused_within_a_second(far(), who.token, since, 403, "tenant_suspended");
    refused_within_a_second(cut_off(), who.token, since, 403, "tenant_suspended");
    for (auto* at : {&near(), &far(), &cut_off()}) {
        EXPECT_EQ(read(*at, who.token, "/api/v1/auth/sessions").status, 200);
    }
    ASSERT_EQ(post_json(client, path + "/resume", json::object(), root).status, 200);
    EXPECT_EQ(read(near(), who.token).status, 200);
    let_in_again(far(), who.token);
    let_in_again(cut_off(), who.token);
}

TEST_F(revocation, G14_a_tenant_pending_deletion_lets_its_owner_restore_it_only) {
    const auto who = all->where.make_person("pending");
    warm_everywhere(who.token);
    auto client = near().client();
    const auto path = "/api/v1/tenants/" + who.slug;
    ASSERT_EQ(delete_json(client, path, {{"confirm", who.slug}}, who.auth()).status, 202);
    const auto since = clock_type::now();
    refused_at_once(near(), who.token, 409, "tenant_pending_deletion");
    refused_within_a_second(far(), who.token, since, 409, "tenant_pending_deletion");
    EXPECT_TRUE(is_problem(read(near(), who.token, path), 409, "tenant_pending_deletion"));
    auto elsewhere = far().client();
    const auto restored = elsewhere.send("POST", path + "/restore", who.auth());
    ASSERT_EQ(restored.status, 200) << restored.text();
    EXPECT_EQ(read(far(), who.token).status, 200);
    let_in_again(near(), who.token);
}

TEST_F(revocation, G14_a_deactivated_account_is_out_with_all_its_sessions) {
    const auto who = all->where.make_person("inactive");
    const auto other = all->where.log_in(who);
    warm_everywhere(who.token);
    change("update control.account set active = false where id = '" + who.user_id + "'");
    const auto since = clock_type::now();
    for (auto* at : {&near(), &far(), &cut_off()}) {
        refused_within_a_second(*at, who.token, since, 401, "invalid_token");
        refused_within_a_second(*at, other, since, 401, "invalid_token");
    }
    EXPECT_EQ(sql("select count(*) from control.session where ended_at is null and user_id = '" +
                  who.user_id + "'"),
              "0");
}

/// The same with the notification connection taken away: held, so that it only falls silent, or
/// cut.
class revocation_unheard : public revocation, public testing::WithParamInterface<gate::mode> {
protected:
    void unheard() {
        all->behind.set(GetParam());
        cut_at_ = clock_type::now();
    }
    clock_type::time_point cut_at_;
};

TEST_P(revocation_unheard, G14_the_database_decides_within_a_second_and_memory_again_afterwards) {
    const auto who = all->where.make_person("unheard");
    const auto ended = all->where.log_in(who);
    warm_everywhere(who.token);
    warm_everywhere(ended);
    const auto session = session_of(ended);
    unheard();
    // At once, while the process cannot know yet that it hears nothing any more.
    change("select control.end_session('" + session + "', 'test')");
    refused_within_a_second(cut_off(), ended, clock_type::now(), 401, "invalid_token");
    EXPECT_EQ(read(cut_off(), who.token).status, 200);

    becomes_silent(cut_off());
    const auto aged = all->where.log_in(who);
    EXPECT_EQ(read(cut_off(), aged).status, 200);
    change("select control.end_session('" + session_of(aged) + "', 'test')");
    refused_at_once(cut_off(), aged, 401, "invalid_token");

    change("update control.tenant set status = 'suspended' where id = '" + who.tenant_id + "'");
    refused_at_once(cut_off(), who.token, 403, "tenant_suspended");
    EXPECT_EQ(read(cut_off(), who.token, "/api/v1/auth/sessions").status, 200);
    EXPECT_EQ(read(cut_off(), who.token, "/api/v1/users/me").status, 403);
    change("update control.tenant set status = 'ready' where id = '" + who.tenant_id + "'");
    EXPECT_EQ(read(cut_off(), who.token).status, 200);

    // What happened meanwhile counts when it hears again, and reads are decided from memory again.
    all->behind.set(gate::mode::pass);
    is_heard(cut_off());
    refused_at_once(cut_off(), aged, 401, "invalid_token");
    refused_at_once(cut_off(), ended, 401, "invalid_token");
    const auto before = number(cut_off(), "insula_pg_units_total", "pool=\"app");
    warm(cut_off(), who.token);
    EXPECT_EQ(number(cut_off(), "insula_pg_units_total", "pool=\"app"), before);
}

TEST_P(revocation_unheard, G14_a_revoked_key_is_refused) {
    const auto who = all->where.make_person("unheardkey");
    warm_everywhere(who.token);
    unheard();
    becomes_silent(cut_off());
    EXPECT_EQ(read(cut_off(), who.token).status, 200);
    ASSERT_EQ(keys({"revoke", active_key()}).code, 0);
    refused_at_once(cut_off(), who.token, 401, "invalid_token");
    // Unheard it still follows the keys: it takes what others sign, and signs what others take.
    const auto signed_near = all->where.log_in(who);
    let_in_again(cut_off(), signed_near);
    auto client = cut_off().client();
    const auto signed_here = text_of(
        parse(post_json(
            client, "/api/v1/auth/login",
            {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}})),
        "/access_token");
    EXPECT_EQ(read(near(), signed_here).status, 200);
    EXPECT_EQ(number(cut_off(), "insula_feed_silent"), 1);
    all->behind.set(gate::mode::pass);
    is_heard(cut_off());
    refused_at_once(cut_off(), who.token, 401, "invalid_token");
    EXPECT_EQ(read(cut_off(), signed_near).status, 200);
}

INSTANTIATE_TEST_SUITE_P(how, revocation_unheard,
                         testing::Values(gate::mode::hold_marked, gate::mode::refuse_marked),
                         [](const auto& info) {
                             return info.param == gate::mode::hold_marked ? "held" : "cut";
                         });

}  // namespace
}  // namespace insula::test
