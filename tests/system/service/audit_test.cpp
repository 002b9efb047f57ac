// GET /audit/logs: what a tenant's admins read of what happened in it. What is written there is
// audited_acts_test.cpp's.
#include "described.hpp"

namespace insula::test {
namespace {

const std::string logs = "/api/v1/audit/logs";
constexpr std::string_view nobody_id = "01900000-0000-7000-8000-000000000000";

class system_audit : public testing::Test {
protected:
    static void SetUpTestSuite() {
        where_ = std::make_unique<deployment>();
        a_ = where_->make_person("audit-a");
        b_ = where_->make_person("audit-b");
        auto client = where_->server().client();
        for (const char* name : {"one", "two", "three"}) {
            a_projects_.push_back(make_project(client, a_, name));
        }
        b_project_ = make_project(client, b_, "B's own");
        ASSERT_EQ(patch_json(client, "/api/v1/projects/" + a_projects_[0],
                             {{"name", "uno"}, {"description", nullptr}}, a_.auth())
                      .status,
                  200);
    }
    static void TearDownTestSuite() { where_.reset(); }

    http_answer ask(const person& who, const std::string& query = "") {
        return get(client_, logs + query, who.auth());
    }
    std::vector<json::value> items(const person& who, const std::string& query) {
        const auto answer = ask(who, query);
        EXPECT_EQ(answer.status, 200) << answer.text();
        const auto page = parse(answer).at("items");
        return {page.as_array().begin(), page.as_array().end()};
    }
    /// The ids of all rows, page by page.
    std::vector<std::string> walk(const person& who, const std::string& query, int limit) {
        std::vector<std::string> all;
        std::string cursor;
        for (int pages = 0; pages < 50; ++pages) {
            const auto mark = query + (query.find('?') == std::string::npos ? "?" : "&");
            const auto answer = ask(who, mark + "limit=" + std::to_string(limit) +
                                             (cursor.empty() ? "" : "&cursor=" + cursor));
            EXPECT_EQ(answer.status, 200) << answer.text();
            const auto page = parse(answer);
            for (const auto& item : page.at("items").as_array()) {
                all.push_back(text_of(item, "/id"));
            }
            if (page.at("next_cursor").is_null()) {
                return all;
            }
            cursor = text_of(page, "/next_cursor");
        }
        ADD_FAILURE() << query << " has no end";
        return all;
    }
    static std::string of(const std::string& type, const std::string& id) {
        return "/entity/" + type + "/" + id;
    }

