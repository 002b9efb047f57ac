// An operator acts as a member of a tenant: who may be assumed, what may be done so, how it is seen
// and how it ends.
#include "described.hpp"
#include "people.hpp"

#include <future>

namespace insula::test {
namespace {

using testing::HasSubstr;

constexpr std::string_view assume_path = "/api/v1/admin/assume-identity";
constexpr std::string_view end_path = "/api/v1/admin/assume-identity/end";

class system_assumed : public testing::Test {
protected:
    static void SetUpTestSuite() {
        where_ = std::make_unique<deployment>();
        (void)where_->operator_auth();
        operator_id_ = where_->database().value_admin(
            "select id from control.account where email = 'the-operator@example.org'");
    }
    static void TearDownTestSuite() { where_.reset(); }

    static std::string value(const std::string& sql) { return where_->database().value_admin(sql); }
    static void sql(const std::string& text) { where_->database().query_admin(text); }

    http_answer assume(const json::value& form) {
        return post_json(client_, assume_path, form, operator_);
    }
    static json::object form_for(const person& who, std::string_view reason = "ticket 4711") {
        return {{"user_id", who.user_id}, {"tenant_id", who.tenant_id}, {"reason", reason}};
    }
    std::string assumed_token(const person& who) {
        const auto answer = assume(form_for(who));
        EXPECT_EQ(answer.status, 200) << answer.text();
        return text_of(parse(answer), "/access_token");
    }
    static http_fields bearer(const std::string& token) {
        return {{"Authorization", "Bearer " + token}};
    }
    static json::value claims_of(const std::string& token) {
        const auto first = token.find('.') + 1;
        return json::parse(value(
            "select convert_from(decode(p || repeat('=', (4 - length(p) % 4) % 4), 'base64'), "
            "'utf8') from (select translate('" +
            token.substr(first, token.find('.', first) - first) + "', '-_', '+/') as p) x"));
    }
    /// Sessions of an account that was closed are over. That it is open again is heard of like
    /// everything else, within 250 ms.
    void renew_operator() {
        operator_ = where_->operator_auth();
        wait_until("the operator to be one again",
                   [&] { return get(client_, "/api/v1/admin/tenants", operator_).status == 200; });
    }
    /// What an identity that was not granted must not leave behind.
    static std::string traces() {
        return value(
            "select (select count(*) from control.session where operator_user_id is not null) || "
            "'/' || (select count(*) from control.audit_log where action = 'identity.assume')");
    }
    static std::string alive(const person& who) {
        return value(
            "select count(*) from control.session where operator_user_id is not null and "
            "ended_at is null and user_id = '" +
            who.user_id + "'");
    }

