// The operators' API: who may, lists and their cursors, tasks.
#include "described.hpp"

namespace insula::test {
namespace {

using testing::HasSubstr;

class system_operators : public testing::Test {
protected:
    static void SetUpTestSuite() { where_ = std::make_unique<deployment>(); }
    static void TearDownTestSuite() { where_.reset(); }

    http_answer ask(const std::string& path) {
        return get(client_, "/api/v1/admin" + path, operator_);
    }
    http_answer order(const std::string& path) {
        return client_.send("POST", "/api/v1/admin" + path, operator_);
    }
    std::string value(const std::string& sql) { return where_->database().value_admin(sql); }
    /// All items of a list, page by page.
    std::vector<json::value> walk(const std::string& path, int limit) {
        std::vector<json::value> all;
        std::string cursor;
        for (int pages = 0; pages < 100; ++pages) {
            const auto mark = path.find('?') == std::string::npos ? "?" : "&";
            const auto answer = ask(path + mark + "limit=" + std::to_string(limit) +
                                    (cursor.empty() ? "" : "&cursor=" + cursor));
            EXPECT_EQ(answer.status, 200) << answer.text();
            EXPECT_TRUE(is_described(client_, answer, "get",
                                     "/api/v1/admin" + path.substr(0, path.find('?'))));
            const auto page = parse(answer);
            EXPECT_LE(std::ssize(page.at("items").as_array()), limit);
            for (const auto& item : page.at("items").as_array()) {
                all.push_back(item);
            }
            if (page.at("next_cursor").is_null()) {
                return all;
            }
            cursor = text_of(page, "/next_cursor");
        }
        ADD_FAILURE() << path << " has no end";
        return all;
    }
    static std::vector<std::string> ids(const std::vector<json::value>& items) {
        std::vector<std::string> all;
        for (const auto& item : items) {
            all.push_back(text_of(item, "/id"));
        }
        return all;
    }
    /// Every registration fails while it lives.
    class broken_provisioning {
    public:
        broken_provisioning() {
            original_ = where_->database().value_admin(
                "select pg_get_functiondef('provision.create_tenant_schema(uuid)'::regprocedure)");
            where_->database().query_admin(
                "create or replace function provision.create_tenant_schema(tenant uuid) returns "
                "integer language plpgsql strict security definer set search_path = pg_catalog, "
                "pg_temp as $$ begin raise exception using errcode = 'P0001', message = 'refused "
                "by the test'; end $$");
        }
        ~broken_provisioning() { where_->database().query_admin(original_); }
        broken_provisioning(const broken_provisioning&) = delete;
        broken_provisioning& operator=(const broken_provisioning&) = delete;

    private:
        std::string original_;
    };
    /// Its tenant, and its task.
    std::pair<std::string, std::string> failed_registration() {
        const broken_provisioning broken;
        const auto slug = where_->fresh_slug("failing");
        const auto accepted = post_json(client_, "/api/v1/auth/register",
                                        registration_form(slug, slug + "@example.org"));
        EXPECT_EQ(accepted.status, 202) << accepted.text();
        (void)get(client_, *accepted.field("Location") + "?wait=30");
        const auto tenant = text_of(parse(accepted), "/tenant/id");
        return {tenant, value("select run_id from control.registration where tenant_id = '" +
                              tenant + "'")};
    }

