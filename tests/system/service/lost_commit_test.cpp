// Connections to PostgreSQL that are cut around the COMMIT of a request: the client gets the true
// answer, or a 503 that it can repeat; and what it asked for is there once or not at all.
#include "signed_in.hpp"
#include "support/gate.hpp"

#include <atomic>
#include <fstream>
#include <future>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using mode = gate::mode;

constexpr std::string_view projects_path = "/api/v1/projects";

/// A service of its own behind a gate; the database is the shared one.
class system_lost_commit : public testing::Test {
protected:
    static void SetUpTestSuite() {
        who_ = shared_deployment().make_person("lost");
        gate_ = std::make_unique<gate>(shared_cluster());
        files_ = std::make_unique<temporary_folder>();
        std::ofstream(files_->path() + "/config.toml") << "[http]\nrequest_timeout = \"4s\"\n";
        served_ = std::make_unique<served>(
            shared_deployment().variables_with(
                {{"INSULA_DATABASE_URL", "host=" + gate_->folder() + " port=5432 dbname=" +
                                             shared_deployment().database().name()},
                 // What is done in the background is another process's work.
                 {"INSULA_WORKERS", "0"}}),
            std::vector<std::string>{"--config", files_->path() + "/config.toml"});
        (void)shared_deployment().server();
    }
    static void TearDownTestSuite() {
        served_.reset();
        gate_.reset();
        files_.reset();
    }
    void TearDown() override { gate_->set(mode::pass); }

    /// Cuts the connection on which the text is sent, once.
    void cut(mode how, const std::string& needle) {
        gate_->set_needle(needle);
        gate_->set(how);
    }
    std::string value(const std::string& sql) { return where_.database().value_admin(sql); }
    std::string projects_named(const std::string& name) {
        return value("select count(*) from " + who_.schema() + ".projects where name = '" + name +
                     "'");
    }
    std::string audited(std::string_view action, const std::string& entity) {
        return value("select count(*) from control.audit_log where action = '" +
                     std::string(action) + "' and entity_id = '" + entity + "'");
    }
    http_answer create(const std::string& name, http_fields more = {}) {
        auto own = served_->client();
        return post_json(own, projects_path, {{"name", name}}, who_.auth_with(std::move(more)));
    }
    static std::string fresh_name() {
        static std::atomic<int> count = 0;
        return "lost and found " + std::to_string(++count);
    }
    double lock_retries() { return metric(client_, "insula_pg_lock_retries_total", "cell_"); }
    /// Until a unit waits for a lock where it may wait long; the backend's process id.
    std::string until_stuck(double retries_before) {
        std::string pid;
        wait_until("a backend to wait for the lock", [&] {
            pid = value(
                "select coalesce(min(pid), 0) from pg_stat_activity where datname = "
                "current_database() and wait_event_type = 'Lock'");
            return lock_retries() > retries_before && pid != "0";
        });
        return pid;
    }

    deployment& where_ = shared_deployment();
    http_client client_ = served_->client();
    static inline person who_;
    static inline std::unique_ptr<gate> gate_;
    static inline std::unique_ptr<temporary_folder> files_;
    static inline std::unique_ptr<served> served_;
};

TEST_F(system_lost_commit, G41_create_gives_the_true_answer) {
    for (const auto how : {mode::cut_before_sync, mode::cut_after_sync}) {
        const auto name = fresh_name();
        cut(how, name);
        const auto made = create(name);
        EXPECT_TRUE(gate_->sprung());
        ASSERT_EQ(made.status, 201) << made.text();
        EXPECT_EQ(projects_named(name), "1");
        EXPECT_EQ(audited("project.create", text_of(parse(made), "/id")), "1");
        const auto there = get(client_, *made.field("Location"), who_.auth());
        EXPECT_EQ(there.body, made.body) << "times and all";
        EXPECT_EQ(there.field("ETag"), made.field("ETag"));
    }
}

TEST_F(system_lost_commit, G41_change_and_delete_give_the_true_answer) {
    for (const auto how : {mode::cut_before_sync, mode::cut_after_sync}) {
        const auto made = create(fresh_name());
        ASSERT_EQ(made.status, 201) << made.text();
        const auto id = text_of(parse(made), "/id");
        const auto name = fresh_name();
        cut(how, name);
        const auto changed = patch_json(client_, *made.field("Location"), {{"name", name}},
                                        who_.auth_with({{"If-Match", *made.field("ETag")}}));
        EXPECT_TRUE(gate_->sprung());
        ASSERT_EQ(changed.status, 200) << changed.text();
        EXPECT_EQ(text_of(parse(changed), "/name"), name);
        EXPECT_EQ(changed.field("ETag"), "\"v2\"");
        EXPECT_EQ(audited("project.update", id), "1");

        const std::string tag = "cut-here-" + where_.fresh_slug();
        cut(how, tag);
        const auto gone = client_.send("DELETE", *made.field("Location"),
                                       who_.auth_with({{"X-Request-ID", tag}}));
        EXPECT_TRUE(gate_->sprung());
        EXPECT_EQ(gone.status, 204) << gone.text();
        EXPECT_EQ(audited("project.delete", id), "1");
        EXPECT_EQ(projects_named(name), "0");
    }
}