    http_client client_ = where_->server().client();
    http_fields operator_ = where_->operator_auth();
    static inline std::unique_ptr<deployment> where_;
    static inline std::string operator_id_;
};

TEST_F(system_assumed, an_operator_acts_as_a_member_and_is_named_along) {
    const auto who = where_->make_person("assumed");
    const auto granted = assume(form_for(who, "  ticket 4711: cannot see the projects "));
    ASSERT_EQ(granted.status, 200) << granted.text();
    EXPECT_TRUE(is_described(client_, granted, "post", std::string(assume_path)));
    const auto tokens = parse(granted);
    EXPECT_FALSE(tokens.as_object().contains("refresh_token")) << granted.text();
    EXPECT_FALSE(tokens.as_object().contains("refresh_expires_in")) << granted.text();
    EXPECT_LE(tokens.at("expires_in").as_int64(), 900);
    EXPECT_EQ(text_of(tokens, "/tenant/slug"), who.slug);
    EXPECT_EQ(text_of(tokens, "/tenant/role"), "owner");
    const auto token = text_of(tokens, "/access_token");
    const auto claims = claims_of(token);
    EXPECT_EQ(text_of(claims, "/sub"), who.user_id);
    EXPECT_EQ(text_of(claims, "/act/sub"), operator_id_);
    EXPECT_EQ(text_of(claims, "/tid"), who.tenant_id);
    const auto session = text_of(claims, "/sid");
    EXPECT_EQ(value("select assumed_for || '/' || (expires_at - created_at = interval '15 minutes')"
                    " || '/' || (refresh_hash is null) from control.session where id = '" +
                    session + "' and operator_user_id = '" + operator_id_ + "'"),
              "ticket 4711: cannot see the projects/true/true");

    ASSERT_EQ(post_json(client_, "/api/v1/projects", {{"name", "helped"}}, bearer(token)).status,
              201);
    EXPECT_EQ(get(client_, "/api/v1/users/me", bearer(token)).status, 200);
    EXPECT_EQ(client_.send("POST", end_path, bearer(token)).status, 204);
    for (const char* path : {"/api/v1/projects", "/api/v1/users/me"}) {
        EXPECT_TRUE(is_problem(get(client_, path, bearer(token)), 401, "invalid_token")) << path;
    }
    EXPECT_TRUE(is_problem(client_.send("POST", end_path, bearer(token)), 401, "invalid_token"));
    EXPECT_EQ(get(client_, "/api/v1/projects", who.auth()).status, 200) << "the person's own";

    // The tenant's admins see all of it.
    const auto listed = get(client_, "/api/v1/audit/logs?limit=3", who.auth());
    ASSERT_EQ(listed.status, 200) << listed.text();
    const auto log = parse(listed).at("items");
    const char* const actions[] = {"identity.end", "project.create", "identity.assume"};
    for (std::size_t i = 0; i < std::size(actions); ++i) {
        const auto& row = log.as_array().at(i);
        EXPECT_EQ(text_of(row, "/action"), actions[i]);
        EXPECT_EQ(text_of(row, "/user_id"), who.user_id);
        EXPECT_EQ(text_of(row, "/operator_user_id"), operator_id_);
    }
    EXPECT_EQ(text_of(log.as_array()[2], "/changes/reason"),
              "ticket 4711: cannot see the projects");
    EXPECT_EQ(text_of(log.as_array()[2], "/changes/session_id"), session);
    EXPECT_EQ(text_of(log.as_array()[0], "/changes/session_id"), session);
}

TEST_F(system_assumed, only_active_members_of_a_usable_tenant_and_for_a_reason) {
    const auto who = where_->make_person("target");
    const auto other = where_->make_person("target");
    const auto before = traces();
    auto form = form_for(who);
    const auto with = [&](const char* member, std::string_view text) {
        auto changed = form;
        changed[member] = text;
        return assume(changed);
    };
    for (const std::string_view reason : {"", "   ", "\t\n"}) {
        EXPECT_TRUE(is_problem(with("reason", reason), 422, "validation_failed"));
    }
    EXPECT_TRUE(is_problem(with("reason", std::string(501, 'x')), 422, "validation_failed"));
    EXPECT_TRUE(is_problem(with("user_id", "me"), 422, "validation_failed"));
    auto silent = form;
    silent.erase("reason");
    EXPECT_TRUE(is_problem(assume(silent), 422, "validation_failed"));
    EXPECT_TRUE(
        is_problem(with("user_id", "01900000-0000-7000-8000-000000000000"), 404, "not_found"));
    EXPECT_TRUE(
        is_problem(with("tenant_id", "01900000-0000-7000-8000-000000000000"), 404, "not_found"));
    EXPECT_TRUE(is_problem(with("tenant_id", other.tenant_id), 404, "not_found"));
    // An operator, oneself included; also one who belongs to the tenant.
    EXPECT_TRUE(is_problem(with("user_id", operator_id_), 403, "forbidden"));
    sql("update control.account set operator = true where id = '" + who.user_id + "'");
    EXPECT_TRUE(is_problem(assume(form), 403, "forbidden"));
    sql("update control.account set operator = false, active = false where id = '" + who.user_id +
        "'");
    EXPECT_TRUE(is_problem(assume(form), 404, "not_found"));
    sql("update control.account set active = true where id = '" + who.user_id + "'");
    sql("update control.membership set status = 'removed' where user_id = '" + who.user_id + "'");
    EXPECT_TRUE(is_problem(assume(form), 404, "not_found"));
    sql("update control.membership set status = 'active' where user_id = '" + who.user_id + "'");
    const auto tenant = "/api/v1/admin/tenants/" + who.tenant_id;
    ASSERT_EQ(client_.send("POST", tenant + "/suspend", operator_).status, 200);
    EXPECT_TRUE(is_problem(assume(form), 403, "tenant_suspended"));
    ASSERT_EQ(client_.send("POST", tenant + "/resume", operator_).status, 200);
    ASSERT_EQ(delete_json(client_, tenant, {{"confirm", who.slug}}, operator_).status, 202);
    EXPECT_TRUE(is_problem(assume(form), 409, "tenant_pending_deletion"));
    EXPECT_EQ(traces(), before) << "what was refused left something";
    // Who is no operator is told that, not what is wrong with the form.
    EXPECT_TRUE(is_problem(post_json(client_, assume_path, form_for(other), other.auth()), 403,
                           "forbidden"));
    EXPECT_TRUE(is_problem(client_.send("POST", end_path, other.auth()), 403, "forbidden"));
    EXPECT_TRUE(is_problem(client_.send("POST", end_path, operator_), 403, "forbidden"));
    EXPECT_EQ(get(client_, "/api/v1/users/me", other.auth()).status, 200);
}

TEST_F(system_assumed, what_is_the_persons_own_stays_so) {
    const auto who = where_->make_person("own");
    const auto token = bearer(assumed_token(who));
    const auto state = [&] {
        return value(
            "select md5(concat((select string_agg(s::text, ',' order by id) from control.session s "
            "where user_id = '" +
            who.user_id + "'), (select a::text from control.account a where id = '" + who.user_id +
            "'), (select string_agg(t::text, ',' order by id) from control.tenant t), (select "
            "count(*) from control.audit_log)))");
    };
    const auto session = value(
        "select id from control.session where operator_user_id is null "
        "and user_id = '" +
        who.user_id + "' limit 1");
    const auto before = state();
    const auto refused = [&](std::string_view method, const std::string& path,
                             const json::object& body = {}) {
        auto fields = token;
        fields.emplace_back("Content-Type", "application/json");
        const auto answer =
            client_.send(method, path, fields, method == "GET" ? "" : json::serialize(body));
        EXPECT_TRUE(is_problem(answer, 403, "forbidden")) << method << " " << path;
        EXPECT_EQ(state(), before) << method << " " << path;
    };
    refused("POST", "/api/v1/auth/change-password",
            {{"current_password", good_password}, {"new_password", "another good pass phrase 77"}});
    refused("POST", "/api/v1/auth/logout-all");
    refused("GET", "/api/v1/auth/sessions");
    refused("DELETE", "/api/v1/auth/sessions/" + session);
    refused("POST", "/api/v1/auth/switch-tenant", {{"tenant_slug", who.slug}});
    refused("POST", "/api/v1/tenants", {{"name", "Taken"}, {"slug", "taken-over"}});
    refused("DELETE", "/api/v1/tenants/" + who.slug, {{"confirm", who.slug}});
    refused("POST", "/api/v1/tenants/" + who.slug + "/restore");
    refused("POST", std::string(assume_path), form_for(who));
    refused("GET", "/api/v1/admin/tenants");
    refused("POST", "/api/v1/admin/tenants/" + who.tenant_id + "/suspend");
    refused("DELETE", "/api/v1/admin/tenants/" + who.tenant_id, {{"confirm", who.slug}});
    refused("GET", "/api/v1/admin/tasks");
}

TEST_F(system_assumed, who_owns_the_tenant_is_not_for_an_operator_to_decide) {
    auto who = where_->make_person("owns");
    const auto member = make_member(*where_, who, "member");
    const auto second = make_member(*where_, who, "owner");
    const auto heir = "/api/v1/invites/" + invited(client_, who, "heir@example.net", "owner");
    const auto own = who.token;
    who.token = assumed_token(who);
    const auto state = [&] {
        return value(
            "select md5(concat((select string_agg(m::text, ',' order by user_id) from "
            "control.membership m where tenant_id = '" +
            who.tenant_id +
            "'), (select string_agg(i::text, ',') from control.invite i where tenant_id = '" +
            who.tenant_id + "'), (select count(*) from control.audit_log)))");
    };
    const auto before = state();
    const std::pair<const char*, http_answer> refused[] = {
        {"inviting an owner", invite(client_, who, "operator@example.net", "owner")},
        {"withdrawing that", client_.send("DELETE", heir, who.auth())},
        {"sending it again", client_.send("POST", heir + "/resend", who.auth())},
        {"making an owner", set_role(client_, who, member, "owner")},
        {"unmaking one", set_role(client_, who, second, "admin")},
        {"unmaking oneself", set_role(client_, who, who, "admin")},
        {"removing an owner", remove(client_, who, second)},
        {"leaving", remove(client_, who, who)}};
    for (const auto& [what, answer] : refused) {
        EXPECT_TRUE(is_problem(answer, 403, "forbidden")) << what;
        EXPECT_THAT(answer.body, HasSubstr("Not with an assumed identity")) << what;
    }
    EXPECT_EQ(state(), before);
    auto as_member = member;
    as_member.token = assumed_token(member);
    EXPECT_EQ(remove(client_, as_member, as_member).status, 403) << "nor is it for a member";
    EXPECT_EQ(membership(*where_, member), "member active");
    // Everything else is as the member's role has it.
    EXPECT_EQ(set_role(client_, who, second, "owner").status, 200) << "which it is already";
    EXPECT_EQ(invite(client_, who, "helped@example.net", "admin").status, 201);
    EXPECT_EQ(set_role(client_, who, member, "admin").status, 200);
    EXPECT_EQ(remove(client_, who, member).status, 204);
    who.token = own;
    EXPECT_EQ(client_.send("DELETE", heir, who.auth()).status, 204);
    EXPECT_EQ(set_role(client_, who, second, "admin").status, 200);
}

TEST_F(system_assumed, G14_without_the_operators_right_it_is_over) {
    const auto who = where_->make_person("revoked");
    const std::string whose = " where id = '" + operator_id_ + "'";
    const std::pair<std::string, std::string> changes[] = {
        {"update control.account set active = false" + whose,
         "update control.account set active = true" + whose},
        {"update control.account set operator = false" + whose,
         "update control.account set operator = true" + whose},
        // Nobody acts as an operator, whenever the person became one.
        {"update control.account set operator = true where id = '" + who.user_id + "'",
         "update control.account set operator = false where id = '" + who.user_id + "'"}};
    for (const auto& [change, back] : changes) {
        renew_operator();
        const auto token = bearer(assumed_token(who));
        ASSERT_EQ(
            post_json(client_, "/api/v1/projects", {{"name", where_->fresh_slug("before")}}, token)
                .status,
            201);
        sql(change);
        const auto write = post_json(client_, "/api/v1/projects", {{"name", "after"}}, token);
        const auto left = alive(who);
        sql(back);
        EXPECT_TRUE(is_problem(write, 401, "invalid_token")) << change;
        EXPECT_EQ(left, "0") << change;
        wait_until("reads to be refused",
                   [&] { return get(client_, "/api/v1/projects", token).status == 401; });
        EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "after"}}, token),
                               401, "invalid_token"))
            << "it came back: " << change;
        EXPECT_EQ(get(client_, "/api/v1/projects", who.auth()).status, 200);
    }
}

