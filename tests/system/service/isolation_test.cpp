// What one tenant's token can do with another tenant's things: nothing, and nothing can be told
// from the answer.
#include "described.hpp"
#include "people.hpp"

#include <algorithm>
#include <map>

namespace insula::test {
namespace {

constexpr std::string_view nobody_id = "01900000-0000-7000-8000-000000000000";
constexpr std::string_view nobody_slug = "no-such-tenant-anywhere";

/// Everything that may stand for something of a tenant in a request, and the same of nobody.
struct foreign_things {
    std::string project_id;
    std::string slug;
    std::string etag;
    std::string session_id;
    std::string user_id;
    std::string invite_id;
    std::map<std::string, std::string> cursors;  ///< of each list
};

/// Every list that a token of a tenant reads.
constexpr std::string_view lists[] = {"/api/v1/projects",   "/api/v1/auth/sessions",
                                      "/api/v1/members",    "/api/v1/invites",
                                      "/api/v1/audit/logs", "/api/v1/users/me/tenants"};

/// B's tables and its rows in the control plane, as one value.
std::string state_of(deployment& where, const person& who) {
    return where.database().value_admin(
        "select md5(concat((select string_agg(p::text, E'\\n' order by p.id) from " + who.schema() +
        ".projects p), (select t::text from control.tenant t where t.id = '" + who.tenant_id +
        "'), (select string_agg(m::text, ',' order by user_id) from control.membership m where "
        "m.tenant_id = '" +
        who.tenant_id + "'), (select count(*) from control.audit_log a where a.tenant_id = '" +
        who.tenant_id +
        "'), (select string_agg(s::text, ',' order by s.id) from control.session s where "
        "s.tenant_id = '" +
        who.tenant_id +
        "'), (select string_agg(i::text, ',' order by i.id) from control.invite i where "
        "i.tenant_id = '" +
        who.tenant_id + "')))");
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
    const auto at = text.find(what);
    return at == std::string::npos ? text : text.replace(at, what.size(), by);
}

/// The operations of /openapi.json that need a token, so that a route added tomorrow is tried
/// tomorrow.
std::vector<std::pair<std::string, std::string>> authenticated_routes(http_client& client) {
    std::vector<std::pair<std::string, std::string>> all;
    const auto document = parse(get(client, "/openapi.json"));
    for (const auto& path : document.at("paths").as_object()) {
        for (const auto& operation : path.value().as_object()) {
            if (needs_token(operation.value().as_object())) {
                std::string method(operation.key());
                std::ranges::transform(method, method.begin(),
                                       [](char c) { return static_cast<char>(c - 'a' + 'A'); });
                all.emplace_back(method, path.key());
            }
        }
    }
    return all;
}

class system_isolation : public testing::Test {
protected:
    static void SetUpTestSuite() {
        a_ = shared_deployment().make_person("isolation-a");
        b_ = shared_deployment().make_person("isolation-b");
        auto client = shared_deployment().server().client();
        make_project(client, a_, "A's own");
        theirs_.project_id = make_project(client, b_, "B's secret plan", "B's description");
        make_project(client, b_, "B's other plan");
        theirs_.slug = b_.slug;
        // Two of everything, so that each list has a second page.
        shared_deployment().log_in(b_);
        theirs_.user_id = make_member(shared_deployment(), b_, "member").user_id;
        theirs_.invite_id = invited(client, b_, "first@isolation-b.org", "member");
        (void)invited(client, b_, "second@isolation-b.org", "admin");
        (void)join_another(shared_deployment(), shared_deployment().make_person("isolation-c"), b_,
                           "member");
        theirs_.session_id =
            text_of(parse(get(client, "/api/v1/auth/sessions", b_.auth())), "/items/0/id");
        for (const auto path : lists) {
            const std::string list(path);
            theirs_.cursors[list] =
                text_of(parse(get(client, list + "?limit=1", b_.auth())), "/next_cursor");
        }
        theirs_.etag =
            *get(client, "/api/v1/projects/" + theirs_.project_id, b_.auth()).field("ETag");
    }