TEST_F(system_lost_commit, G41_register_verify_login_and_rename_give_the_true_answer) {
    for (const auto how : {mode::cut_before_sync, mode::cut_after_sync}) {
        const auto slug = where_.fresh_slug("cut");
        const auto email = slug + "@example.org";
        cut(how, slug);
        const auto made =
            post_json(client_, "/api/v1/auth/register", registration_form(slug, email));
        EXPECT_TRUE(gate_->sprung());
        ASSERT_EQ(made.status, 202) << made.text();
        const auto user = text_of(parse(made), "/user/id");
        EXPECT_EQ(value("select count(*) from control.account where email = '" + email + "'"), "1");
        EXPECT_EQ(value("select count(*) from control.tenant where slug = '" + slug + "'"), "1");
        EXPECT_EQ(audited("user.register", user), "1");
        EXPECT_EQ(text_of(parse(get(client_, *made.field("Location") + "?wait=2")), "/tenant/id"),
                  text_of(parse(made), "/tenant/id"));
        wait_until("the tenant to be ready", [&] {
            return value("select status from control.tenant where slug = '" + slug + "'") ==
                   "ready";
        });

        const auto act = [&](auto&& request, std::string_view action) {
            const std::string tag = "cut-here-" + where_.fresh_slug();
            cut(how, tag);
            const auto answer = request(http_fields{{"X-Request-ID", tag}});
            EXPECT_TRUE(gate_->sprung()) << action;
            EXPECT_EQ(answer.status, 200) << answer.text();
            EXPECT_EQ(audited(action, user), "1") << action;
            return answer;
        };
        const auto token = where_.wait_for_mail(email);
        act(
            [&](const http_fields& fields) {
                return post_json(client_, "/api/v1/auth/verify-email", {{"token", token}}, fields);
            },
            "user.email_verify");
        const auto tokens = act(
            [&](const http_fields& fields) {
                return post_json(client_, "/api/v1/auth/login",
                                 {{"email", email}, {"password", good_password}}, fields);
            },
            "user.login");
        const auto renamed = act(
            [&](http_fields fields) {
                fields.emplace_back("Authorization",
                                    "Bearer " + text_of(parse(tokens), "/access_token"));
                return patch_json(client_, "/api/v1/users/me", {{"full_name", "Found Again"}},
                                  fields);
            },
            "user.update");
        EXPECT_EQ(text_of(parse(renamed), "/full_name"), "Found Again");
    }
}

TEST_F(system_lost_commit, G41_sessions_are_refreshed_switched_and_ended_once) {
    for (const auto how : {mode::cut_before_sync, mode::cut_after_sync}) {
        const auto act = [&](std::string_view target, const json::value& body,
                             http_fields fields = {}) {
            const std::string tag = "cut-here-" + where_.fresh_slug();
            cut(how, tag);
            fields.emplace_back("X-Request-ID", tag);
            auto answer = post_json(client_, target, body, std::move(fields));
            EXPECT_TRUE(gate_->sprung()) << target;
            return answer;
        };
        const auto first = log_in_as(client_, who_);
        const auto second =
            tokens_of(act("/api/v1/auth/refresh", {{"refresh_token", first.refresh}}));
        EXPECT_EQ(tokens_of(refresh_with(client_, first.refresh)).refresh, second.refresh);
        const auto third = tokens_of(refresh_with(client_, second.refresh));
        const auto switched = tokens_of(
            act("/api/v1/auth/switch-tenant", {{"tenant_slug", who_.slug}}, third.auth()));
        EXPECT_EQ(switched.tenant_slug, who_.slug);
        EXPECT_EQ(value("select count(*) from control.audit_log where changes->>'switched_from' ="
                        " '" +
                        third.session + "'"),
                  "1");
        EXPECT_EQ(act("/api/v1/auth/logout", {{"refresh_token", switched.refresh}}).status, 204);
        EXPECT_EQ(audited("user.logout", switched.session), "1");
        EXPECT_FALSE(accepted(client_, switched));
        // A replay is answered as one, and noted once.
        EXPECT_TRUE(is_problem(act("/api/v1/auth/refresh", {{"refresh_token", first.refresh}}), 401,
                               "refresh_token_reused"));
        EXPECT_EQ(audited("token.reuse", first.session), "1");
        EXPECT_FALSE(accepted(client_, third));
    }
}