    http_client client_ = where_->server().client();
    static inline std::unique_ptr<deployment> where_;
    static inline person a_;
    static inline person b_;
    static inline std::vector<std::string> a_projects_;
    static inline std::string b_project_;
};

TEST_F(system_audit, says_who_did_what_to_what_from_where) {
    const auto answer = get(client_, logs + "?action=project.update",
                            a_.auth_with({{"X-Request-ID", "reading-it"}}));
    EXPECT_TRUE(is_described(client_, answer, "get", logs));
    const auto rows = parse(answer).at("items");
    ASSERT_EQ(rows.as_array().size(), 1U) << answer.text();
    const auto& row = rows.as_array()[0];
    EXPECT_EQ(text_of(row, "/action"), "project.update");
    EXPECT_EQ(text_of(row, "/user_id"), a_.user_id);
    EXPECT_TRUE(row.at("operator_user_id").is_null());
    EXPECT_EQ(text_of(row, "/entity_type"), "project");
    EXPECT_EQ(text_of(row, "/entity_id"), a_projects_[0]);
    EXPECT_EQ(row.at("changes"), (json::value{{"name", "uno"}, {"description", nullptr}}));
    EXPECT_EQ(text_of(row, "/ip"), "127.0.0.1");
    EXPECT_FALSE(text_of(row, "/request_id").empty());
    EXPECT_EQ(text_of(row, "/status"), "success");
    EXPECT_EQ(text_of(row, "/created_at").back(), 'Z');
}

TEST_F(system_audit, is_read_page_by_page_and_filtered) {
    const auto of_a = " from control.audit_log where tenant_id = '" + a_.tenant_id + "'";
    // Written at one time: only the id tells them apart.
    where_->database().query_admin(
        "update control.audit_log set created_at = '2020-01-01T00:00:00Z' where action = "
        "'project.create' and tenant_id = '" +
        a_.tenant_id + "'");
    const auto all = walk(a_, "", 100);
    EXPECT_EQ(walk(a_, "", 1), all) << "pages skip or repeat";
    EXPECT_EQ(walk(a_, "", 2), all) << "pages skip or repeat";
    EXPECT_EQ(std::to_string(all.size()), where_->database().value_admin("select count(*)" + of_a));
    EXPECT_EQ(walk(a_, "?action=project.create", 2).size(), 3U);
    EXPECT_EQ(walk(a_, "?user_id=" + a_.user_id, 2).size(),
              static_cast<std::size_t>(std::stoi(where_->database().value_admin(
                  "select count(*)" + of_a + " and user_id = '" + a_.user_id + "'"))));
    EXPECT_EQ(walk(a_, "?user_id=" + a_.user_id + "&action=project.update", 2).size(), 1U);
    for (const std::string nothing : {"?action=no.such_thing", "?action=project.purge",
                                      "?user_id=", "?action=user.login&user_id="}) {
        const auto query =
            nothing.ends_with("user_id=") ? nothing + std::string(nobody_id) : nothing;
        EXPECT_TRUE(items(a_, query).empty()) << query;
    }
    for (const std::string wrong :
         {"?action=", "?action=project", "?action=Project.Create", "?action=a.b.c",
          "?action=project.create%27--", "?user_id=me", "?user_id=", "?limit=0", "?limit=101",
          "?actions=project.create", "?entity_id=x"}) {
        EXPECT_TRUE(is_problem(ask(a_, wrong), 422, "validation_failed")) << wrong;
    }
}

TEST_F(system_audit, G01_cursors_belong_to_a_tenant_and_its_filters) {
    const auto entity = of("project", a_projects_[0]);
    const auto cursor = text_of(parse(ask(a_, "?limit=1")), "/next_cursor");
    EXPECT_EQ(ask(a_, "?limit=5&cursor=" + cursor).status, 200);
    for (const auto& other : std::vector<std::string>{
             "?action=project.create&cursor=", "?cursor=A",
             entity + "?cursor=", std::string("?user_id=") + a_.user_id + "&cursor="}) {
        EXPECT_TRUE(is_problem(ask(a_, other + cursor), 400, "invalid_cursor")) << other;
    }
    EXPECT_TRUE(is_problem(ask(b_, "?limit=1&cursor=" + cursor), 400, "invalid_cursor"));
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/projects?cursor=" + cursor, a_.auth()), 400,
                           "invalid_cursor"));
    const auto within = text_of(parse(ask(a_, entity + "?limit=1")), "/next_cursor");
    EXPECT_EQ(ask(a_, entity + "?cursor=" + within).status, 200);
    EXPECT_TRUE(is_problem(ask(a_, of("project", a_projects_[1]) + "?cursor=" + within), 400,
                           "invalid_cursor"));
    EXPECT_TRUE(is_problem(ask(a_, "?cursor=" + within), 400, "invalid_cursor"));
}