TEST_F(system_assumed, a_member_that_changes_meanwhile_is_not_assumed) {
    const auto who = where_->make_person("racing");
    const std::pair<std::string, std::string> changes[] = {
        {"control.account set active = false where id = '" + operator_id_ + "'",
         "control.account set active = true where id = '" + operator_id_ + "'"},
        {"control.account set operator = true where id = '" + who.user_id + "'",
         "control.account set operator = false where id = '" + who.user_id + "'"},
        {"control.membership set status = 'removed' where user_id = '" + who.user_id + "'",
         "control.membership set status = 'active' where user_id = '" + who.user_id + "'"},
        {"control.tenant set status = 'suspended' where id = '" + who.tenant_id + "'",
         "control.tenant set status = 'ready' where id = '" + who.tenant_id + "'"}};
    for (const auto& [change, back] : changes) {
        renew_operator();
        const auto before = traces();
        sql_connection changing(where_->database().admin_conninfo());
        changing.query("begin; update " + change);
        auto answered = std::async(std::launch::async, [&] { return assume(form_for(who)); });
        wait_until("the operator to wait for that", [&] {
            return value(
                       "select count(*) from pg_stat_activity where datname = current_database()"
                       " and wait_event_type = 'Lock'") != "0";
        });
        changing.query("commit");
        const auto answer = answered.get();
        EXPECT_TRUE(answer.status == 409 || answer.status == 401) << change << answer.text();
        EXPECT_EQ(traces(), before) << change;
        sql("update " + back);
    }
    renew_operator();
    EXPECT_EQ(assume(form_for(who)).status, 200);
}

}  // namespace
}  // namespace insula::test