    http_client client_ = where_->server().client();
    http_fields operator_ = where_->operator_auth();
    static inline std::unique_ptr<deployment> where_;
};

/// Every operation of /openapi.json that asks for an operator.
std::vector<std::pair<std::string, std::string>> operators_routes(http_client& client) {
    std::vector<std::pair<std::string, std::string>> all;
    const auto document = parse(get(client, "/openapi.json"));
    for (const auto& path : document.at("paths").as_object()) {
        for (const auto& operation : path.value().as_object()) {
            if (json::serialize(operation.value().at("security")).find("operator") !=
                std::string::npos) {
                std::string method(operation.key());
                std::ranges::transform(method, method.begin(),
                                       [](char c) { return static_cast<char>(c - 'a' + 'A'); });
                all.emplace_back(method, path.key());
            }
        }
    }
    return all;
}

TEST_F(system_operators, every_route_of_theirs_is_closed_to_everybody_else) {
    const auto who = where_->make_person("no-operator");
    const auto routes = operators_routes(client_);
    EXPECT_GE(routes.size(), 11U);
    const auto try_all = [&](const http_fields& auth, int status, const char* code) {
        for (auto [method, path] : routes) {
            EXPECT_THAT(path, HasSubstr("/admin/"));
            if (const auto open = path.find("{id}"); open != std::string::npos) {
                path.replace(open, 4, who.tenant_id);
            }
            auto fields = auth;
            fields.emplace_back("Content-Type", "application/json");
            EXPECT_TRUE(
                is_problem(client_.send(method, path, fields,
                                        json::serialize(json::object{{"confirm", who.slug}})),
                           status, code))
                << method << " " << path;
        }
    };
    try_all({}, 401, "unauthenticated");
    try_all(who.auth(), 403, "forbidden");
    // An operator who also belongs to a tenant uses the tenant's token for the tenant only.
    where_->database().query_admin("update control.account set operator = true where id = $1",
                                   {who.user_id});
    try_all(who.auth(), 403, "forbidden");
    // What the token promised does not hold any more.
    where_->database().query_admin(
        "update control.account set operator = false where email = 'the-operator@example.org'");
    const auto look = ask("/tenants");
    const auto tasks = ask("/tasks");
    const auto act = order("/tenants/" + who.tenant_id + "/suspend");
    where_->database().query_admin(
        "update control.account set operator = true, active = false where email = "
        "'the-operator@example.org'");
    const auto inactive = ask("/tenants");
    where_->database().query_admin(
        "update control.account set active = true where email = 'the-operator@example.org'");
    EXPECT_TRUE(is_problem(look, 403, "forbidden"));
    EXPECT_TRUE(is_problem(tasks, 403, "forbidden"));
    EXPECT_TRUE(is_problem(act, 403, "forbidden"));
    EXPECT_TRUE(is_problem(inactive, 401, "invalid_token"));
    EXPECT_EQ(value("select status from control.tenant where id = '" + who.tenant_id + "'"),
              "ready");
    // The account is active again; the session ended with it.
    EXPECT_TRUE(is_problem(ask("/tenants"), 401, "invalid_token"));
    auto again = where_->server().client();
    const auto fresh = where_->operator_auth();
    wait_until("the account to count again",
               [&] { return get(again, "/api/v1/admin/tenants", fresh).status == 200; });
}

TEST_F(system_operators, tenants_are_listed_page_by_page_and_filtered) {
    std::vector<person> people;
    for (int i = 0; i < 5; ++i) {
        people.push_back(where_->make_person("paged"));
    }
    // Made at one time: only the id tells them apart.
    where_->database().query_admin(
        "update control.tenant set created_at = '2020-01-01T00:00:00Z' where slug like 'paged-%'");
    const auto all = walk("/tenants", 100);
    EXPECT_EQ(ids(walk("/tenants", 2)), ids(all)) << "pages skip or repeat";
    EXPECT_EQ(std::to_string(all.size()), value("select count(*) from control.tenant"));
    EXPECT_EQ(walk("/tenants?q=PAGED-", 2).size(), 5U);
    const auto one = walk("/tenants?q=" + people[2].tenant_id, 2);
    ASSERT_EQ(one.size(), 1U);
    EXPECT_EQ(text_of(one[0], "/slug"), people[2].slug);
    EXPECT_EQ(text_of(one[0], "/status"), "ready");
    EXPECT_TRUE(one[0].at("error").is_null());
    EXPECT_EQ(order("/tenants/" + people[2].tenant_id + "/suspend").status, 200);
    EXPECT_EQ(walk("/tenants?status=suspended&q=paged", 2).size(), 1U);
    EXPECT_EQ(walk("/tenants?status=ready&q=paged", 2).size(), 4U);
    EXPECT_TRUE(walk("/tenants?q=paged_", 2).empty()) << "a wildcard of LIKE works";

    const auto cursor = text_of(parse(ask("/tenants?q=paged&limit=1")), "/next_cursor");
    EXPECT_EQ(ask("/tenants?q=paged&limit=3&cursor=" + cursor).status, 200);
    for (const std::string other : {"/tenants?cursor=", "/tenants?q=paged-&cursor=",
                                    "/tenants?q=paged&status=ready&cursor=", "/tasks?cursor="}) {
        EXPECT_TRUE(is_problem(ask(other + cursor), 400, "invalid_cursor")) << other;
    }
    const auto theirs = get(client_, "/api/v1/projects?cursor=" + cursor, people[0].auth());
    EXPECT_TRUE(is_problem(theirs, 400, "invalid_cursor"));
}

TEST_F(system_operators, tasks_are_listed_filtered_and_explained) {
    const auto who = where_->make_person("tasked");
    const auto [tenant, task] = failed_registration();
    const auto all = walk("/tasks", 100);
    EXPECT_EQ(ids(walk("/tasks", 2)), ids(all)) << "pages skip or repeat";
    const auto mine = walk("/tasks?tenant_id=" + who.tenant_id, 2);
    ASSERT_EQ(mine.size(), 1U);
    EXPECT_EQ(text_of(mine[0], "/kind"), "tenant.provision");
    EXPECT_EQ(text_of(mine[0], "/status"), "done");
    const auto failed = walk("/tasks?kind=tenant.provision&status=failed&tenant_id=" + tenant, 2);
    ASSERT_EQ(failed.size(), 1U);
    EXPECT_EQ(text_of(failed[0], "/id"), task);
    EXPECT_TRUE(walk("/tasks?kind=no.such.kind", 2).empty());
    const auto cursor = text_of(parse(ask("/tasks?limit=1")), "/next_cursor");
    EXPECT_TRUE(
        is_problem(ask("/tasks?limit=1&status=done&cursor=" + cursor), 400, "invalid_cursor"));

    const auto shown = ask("/tasks/" + task);
    ASSERT_EQ(shown.status, 200) << shown.text();
    EXPECT_TRUE(is_described(client_, shown, "get", "/api/v1/admin/tasks/{id}"));
    const auto about = parse(shown);
    EXPECT_EQ(text_of(about, "/tenant_id"), tenant);
    EXPECT_EQ(text_of(about, "/steps/0/status"), "failed") << shown.text();
    ASSERT_GE(about.at("errors").as_array().size(), 1U) << shown.text();
    EXPECT_EQ(text_of(about, "/errors/0/step"), text_of(about, "/steps/0/name"));
    EXPECT_EQ(text_of(about, "/errors/0/attempt"), "1");
    EXPECT_FALSE(text_of(about, "/errors/0/at").empty());
    EXPECT_THAT(text_of(about, "/errors/0/internal"), HasSubstr("refused by the test"));
    EXPECT_TRUE(is_problem(ask("/tasks/01900000-0000-7000-8000-000000000000"), 404, "not_found"));
}

TEST_F(system_operators, tasks_are_retried_and_cancelled_and_that_is_audited) {
    const auto [tenant, task] = failed_registration();
    for (const char* what : {"/retry", "/cancel", "/skip"}) {
        EXPECT_TRUE(
            is_problem(order("/tasks/01900000-0000-7000-8000-000000000000" + std::string(what)),
                       404, "not_found"));
    }
    EXPECT_TRUE(is_problem(order("/tasks/" + task + "/cancel"), 409, "conflict"));
    EXPECT_TRUE(is_problem(order("/tasks/" + task + "/skip"), 409, "conflict"));

    // Another attempt at something that failed is another task.
    const auto again = order("/tasks/" + task + "/retry");
    ASSERT_EQ(again.status, 202) << again.text();
    EXPECT_TRUE(is_described(client_, again, "post", "/api/v1/admin/tasks/{id}/retry"));
    const auto next = text_of(parse(again), "/task_id");
    EXPECT_NE(next, task);
    EXPECT_EQ(again.field("Location"), "/api/v1/admin/tasks/" + next);
    EXPECT_GE(text_of(parse(again), "/note").size(), 10U) << "nothing a person can read";
    EXPECT_EQ(text_of(parse(ask("/tasks/" + task)), "/retried_as"), next);
    wait_until("its end", [&] {
        const auto status = text_of(parse(ask("/tasks/" + next)), "/status");
        return status == "done" || status == "failed";
    });

    // A deletion waits for its time; cancelling its run does not make the tenant live for ever:
    // that is what restore is for.
    const auto who = where_->make_person("waiting");
    ASSERT_EQ(
        delete_json(client_, "/api/v1/tenants/" + who.slug, {{"confirm", who.slug}}, who.auth())
            .status,
        202);
    const auto waiting = walk("/tasks?kind=tenant.delete&tenant_id=" + who.tenant_id, 10);
    ASSERT_EQ(waiting.size(), 1U);
    const auto one = ask("/tasks/" + text_of(waiting[0], "/id"));
    EXPECT_EQ(text_of(parse(one), "/status"), "waiting") << one.text();
    EXPECT_FALSE(parse(one).at("due").is_null()) << one.text();
    EXPECT_EQ(order("/tasks/" + text_of(waiting[0], "/id") + "/cancel").status, 202);
    wait_until("another run to take its place", [&] {
        return value("select deletion_run from control.tenant where id = '" + who.tenant_id +
                     "'") != text_of(waiting[0], "/id");
    });
    EXPECT_EQ(client_.send("POST", "/api/v1/tenants/" + who.slug + "/restore", who.auth()).status,
              200);
    for (const char* action : {"task.retry", "task.cancel"}) {
        EXPECT_EQ(value("select count(*) from control.audit_log a join control.account o on o.id ="
                        " a.operator_user_id where o.operator and a.entity_type = 'task' and "
                        "a.action = '" +
                        std::string(action) + "'"),
                  "1")
            << "what was refused is audited, or what was done is not";
    }
}

}  // namespace
}  // namespace insula::test