TEST_F(system_audit, G01_an_entity_of_another_tenant_is_one_that_never_was) {
    const auto own = walk(a_, of("project", a_projects_[0]), 1);
    EXPECT_EQ(own.size(), 2U);
    const auto described = ask(a_, of("project", a_projects_[0]));
    EXPECT_TRUE(is_described(client_, described, "get", logs + "/entity/{type}/{id}"));
    const auto at = [&](const std::string& path) {
        return comparable(get(client_, logs + path,
                              a_.auth_with({{"X-Request-ID", std::string(fixed_request_id)}})));
    };
    const auto nothing = at(of("project", std::string(nobody_id)));
    EXPECT_TRUE(nothing.starts_with("200")) << nothing;
    EXPECT_NE(nothing.find(R"({"items":[],"next_cursor":null})"), std::string::npos) << nothing;
    EXPECT_EQ(at(of("project", b_project_)), nothing);
    EXPECT_EQ(at(of("user", b_.user_id)), nothing);
    EXPECT_EQ(at(of("tenant", b_.tenant_id)), nothing);
    EXPECT_EQ(at(of("no_such_type", a_projects_[0])), nothing);
    EXPECT_TRUE(items(a_, "?user_id=" + b_.user_id).empty());
    for (const auto& odd :
         std::vector<std::string>{"/entity/Project/x", "/entity/project/%20", "/entity/a.b/x",
                                  "/entity/project/" + std::string(101, 'x')}) {
        EXPECT_TRUE(is_problem(ask(a_, odd), 404, "not_found")) << odd;
    }
}

TEST_F(system_audit, G01_holds_the_own_tenants_rows_only) {
    const auto rows_of = [&](const person& who) {
        return where_->database().value_admin(
            "select string_agg(id::text, ',' order by created_at desc, id desc) from "
            "control.audit_log where tenant_id = '" +
            who.tenant_id + "'");
    };
    for (const auto& who : {a_, b_}) {
        std::string read;
        for (const auto& id : walk(who, "", 3)) {
            read += (read.empty() ? "" : ",") + id;
        }
        EXPECT_EQ(read, rows_of(who));
    }
    EXPECT_EQ(ask(a_, "?limit=100").body.find("B's"), std::string::npos);
}

TEST_F(system_audit, failed_logins_of_members_are_in_it_and_nobody_elses) {
    const auto who = where_->make_person("attacked");
    const auto other = where_->make_person("other");
    const auto fail = [&](const person& whom, const json::object& more) {
        json::object form{{"email", whom.email}, {"password", "not the pass phrase 1"}};
        form.insert(more.begin(), more.end());
        EXPECT_TRUE(
            is_problem(post_json(client_, "/api/v1/auth/login", form), 401, "invalid_credentials"));
    };
    fail(who, {{"tenant_slug", who.slug}});
    fail(who, {});
    fail(who, {{"tenant_slug", other.slug}});  // somebody tries the member's password all the same
    fail(other, {{"tenant_slug", who.slug}});
    const auto failed = items(who, "?action=user.login_failed");
    ASSERT_EQ(failed.size(), 3U);
    for (const auto& row : failed) {
        EXPECT_EQ(text_of(row, "/status"), "failure");
        EXPECT_EQ(text_of(row, "/user_id"), who.user_id);
        EXPECT_EQ(text_of(row, "/entity_id"), who.user_id);
        EXPECT_TRUE(row.at("changes").is_null());
    }
    EXPECT_EQ(items(other, "?action=user.login_failed").size(), 1U);
    // An address that nobody has is nobody's: no tenant learns of it.
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/auth/login",
                                     {{"email", "nobody-at-all@example.org"},
                                      {"password", "not the pass phrase 1"},
                                      {"tenant_slug", who.slug}}),
                           401, "invalid_credentials"));
    EXPECT_EQ(items(who, "?action=user.login_failed").size(), 3U);
}

TEST_F(system_audit, is_for_admins) {
    auto who = where_->make_person("demoted");
    EXPECT_EQ(ask(who).status, 200);
    for (const auto& [role, status] : {std::pair{"admin", 200}, std::pair{"member", 403}}) {
        where_->database().query_admin("update control.membership set role = $1 where user_id = $2",
                                       {role, who.user_id});
        who.token = where_->log_in(who);
        EXPECT_EQ(ask(who).status, status) << role;
        EXPECT_EQ(ask(who, of("user", who.user_id)).status, status) << role;
    }
    EXPECT_TRUE(is_problem(get(client_, logs, where_->operator_auth()), 403, "forbidden"));
    EXPECT_TRUE(is_problem(get(client_, logs), 401, "unauthenticated"));
}

}  // namespace
}  // namespace insula::test