    /// Sends one operation with those things in every place where it takes any.
    static http_answer send(http_client& client, const std::string& method, std::string path,
                            const foreign_things& things, const http_fields& more) {
        path = replaced(path, "/auth/sessions/{id}", "/auth/sessions/" + things.session_id);
        path = replaced(path, "/invites/{id}", "/invites/" + things.invite_id);
        path = replaced(path, "{user_id}", things.user_id);
        path = replaced(path, "{type}", "project");
        path = replaced(path, "{id}", things.project_id);
        path = replaced(path, "{slug}", things.slug);
        EXPECT_EQ(path.find('{'), std::string::npos)
            << "a route with a new kind of reference: say here what of B's to send: " << path;
        if (method == "GET" && is_list(path)) {
            path += "?limit=1&cursor=" + cursor_for(path, things);
        }
        auto fields = a_.auth_with(more);
        fields.emplace_back("X-Request-ID", fixed_request_id);
        fields.emplace_back("Content-Type", "application/json");
        if (method == "DELETE" && path.find("/tenants/") != std::string::npos) {
            return client.send(method, path, fields,
                               json::serialize(json::object{{"confirm", things.slug}}));
        }
        if (method == "GET" || method == "DELETE") {
            return client.send(method, path, fields);
        }
        return client.send(method, path, fields, body_for(path));
    }
    static bool is_list(std::string_view path) {
        return std::ranges::find(lists, path) != std::end(lists);
    }
    static std::string cursor_for(const std::string& path, const foreign_things& things) {
        const auto found = things.cursors.find(path);
        return found == things.cursors.end() ? "AAAAAAAAAAAAAAAAAAAA" : found->second;
    }
    /// What would change something, were it let.
    static std::string body_for(std::string_view path) {
        if (path.starts_with("/api/v1/members/")) {
            return R"({"role":"admin"})";
        }
        if (path.starts_with("/api/v1/tenants/")) {
            return R"({"name":"taken over"})";
        }
        return R"({"name":"taken over","description":"by A"})";
    }

