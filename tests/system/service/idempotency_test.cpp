// Requests that create, sent again with their Idempotency-Key.
#include "deployment.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <future>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view projects_path = "/api/v1/projects";
constexpr std::string_view register_path = "/api/v1/auth/register";

std::string fresh_key() {
    static std::atomic<int> count = 0;
    return "key-of-a-client-" + std::to_string(++count);
}

/// Everything a repeat must give again.
std::string answered(const http_answer& answer) {
    return std::to_string(answer.status) + "\n" + answer.field("Location").value_or("") + "\n" +
           answer.field("ETag").value_or("") + "\n" + answer.body;
}

class system_idempotency : public testing::Test {
protected:
    static void SetUpTestSuite() { who_ = shared_deployment().make_person("idempotent"); }

    static std::string fresh_name() {
        static std::atomic<int> count = 0;
        return "wanted once " + std::to_string(++count);
    }
    /// The request from all of them at once, half to each of two processes.
    template <class F>
    std::vector<http_answer> at_once(std::size_t racers, F&& request) {
        served second(where_.variables());
        const served* processes[] = {&where_.server(), &second};
        std::vector<http_answer> answers(racers);
        std::barrier start(static_cast<std::ptrdiff_t>(racers));
        std::vector<std::thread> threads;
        for (std::size_t i = 0; i < racers; ++i) {
            threads.emplace_back([&, i] {
                auto client = processes[i % 2]->client();
                (void)get(client, "/livez");
                start.arrive_and_wait();
                answers[i] = request(client);
            });
        }
        for (auto& thread : threads) {
            thread.join();
        }
        return answers;
    }
    /// One of them created; the others were told that it runs, or what it made.
    static void one_created(const std::vector<http_answer>& answers, const http_answer& last) {
        for (const auto& answer : answers) {
            if (answer.status == 409) {
                EXPECT_TRUE(is_problem(answer, 409, "idempotency_in_progress"));
            } else {
                EXPECT_EQ(answered(answer), answered(last));
            }
        }
        EXPECT_TRUE(std::ranges::any_of(answers, [](const auto& a) { return a.status != 409; }));
    }
    static http_answer create(http_client& client, const person& who, const std::string& key,
                              const json::object& body) {
        return post_json(client, projects_path, body, who.auth_with({{"Idempotency-Key", key}}));
    }
    http_answer create(const std::string& key, const json::object& body) {
        return create(client_, who_, key, body);
    }
    std::string projects_named(const person& who, const std::string& name) {
        return where_.database().value_admin("select count(*) from " + who.schema() +
                                             ".projects where name = '" + name + "'");
    }
    std::string accounts_of(const std::string& email) {
        return where_.database().value_admin(
            "select count(*) from control.account where email = '" + email + "'");
    }
    http_answer register_with(http_client& client, const std::string& key,
                              const std::string& slug) {
        return post_json(client, register_path, registration_form(slug, slug + "@example.org"),
                         {{"Idempotency-Key", key}});
    }
    /// As a client that goes away before anything can be answered.
    void send_and_die(std::string_view path, const json::value& body, const http_fields& fields) {
        const auto text = json::serialize(body);
        std::string bytes =
            "POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" +
            "Content-Type: application/json\r\nContent-Length: " + std::to_string(text.size()) +
            "\r\n";
        for (const auto& [name, value] : fields) {
            bytes += name + ": " + value + "\r\n";
        }
        auto dying = where_.server().client();
        (void)get(dying, "/livez");
        dying.write(bytes + "\r\n" + text);
        dying.close();
    }
    template <class F>
    http_answer until_through(F&& again) {
        http_answer last;
        wait_until("the first request to be through", [&] {
            last = again();
            return last.status != 409;
        });
        return last;
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
    static inline person who_;
};

TEST_F(system_idempotency, G23_a_repeat_gets_the_first_answer_whatever_has_happened_since) {
    const auto key = fresh_key();
    const json::object body{{"name", fresh_name()}, {"description", "Ünïcödé \"\\u0001\" 🚂"}};
    const auto first = create(key, body);
    ASSERT_EQ(first.status, 201) << first.text();
    EXPECT_EQ(answered(create(key, body)), answered(first));
    const auto id = text_of(parse(first), "/id");
    EXPECT_EQ(first.field("Location"), std::string(projects_path) + "/" + id);
    EXPECT_EQ(get(client_, *first.field("Location"), who_.auth()).body, first.body)
        << "what was answered is what is there";
    EXPECT_EQ(where_.database().value_admin(
                  "select count(*) from control.audit_log where action = 'project.create' and "
                  "entity_id = '" +
                  id + "'"),
              "1");
    ASSERT_EQ(client_.send("DELETE", *first.field("Location"), who_.auth()).status, 204);
    EXPECT_EQ(answered(create(key, body)), answered(first));
}

TEST_F(system_idempotency, G23_a_client_that_died_after_sending_gets_its_project) {
    const auto key = fresh_key();
    const auto name = fresh_name();
    const json::object body{{"name", name}};
    send_and_die(projects_path, body, who_.auth_with({{"Idempotency-Key", key}}));
    wait_until("the project of the dead", [&] { return projects_named(who_, name) == "1"; });
    const auto again = until_through([&] { return create(key, body); });
    ASSERT_EQ(again.status, 201) << again.text();
    EXPECT_EQ(text_of(parse(again), "/id"),
              where_.database().value_admin("select id from " + who_.schema() +
                                            ".projects where name = '" + name + "'"));
}

TEST_F(system_idempotency, G23_a_client_that_died_after_sending_gets_its_registration) {
    const auto key = fresh_key();
    const auto slug = where_.fresh_slug("dying");
    const auto email = slug + "@example.org";
    send_and_die(register_path, registration_form(slug, email), {{"Idempotency-Key", key}});
    const auto again = until_through([&] { return register_with(client_, key, slug); });
    ASSERT_EQ(again.status, 202) << again.text();
    EXPECT_EQ(answered(register_with(client_, key, slug)), answered(again));
    EXPECT_EQ(accounts_of(email), "1");
    const auto status = get(client_, *again.field("Location") + "?wait=30");
    EXPECT_EQ(text_of(parse(status), "/status"), "ready") << status.text();
}

TEST_F(system_idempotency, G23_a_tenant_is_made_once) {
    const auto key = fresh_key();
    const json::object body{{"name", "Second"}, {"slug", where_.fresh_slug("second")}};
    const auto send = [&] {
        return post_json(client_, "/api/v1/tenants", body,
                         who_.auth_with({{"Idempotency-Key", key}}));
    };
    const auto first = send();
    ASSERT_EQ(first.status, 202) << first.text();
    EXPECT_EQ(answered(send()), answered(first));
    EXPECT_EQ(get(client_, *first.field("Location")).status, 200);
}

TEST_F(system_idempotency, G23_of_many_at_once_exactly_one_creates) {
    const auto key = fresh_key();
    const auto name = fresh_name();
    const json::object body{{"name", name}};
    const auto answers =
        at_once(64, [&](http_client& client) { return create(client, who_, key, body); });
    const auto last = create(key, body);
    ASSERT_EQ(last.status, 201) << last.text();
    one_created(answers, last);
    EXPECT_EQ(projects_named(who_, name), "1");
}

TEST_F(system_idempotency, G23_of_many_registrations_at_once_exactly_one_is_made) {
    const auto key = fresh_key();
    const auto slug = where_.fresh_slug("crowd");
    const auto answers =
        at_once(32, [&](http_client& client) { return register_with(client, key, slug); });
    const auto last = register_with(client_, key, slug);
    ASSERT_EQ(last.status, 202) << last.text();
    one_created(answers, last);
    EXPECT_EQ(accounts_of(slug + "@example.org"), "1");
}

TEST_F(system_idempotency, G23_while_the_first_runs_others_are_told_so_and_never_wait) {
    const auto key = fresh_key();
    const json::object body{{"name", fresh_name()}};
    sql_connection holder(where_.database().admin_conninfo());
    holder.query("begin; lock table control.audit_log in exclusive mode");
    const auto retries = metric(client_, "insula_pg_lock_retries_total", "cell_");
    auto first = std::async(std::launch::async, [&] {
        auto own = where_.server().client();
        return create(own, who_, key, body);
    });
    wait_until("the first to wait where it may", [&] {
        return metric(client_, "insula_pg_lock_retries_total", "cell_") > retries &&
               where_.database().value_admin(
                   "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and "
                   "datname = '" +
                   where_.database().name() + "'") == "1";
    });
    const auto told = create(key, body);
    EXPECT_TRUE(is_problem(told, 409, "idempotency_in_progress"));
    EXPECT_EQ(told.field("Retry-After"), "1");
    holder.query("rollback");
    const auto made = first.get();
    ASSERT_EQ(made.status, 201) << made.text();
    EXPECT_EQ(answered(create(key, body)), answered(made));
}

TEST_F(system_idempotency, G23_another_body_is_refused_and_changes_nothing) {
    const auto key = fresh_key();
    const auto name = fresh_name();
    const auto other = fresh_name();
    const auto first = create(key, {{"name", name}});
    ASSERT_EQ(first.status, 201) << first.text();
    EXPECT_TRUE(is_problem(create(key, {{"name", other}}), 422, "idempotency_key_reused"));
    EXPECT_EQ(projects_named(who_, other), "0");
    EXPECT_EQ(answered(create(key, {{"name", name}})), answered(first));
}

TEST_F(system_idempotency, G01_keys_of_other_tenants_users_and_routes_are_others) {
    const auto key = fresh_key();
    const auto stranger = where_.make_person("stranger");
    auto colleague = stranger;
    where_.database().query_admin(
        "insert into control.membership (tenant_id, user_id, role, status) values ('" +
        who_.tenant_id + "', '" + stranger.user_id + "', 'member', 'active')");
    colleague.slug = who_.slug;
    colleague.token = where_.log_in(colleague);

    const json::object body{{"name", fresh_name()}};
    const json::object of_colleague{{"name", fresh_name()}};
    const auto mine = create(key, body);
    const auto theirs = create(client_, stranger, key, body);
    const auto ours = create(client_, colleague, key, of_colleague);
    ASSERT_EQ(mine.status, 201) << mine.text();
    ASSERT_EQ(theirs.status, 201) << theirs.text();
    ASSERT_EQ(ours.status, 201) << ours.text();
    EXPECT_NE(mine.field("Location"), theirs.field("Location"));
    EXPECT_EQ(answered(create(client_, stranger, key, body)), answered(theirs));
    EXPECT_EQ(answered(create(client_, colleague, key, of_colleague)), answered(ours));
    EXPECT_EQ(register_with(client_, key, where_.fresh_slug("route")).status, 202);
    // Tenant and user alike, but another session: still the same caller.
    auto later = who_;
    later.token = where_.log_in(who_);
    EXPECT_EQ(answered(create(client_, later, key, body)), answered(mine));
}

TEST_F(system_idempotency, G23_after_a_day_a_key_is_new_again) {
    const auto key = fresh_key();
    ASSERT_EQ(create(key, {{"name", fresh_name()}}).status, 201);
    const auto rows = where_.database().value_admin("select count(*) from control.idempotency_key");
    where_.database().query_admin(
        "update control.idempotency_key set expires_at = now() - interval '1 second'");
    const json::object body{{"name", fresh_name()}};
    const auto second = create(key, body);
    ASSERT_EQ(second.status, 201) << second.text();
    EXPECT_EQ(answered(create(key, body)), answered(second));
    EXPECT_EQ(where_.database().value_admin("select count(*) from control.idempotency_key"), rows);
    EXPECT_EQ(where_.database().value_admin(
                  "select count(*) from control.idempotency_key where expires_at between now() + "
                  "interval '23 hours' and now() + interval '24 hours'"),
              "1");
}

TEST_F(system_idempotency, a_failure_is_not_stored_and_leaves_the_key_free) {
    const auto taken = fresh_name();
    make_project(client_, who_, taken);
    const auto key = fresh_key();
    EXPECT_TRUE(is_problem(create(key, {{"name", taken}}), 409, "name_taken"));
    EXPECT_TRUE(is_problem(create(key, {{"name", ""}}), 422, "validation_failed"));
    const json::object repaired{{"name", fresh_name()}};
    const auto made = create(key, repaired);
    ASSERT_EQ(made.status, 201) << made.text();
    EXPECT_EQ(answered(create(key, repaired)), answered(made));

    const auto other_key = fresh_key();
    EXPECT_TRUE(is_problem(
        post_json(client_, register_path, registration_form(who_.slug, "somebody@example.org"),
                  {{"Idempotency-Key", other_key}}),
        409, "slug_taken"));
    EXPECT_EQ(register_with(client_, other_key, where_.fresh_slug("repaired")).status, 202);
}

TEST_F(system_idempotency, every_route_that_creates_refuses_what_is_no_key) {
    const auto document = parse(get(client_, "/openapi.json"));
    std::set<std::string> creating;
    for (const auto& [path, item] : document.at("paths").as_object()) {
        const auto* operation = item.as_object().if_contains("post");
        const auto* parameters =
            operation != nullptr ? operation->as_object().if_contains("parameters") : nullptr;
        if (parameters == nullptr ||
            std::ranges::none_of(parameters->as_array(), [](const json::value& p) {
                return p.at("name").as_string() == "Idempotency-Key";
            })) {
            continue;
        }
        creating.emplace(path);
        for (const std::string& bad : {std::string(), std::string(129, 'k'),
                                       std::string("k\xc3\xa4"), std::string("a\tb")}) {
            const auto answer = post_json(client_, std::string(path), json::object(),
                                          who_.auth_with({{"Idempotency-Key", bad}}));
            EXPECT_TRUE(is_problem(answer, 422, "validation_failed")) << path << " '" << bad << "'";
            EXPECT_EQ(text_of(parse(answer), "/errors/0/pointer"), "header/Idempotency-Key");
        }
        const auto twice =
            post_json(client_, std::string(path), json::object(),
                      who_.auth_with({{"Idempotency-Key", "one"}, {"Idempotency-Key", "two"}}));
        EXPECT_EQ(text_of(parse(twice), "/errors/0/pointer"), "header/Idempotency-Key");
    }
    for (const auto* known : {"/api/v1/auth/register", "/api/v1/projects", "/api/v1/tenants"}) {
        EXPECT_TRUE(creating.contains(known)) << known;
    }
    EXPECT_EQ(create(std::string(128, '~'), {{"name", fresh_name()}}).status, 201);
}

TEST_F(system_idempotency, where_nothing_is_created_the_header_is_ignored) {
    const auto id = make_project(client_, who_, fresh_name());
    const http_fields fields = who_.auth_with({{"Idempotency-Key", std::string(500, 'k')}});
    const auto path = std::string(projects_path) + "/" + id;
    EXPECT_EQ(get(client_, path, fields).status, 200);
    EXPECT_EQ(patch_json(client_, path, {{"description", "one"}}, fields).status, 200);
    EXPECT_EQ(patch_json(client_, path, {{"description", "two"}}, fields).status, 200);
    EXPECT_EQ(
        post_json(client_, "/api/v1/auth/login",
                  {{"email", who_.email}, {"password", good_password}, {"tenant_slug", who_.slug}},
                  fields)
            .status,
        200);
}

TEST_F(system_idempotency, costs_one_round_trip_and_a_repeat_two) {
    const auto cost = [&](auto&& request) {
        const auto before = metric(client_, "insula_pg_round_trips_total", "cell_");
        request();
        return metric(client_, "insula_pg_round_trips_total", "cell_") - before;
    };
    const auto key = fresh_key();
    const json::object body{{"name", fresh_name()}};
    for (int warm = 0; warm < 2; ++warm) {
        make_project(client_, who_, fresh_name());
        (void)create(fresh_key(), {{"name", fresh_name()}});
    }
    EXPECT_EQ(cost([&] { make_project(client_, who_, fresh_name()); }), 1);
    EXPECT_EQ(cost([&] { EXPECT_EQ(create(key, body).status, 201); }), 1);
    EXPECT_EQ(cost([&] { EXPECT_EQ(create(key, body).status, 201); }), 2);
}

TEST_F(system_idempotency, G04_neither_keys_nor_capabilities_are_kept_or_logged_in_clear) {
    const std::string key = "a-key-that-nobody-else-has-" + where_.fresh_slug();
    const auto slug = where_.fresh_slug("sealed");
    const auto first = register_with(client_, key, slug);
    ASSERT_EQ(first.status, 202) << first.text();
    ASSERT_EQ(register_with(client_, key, slug).status, 202);
    EXPECT_EQ(post_json(client_, register_path, registration_form(slug, "o@example.org"),
                        {{"Idempotency-Key", key}})
                  .status,
              422);
    const auto id = text_of(parse(first), "/registration_id");
    const auto log = where_.server().process().out() + where_.server().process().err();
    for (const auto& secret : {key, id, std::string(good_password)}) {
        EXPECT_EQ(log.find(secret), std::string::npos) << secret;
        EXPECT_EQ(where_.database().value_admin(
                      "select count(*) from control.idempotency_key k where position(convert_to('" +
                      secret + "', 'UTF8') in k.sealed_answer || k.key_hash || k.fingerprint) > 0"),
                  "0");
    }
}

}  // namespace
}  // namespace insula::test