TEST_F(system_lost_commit, G13_a_refresh_that_hears_of_its_commit_late_logs_nobody_out) {
    const auto first = log_in_as(client_, who_);
    const std::string tag = "cut-here-" + where_.fresh_slug();
    cut(mode::cut_for_good, tag);
    auto answer = std::async(std::launch::async, [&] {
        auto own = served_->client();
        return refresh_with(own, first.refresh, {{"X-Request-ID", tag}});
    });
    wait_until("the cut", [&] { return gate_->sprung(); });
    wait_until("the rotation",
               [&] { return of_session(where_, first.session, "parent_hash is null") == "f"; });
    // As if nobody had been let in again for longer than the window of a repeat.
    where_.database().query_admin(
        "update control.session set rotated_at = now() - interval '11 seconds' where id = $1",
        {first.session});
    EXPECT_NE(answer.wait_for(0s), std::future_status::ready) << "it was answered too early";
    gate_->set(mode::pass);
    const auto second = tokens_of(answer.get());
    EXPECT_EQ(of_session(where_, first.session, "ended_at is null"), "t");
    EXPECT_EQ(audited("token.reuse", first.session), "0");
    // For everybody else the window is over.
    EXPECT_TRUE(is_problem(refresh_with(client_, first.refresh), 401, "refresh_token_reused"));
    EXPECT_FALSE(accepted(client_, second));
}

TEST_F(system_lost_commit, G41_a_backend_that_still_waits_for_a_lock_is_no_proof_of_absence) {
    sql_connection holder(where_.database().admin_conninfo());
    holder.query("begin; lock table control.audit_log in exclusive mode");
    const auto name = fresh_name();
    const auto retries = lock_retries();
    auto answer = std::async(std::launch::async, [&] { return create(name); });
    const auto old = until_stuck(retries);
    const auto looks = metric(client_, "insula_pg_units_total", "cell_");
    gate_->set(mode::refuse);
    wait_until("every connection to be cut", [&] { return gate_->carried() == 0; });
    gate_->set(mode::pass);
    // The witness is not there, time and again; and that says nothing.
    wait_until("the look-up to have asked",
               [&] { return metric(client_, "insula_pg_units_total", "cell_") >= looks + 4; });
    EXPECT_EQ(value("select count(*) from pg_stat_activity where pid = " + old), "1");
    EXPECT_NE(answer.wait_for(0s), std::future_status::ready);
    holder.query("rollback");
    const auto made = answer.get();
    ASSERT_EQ(made.status, 201) << made.text();
    EXPECT_EQ(projects_named(name), "1");
    EXPECT_EQ(audited("project.create", text_of(parse(made), "/id")), "1");
}

TEST_F(system_lost_commit, G41_what_cannot_be_known_is_a_503_that_can_be_repeated) {
    const auto name = fresh_name();
    const http_fields key{{"Idempotency-Key", "after-the-503"}};
    gate_->set_needle(name);
    gate_->set(mode::cut_after_sync);
    auto answer = std::async(std::launch::async, [&] { return create(name, key); });
    wait_until("the cut", [&] { return gate_->sprung(); });
    gate_->set(mode::refuse);  // and nobody answers any more, until the request's time is over
    const auto unknown = answer.get();
    EXPECT_TRUE(is_problem(unknown, 503, "overloaded"));
    EXPECT_TRUE(unknown.field("Retry-After"));
    gate_->set(mode::pass);
    EXPECT_EQ(projects_named(name), "1");
    http_answer again;
    wait_until("the service to be back", [&] {
        again = create(name, key);
        return again.status != 503;
    });
    ASSERT_EQ(again.status, 201) << again.text();
    EXPECT_EQ(get(client_, *again.field("Location"), who_.auth()).body, again.body);
    EXPECT_EQ(projects_named(name), "1");
}

TEST_F(system_lost_commit, G42_a_deadlock_is_run_again_and_nothing_is_doubled) {
    const auto name = fresh_name();
    sql_connection other(where_.database().admin_conninfo());
    other.query("set deadlock_timeout = '60s'");  // so that it is the service that gives way
    other.query("begin; lock table control.audit_log in exclusive mode");
    const auto retries = lock_retries();
    auto answer = std::async(std::launch::async, [&] { return create(name); });
    (void)until_stuck(retries);
    const auto sent = metric(client_, "insula_pg_round_trips_total", "cell_");
    // It holds the name and waits for the log; now we wait for the name.
    other.query("insert into " + who_.schema() +
                ".projects (id, name) values (gen_random_uuid(), '" + name + "')");
    wait_until("the service to try again",
               [&] { return metric(client_, "insula_pg_round_trips_total", "cell_") > sent; });
    other.query("rollback");
    const auto made = answer.get();
    ASSERT_EQ(made.status, 201) << made.text();
    EXPECT_EQ(projects_named(name), "1");
    EXPECT_EQ(audited("project.create", text_of(parse(made), "/id")), "1");
}

}  // namespace
}  // namespace insula::test