    static inline person a_;
    static inline person b_;
    static inline foreign_things theirs_;
    static inline const foreign_things nobodys_{
        std::string(nobody_id), std::string(nobody_slug), "\"v1\"", std::string(nobody_id),
        std::string(nobody_id), std::string(nobody_id),   {}};
};

TEST_F(system_isolation, G01_token_from_tenant_A_cannot_access_tenant_B) {
    auto client = shared_deployment().server().client();
    const auto before = state_of(shared_deployment(), b_);
    int with_reference = 0;
    for (const auto& [method, path] : authenticated_routes(client)) {
        if (path.find('{') == std::string::npos && !(method == "GET" && is_list(path))) {
            continue;  // it takes no reference; the header is tried below
        }
        ++with_reference;
        for (const auto& condition : {http_fields{}, http_fields{{"If-Match", "*"}},
                                      http_fields{{"If-Match", theirs_.etag}},
                                      http_fields{{"If-None-Match", theirs_.etag}}}) {
            const auto foreign = send(client, method, path, theirs_, condition);
            const auto missing = send(client, method, path, nobodys_, condition);
            EXPECT_EQ(comparable(foreign), comparable(missing)) << method << " " << path;
            if (path.starts_with("/api/v1/audit/logs/entity/")) {
                // A list, empty for what never was here.
                EXPECT_EQ(foreign.body, R"({"items":[],"next_cursor":null})") << foreign.text();
                continue;
            }
            EXPECT_TRUE(is_client_error(foreign)) << method << " " << path;
        }
    }
    EXPECT_GE(with_reference, 20);
    EXPECT_EQ(state_of(shared_deployment(), b_), before);
}

TEST_F(system_isolation, G01_another_tenants_slug_in_the_header_is_refused_on_every_route) {
    auto client = shared_deployment().server().client();
    const auto before = state_of(shared_deployment(), b_);
    const auto own = state_of(shared_deployment(), a_);
    for (const auto& [method, path] : authenticated_routes(client)) {
        const auto foreign = send(client, method, path, theirs_, {{"X-Tenant-Slug", b_.slug}});
        const auto missing =
            send(client, method, path, theirs_, {{"X-Tenant-Slug", std::string(nobody_slug)}});
        EXPECT_TRUE(is_problem(foreign, 403, "tenant_mismatch")) << method << " " << path;
        EXPECT_EQ(comparable(foreign), comparable(missing)) << method << " " << path;
        const auto twice = send(client, method, path, theirs_,
                                {{"X-Tenant-Slug", a_.slug}, {"X-Tenant-Slug", b_.slug}});
        EXPECT_TRUE(is_problem(twice, 403, "tenant_mismatch")) << method << " " << path;
    }
    EXPECT_EQ(state_of(shared_deployment(), b_), before);
    EXPECT_EQ(state_of(shared_deployment(), a_), own);
    // The header that agrees changes nothing.
    EXPECT_EQ(get(client, "/api/v1/projects", a_.auth_with({{"X-Tenant-Slug", a_.slug}})).status,
              200);
}

TEST_F(system_isolation, G01_the_references_that_were_refused_work_for_their_owner) {
    auto client = shared_deployment().server().client();
    EXPECT_EQ(get(client, "/api/v1/projects/" + theirs_.project_id, b_.auth()).status, 200);
    for (const auto path : lists) {
        const std::string list(path);
        EXPECT_EQ(
            get(client, list + "?limit=1&cursor=" + theirs_.cursors.at(list), b_.auth()).status,
            200)
            << list;
    }
    EXPECT_EQ(get(client, "/api/v1/members/" + theirs_.user_id, b_.auth()).status, 200);
    EXPECT_EQ(get(client, "/api/v1/invites/" + theirs_.invite_id, b_.auth()).status, 200);
    EXPECT_EQ(get(client, "/api/v1/tenants/" + b_.slug, b_.auth()).status, 200);
    EXPECT_EQ(get(client, "/api/v1/projects/" + theirs_.project_id,
                  b_.auth_with({{"If-None-Match", theirs_.etag}}))
                  .status,
              304);
    EXPECT_EQ(get(client, "/api/v1/projects", b_.auth_with({{"X-Tenant-Slug", b_.slug}})).status,
              200);
}

TEST_F(system_isolation, G01_lists_hold_the_own_tenants_rows_only) {
    auto client = shared_deployment().server().client();
    const auto listed = get(client, "/api/v1/projects?limit=100", a_.auth());
    EXPECT_EQ(parse(listed).at("items").as_array().size(), 1U) << listed.text();
    EXPECT_EQ(listed.body.find("B's"), std::string::npos);
}

TEST_F(system_isolation, G10_user_without_membership_cannot_log_in) {
    auto& where = shared_deployment();
    auto client = where.server().client();
    const auto answer = [&](std::string_view email, std::string_view password,
                            std::string_view slug) {
        return comparable(
            post_json(client, "/api/v1/auth/login",
                      {{"email", email}, {"password", password}, {"tenant_slug", slug}},
                      {{"X-Request-ID", std::string(fixed_request_id)}}));
    };
    const auto other_tenant = answer(a_.email, good_password, b_.slug);
    EXPECT_TRUE(other_tenant.starts_with("401")) << other_tenant;
    EXPECT_NE(other_tenant.find("\"invalid_credentials\""), std::string::npos);
    EXPECT_EQ(answer(a_.email, "a wrong password 4711", a_.slug), other_tenant);
    EXPECT_EQ(answer(a_.email, "a wrong password 4711", b_.slug), other_tenant);
    EXPECT_EQ(answer("nobody-at-all@example.org", good_password, a_.slug), other_tenant);
    EXPECT_EQ(answer(a_.email, good_password, nobody_slug), other_tenant);
    EXPECT_EQ(answer(a_.email, good_password, "Not A Slug'; --"), other_tenant);

    const auto leaver = where.make_person("leaver");
    EXPECT_FALSE(where.log_in(leaver).empty());
    where.database().query_admin(
        "update control.membership set status = 'removed' where user_id = $1", {leaver.user_id});
    EXPECT_EQ(answer(leaver.email, good_password, leaver.slug), other_tenant);
    EXPECT_EQ(comparable(post_json(client, "/api/v1/auth/login",
                                   {{"email", leaver.email}, {"password", good_password}},
                                   {{"X-Request-ID", std::string(fixed_request_id)}})),
              other_tenant);

    const auto inactive = where.make_person("inactive");
    where.database().query_admin("update control.account set active = false where id = $1",
                                 {inactive.user_id});
    EXPECT_EQ(answer(inactive.email, good_password, inactive.slug), other_tenant);
    EXPECT_EQ(
        where.database().value_admin("select count(*) from control.session where user_id in ('" +
                                     leaver.user_id + "', '" + inactive.user_id + "')"),
        "3")  // the three good logins from before
        << "a refused login made a session";
}

TEST_F(system_isolation, G10_the_header_names_the_tenant_of_a_login_like_the_body) {
    auto client = shared_deployment().server().client();
    const json::object form{{"email", a_.email}, {"password", good_password}};
    const auto right = post_json(client, "/api/v1/auth/login", form, {{"X-Tenant-Slug", a_.slug}});
    ASSERT_EQ(right.status, 200) << right.text();
    EXPECT_EQ(text_of(parse(right), "/tenant/slug"), a_.slug);
    EXPECT_TRUE(
        is_problem(post_json(client, "/api/v1/auth/login", form, {{"X-Tenant-Slug", b_.slug}}), 401,
                   "invalid_credentials"));
    auto both = form;
    both["tenant_slug"] = a_.slug;
    EXPECT_TRUE(
        is_problem(post_json(client, "/api/v1/auth/login", both, {{"X-Tenant-Slug", b_.slug}}), 422,
                   "validation_failed"));
}

}  // namespace
}  // namespace insula::test
