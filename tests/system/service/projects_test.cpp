// The projects of one tenant: conditions, cursors, conflicts, and what a read costs.
#include "deployment.hpp"

#include <future>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view list_path = "/api/v1/projects";

class system_projects : public testing::Test {
protected:
    static void SetUpTestSuite() { who_ = shared_deployment().make_person("projects"); }

    std::string fresh_name() { return "project " + std::to_string(++names_); }
    std::string path_of(const std::string& id) { return std::string(list_path) + "/" + id; }
    http_answer change(const std::string& id, const json::value& body, http_fields more = {}) {
        return patch_json(client_, path_of(id), body, who_.auth_with(std::move(more)));
    }
    http_answer read(const std::string& id, http_fields more = {}) {
        return get(client_, path_of(id), who_.auth_with(std::move(more)));
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
    static inline person who_;
    static inline int names_ = 0;
};

TEST_F(system_projects, created_read_changed_deleted) {
    const auto made =
        post_json(client_, list_path, {{"name", "  Engine No. 1  "}, {"description", "Ünïcödé 🚂"}},
                  who_.auth());
    ASSERT_EQ(made.status, 201) << made.text();
    const auto project = parse(made);
    const auto id = text_of(project, "/id");
    EXPECT_EQ(made.field("Location"), path_of(id));
    EXPECT_EQ(text_of(project, "/name"), "Engine No. 1");
    EXPECT_EQ(text_of(project, "/description"), "Ünïcödé 🚂");
    EXPECT_TRUE(text_of(project, "/created_at").ends_with("Z"));
    EXPECT_EQ(id.at(14), '7') << "no UUIDv7: " << id;

    const auto found = read(id);
    EXPECT_EQ(found.status, 200);
    EXPECT_EQ(found.body, made.body);
    EXPECT_EQ(found.field("ETag"), made.field("ETag"));

    const auto changed = change(id, {{"name", "Engine No. 2"}});
    ASSERT_EQ(changed.status, 200) << changed.text();
    EXPECT_NE(changed.field("ETag"), made.field("ETag"));
    EXPECT_EQ(text_of(parse(changed), "/name"), "Engine No. 2");
    EXPECT_EQ(text_of(parse(changed), "/created_at"), text_of(project, "/created_at"));
    EXPECT_NE(text_of(parse(changed), "/updated_at"), text_of(project, "/updated_at"));

    const auto gone = client_.send("DELETE", path_of(id), who_.auth());
    EXPECT_EQ(gone.status, 204) << gone.text();
    EXPECT_TRUE(is_problem(read(id), 404, "not_found"));
    EXPECT_TRUE(is_problem(client_.send("DELETE", path_of(id), who_.auth()), 404, "not_found"));
    EXPECT_TRUE(is_problem(change(id, {{"name", "back"}}), 404, "not_found"));

    // Each change left one row, none of the refused did.
    EXPECT_EQ(where_.database().query_admin(
                  "select action from control.audit_log where entity_id = '" + id +
                  "' and tenant_id = '" + who_.tenant_id + "' order by created_at, action"),
              (rows{{"project.create"}, {"project.update"}, {"project.delete"}}));
}

TEST_F(system_projects, null_clears_and_absent_leaves) {
    const auto id = make_project(client_, who_, fresh_name(), "described");
    const auto name = fresh_name();
    EXPECT_EQ(text_of(parse(change(id, {{"name", name}})), "/description"), "described");
    const auto cleared = parse(change(id, {{"description", nullptr}}));
    EXPECT_TRUE(cleared.at("description").is_null());
    EXPECT_EQ(text_of(cleared, "/name"), name);
    EXPECT_EQ(text_of(parse(change(id, {{"description", ""}})), "/description"), "");
    EXPECT_TRUE(is_problem(change(id, {{"name", nullptr}}), 422, "validation_failed"));
    EXPECT_TRUE(is_problem(change(id, json::object()), 422, "validation_failed"));
}

TEST_F(system_projects, equal_names_are_a_conflict) {
    const auto name = fresh_name();
    make_project(client_, who_, name);
    EXPECT_TRUE(is_problem(post_json(client_, list_path, {{"name", name}}, who_.auth()), 409,
                           "name_taken"));
    EXPECT_TRUE(is_problem(post_json(client_, list_path, {{"name", " " + name + " "}}, who_.auth()),
                           409, "name_taken"));
    const auto other = make_project(client_, who_, fresh_name());
    EXPECT_TRUE(is_problem(change(other, {{"name", name}}), 409, "name_taken"));
}

TEST_F(system_projects, if_match) {
    const auto id = make_project(client_, who_, fresh_name());
    const auto first = *read(id).field("ETag");
    ASSERT_TRUE(first.starts_with("\"")) << first;
    const auto second = *change(id, {{"description", "a"}}, {{"If-Match", first}}).field("ETag");
    EXPECT_NE(first, second);

    const auto refused = [&](const std::string& condition) {
        return is_problem(change(id, {{"description", "b"}}, {{"If-Match", condition}}), 412,
                          "precondition_failed");
    };
    EXPECT_TRUE(refused(first));
    EXPECT_TRUE(refused("W/" + second)) << "If-Match compares strongly";
    EXPECT_TRUE(refused(first + ", W/" + second));
    EXPECT_TRUE(refused("\"something else\""));
    EXPECT_TRUE(refused("\"v0\", \"v-1\", \"v99999999999999999999\", \"\""));
    for (const std::string condition : {"v1", "\"", "\"v1", "*, \"v1\"", "\"v1\" \"v2\"", ""}) {
        EXPECT_TRUE(is_client_error(change(id, {{"description", "b"}}, {{"If-Match", condition}})))
            << condition;
    }
    EXPECT_EQ(text_of(parse(read(id)), "/description"), "a");

    const auto listed = change(id, {{"description", "c"}}, {{"If-Match", first + " ,, " + second}});
    EXPECT_EQ(listed.status, 200) << listed.text();
    EXPECT_EQ(change(id, {{"description", "d"}}, {{"If-Match", "*"}}).status, 200);
    EXPECT_EQ(change(id, {{"description", "e"}},
                     {{"If-Match", first}, {"If-Match", *read(id).field("ETag")}})
                  .status,
              200)
        << "two fields are one list";
    EXPECT_EQ(change(id, {{"description", "f"}}).status, 200);

    EXPECT_TRUE(
        is_problem(client_.send("DELETE", path_of(id), who_.auth_with({{"If-Match", first}})), 412,
                   "precondition_failed"));
    EXPECT_EQ(
        client_.send("DELETE", path_of(id), who_.auth_with({{"If-Match", *read(id).field("ETag")}}))
            .status,
        204);
    EXPECT_TRUE(is_problem(client_.send("DELETE", path_of(id), who_.auth_with({{"If-Match", "*"}})),
                           404, "not_found"));
}

TEST_F(system_projects, if_none_match) {
    const auto id = make_project(client_, who_, fresh_name());
    const auto tag = *read(id).field("ETag");
    for (const std::string& condition : {tag, "W/" + tag, std::string("*"), "\"other\", " + tag}) {
        const auto answer = read(id, {{"If-None-Match", condition}});
        EXPECT_EQ(answer.status, 304) << condition;
        EXPECT_EQ(answer.field("ETag"), tag);
        EXPECT_FALSE(answer.field("Content-Type").has_value());
    }
    EXPECT_EQ(read(id, {{"If-None-Match", "\"other\""}}).status, 200);
    EXPECT_EQ(change(id, {{"description", "x"}}).status, 200);
    EXPECT_EQ(read(id, {{"If-None-Match", tag}}).status, 200);
}

TEST_F(system_projects, head_is_get_without_the_body) {
    const auto id = make_project(client_, who_, fresh_name());
    for (const auto& target : {path_of(id), std::string(list_path), std::string("/api/v1/users/me"),
                               "/api/v1/tenants/" + who_.slug, std::string("/openapi.json")}) {
        const http_fields fields = who_.auth_with({{"X-Request-ID", "head"}});
        auto whole = get(client_, target, fields);
        const auto head = client_.send("HEAD", target, fields);
        whole.body.clear();
        EXPECT_EQ(comparable(head), comparable(whole)) << target;
        EXPECT_EQ(whole.status, 200);
    }
    // The connection is in step after all those.
    EXPECT_EQ(get(client_, "/livez").status, 200);
    EXPECT_EQ(
        client_.send("HEAD", path_of("01900000-0000-7000-8000-000000000000"), who_.auth()).status,
        404);
}

TEST_F(system_projects, pages_of_equal_times_skip_and_repeat_nothing) {
    const auto many = where_.make_person("many");
    constexpr int count = 250;
    where_.database().query_admin(
        "insert into " + many.schema() +
        ".projects (id, name, created_at) select"
        " gen_random_uuid(), 'p' || n, '2026-01-01T00:00:00Z' from generate_series(1, " +
        std::to_string(count) + ") n");
    std::set<std::string> seen;
    std::string cursor;
    int pages = 0;
    do {
        const auto page =
            get(client_,
                std::string(list_path) + "?limit=7" + (cursor.empty() ? "" : "&cursor=" + cursor),
                many.auth());
        ASSERT_EQ(page.status, 200) << page.text();
        const auto body = parse(page);
        ++pages;
        for (const auto& item : body.at("items").as_array()) {
            EXPECT_TRUE(seen.insert(text_of(item, "/id")).second) << "repeated on page " << pages;
        }
        // What is added at the front meanwhile does not move what follows.
        make_project(client_, many, "added at page " + std::to_string(pages));
        cursor = body.at("next_cursor").is_null() ? "" : text_of(body, "/next_cursor");
    } while (!cursor.empty() && pages < 100);
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(pages, (count + 6) / 7);

    EXPECT_EQ(parse(get(client_, list_path, many.auth())).at("items").as_array().size(), 50U)
        << "the default";
    EXPECT_EQ(parse(get(client_, std::string(list_path) + "?limit=100", many.auth()))
                  .at("items")
                  .as_array()
                  .size(),
              100U);
    const auto newest = parse(get(client_, std::string(list_path) + "?limit=1", many.auth()));
    EXPECT_EQ(text_of(newest, "/items/0/name"), "added at page " + std::to_string(pages));
}

TEST_F(system_projects, cursors_that_were_tampered_with_are_refused) {
    make_project(client_, who_, fresh_name());
    make_project(client_, who_, fresh_name());
    const auto page = parse(get(client_, std::string(list_path) + "?limit=1", who_.auth()));
    const auto cursor = text_of(page, "/next_cursor");
    const auto with = [&](const std::string& value) {
        return get(client_, std::string(list_path) + "?limit=1&cursor=" + value, who_.auth());
    };
    ASSERT_EQ(with(cursor).status, 200);
    for (std::size_t i = 0; i < cursor.size(); ++i) {
        auto bent = cursor;
        bent[i] = bent[i] == 'A' ? 'B' : 'A';
        EXPECT_TRUE(is_problem(with(bent), 400, "invalid_cursor")) << bent;
    }
    EXPECT_TRUE(is_problem(with(cursor.substr(1)), 400, "invalid_cursor"));
    EXPECT_TRUE(is_problem(with(cursor.substr(0, cursor.size() - 1)), 400, "invalid_cursor"));
    EXPECT_TRUE(is_problem(with(cursor + "A"), 400, "invalid_cursor"));
    EXPECT_TRUE(is_problem(with(cursor + cursor), 400, "invalid_cursor"));
    EXPECT_TRUE(is_problem(with(std::string(5000, 'A')), 400, "invalid_cursor"));
    EXPECT_TRUE(is_problem(with(""), 400, "invalid_cursor"));
    const auto stranger = where_.make_person("stranger");
    EXPECT_TRUE(
        is_problem(get(client_, std::string(list_path) + "?cursor=" + cursor, stranger.auth()), 400,
                   "invalid_cursor"));
}

TEST_F(system_projects, tenant_read_costs_exactly_one_round_trip) {
    const auto id = make_project(client_, who_, fresh_name());
    for (int i = 0; i < 20; ++i) {  // connection, prepared statement and token are known then
        ASSERT_EQ(read(id).status, 200);
    }
    const auto cells = metric(client_, "insula_pg_round_trips_total", "cell_");
    const auto units = metric(client_, "insula_pg_units_total", "cell_");
    const auto prepares = metric(client_, "insula_pg_prepares_total", "cell_");
    const auto app = metric(client_, "insula_pg_round_trips_total", "app");
    constexpr int reads = 50;
    for (int i = 0; i < reads; ++i) {
        ASSERT_EQ(read(id).status, 200);
    }
    EXPECT_EQ(metric(client_, "insula_pg_round_trips_total", "cell_") - cells, reads);
    EXPECT_EQ(metric(client_, "insula_pg_units_total", "cell_") - units, reads);
    EXPECT_EQ(metric(client_, "insula_pg_prepares_total", "cell_") - prepares, 0);
    EXPECT_EQ(metric(client_, "insula_pg_round_trips_total", "app") - app, 0);
}

TEST_F(system_projects, G45_a_locked_row_does_not_stop_the_tenants_other_requests) {
    const auto locked = make_project(client_, who_, fresh_name());
    const auto other = make_project(client_, who_, fresh_name());
    const auto retries = metric(client_, "insula_pg_lock_retries_total", "cell_");
    sql_connection holder(where_.database().admin_conninfo());
    holder.query("begin; select 1 from " + who_.schema() + ".projects where id = '" + locked +
                 "' for update");
    auto blocked = std::async(std::launch::async, [&] {
        auto own = where_.server().client();
        return patch_json(own, path_of(locked), {{"description", "after the lock"}}, who_.auth());
    });
    // It waits on a connection of its own: longer than the shared one's lock timeout.
    wait_until("the change to wait for the lock", [&] {
        return metric(client_, "insula_pg_lock_retries_total", "cell_") > retries &&
               where_.database().value_admin(
                   "select count(*) from pg_stat_activity where datname ="
                   " current_database() and wait_event_type = 'Lock' and usename like '" +
                   where_.database().role_prefix() + "\\_cell\\_%'") == "1";
    });
    auto slowest = 0ms;
    for (int i = 0; i < 40; ++i) {
        const auto began = std::chrono::steady_clock::now();
        ASSERT_EQ(read(other).status, 200);
        ASSERT_EQ(change(other, {{"description", std::to_string(i)}}).status, 200);
        slowest = std::max(slowest, std::chrono::duration_cast<std::chrono::milliseconds>(
                                        std::chrono::steady_clock::now() - began));
    }
    EXPECT_LT(slowest,
              2s);  // 50 ms and a busy machine; without the exclusive connection: until the release
    EXPECT_EQ(blocked.wait_for(0s), std::future_status::timeout);
    // Others that want the same row wait too, and still do not stop the rest.
    auto second = std::async(std::launch::async, [&] {
        auto own = where_.server().client();
        return patch_json(own, path_of(locked), {{"description", "second"}}, who_.auth());
    });
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(read(other).status, 200);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
    holder.query("rollback");
    EXPECT_EQ(blocked.get().status, 200);
    EXPECT_EQ(second.get().status, 200);
    EXPECT_NE(text_of(parse(read(locked)), "/description"), "null");
}

}  // namespace
}  // namespace insula::test
