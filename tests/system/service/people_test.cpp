// One person in several tenants, and what a tenant's people see and change of it.
#include "people.hpp"

#include "described.hpp"

namespace insula::test {
namespace {

class system_people : public testing::Test {
protected:
    static deployment& where() { return shared_deployment(); }
    http_answer rename(const person& by, std::string_view slug, const json::value& body,
                       http_fields more = {}) {
        return patch_json(client_, "/api/v1/tenants/" + std::string(slug), body,
                          by.auth_with(std::move(more)));
    }
    std::string name_of(const person& of) {
        return where().database().value_admin("select name from control.tenant where id = '" +
                                              of.tenant_id + "'");
    }

    http_client client_ = where().server().client();
};

TEST_F(system_people, G50_one_person_in_three_tenants) {
    const auto who = where().make_person("in-several");
    const auto host = where().make_person("host");
    const auto guest = join_another(where(), host, who, "admin");
    const auto slug = where().fresh_slug("founded");
    const auto founded = post_json(client_, "/api/v1/tenants",
                                   {{"name", "Founded Here"}, {"slug", slug}}, who.auth());
    ASSERT_EQ(founded.status, 202) << founded.text();
    ASSERT_EQ(text_of(parse(get(client_, *founded.field("Location") + "?wait=30")), "/status"),
              "ready");

    // Log-in without a slug offers what the list of the own tenants says, whichever the token's is.
    const auto login = post_json(client_, "/api/v1/auth/login",
                                 {{"email", who.email}, {"password", good_password}});
    EXPECT_TRUE(is_problem(login, 409, "tenant_required"));
    std::set<std::string> offered;
    const auto choice = parse(login);
    for (const auto& tenant : choice.at("tenants").as_array()) {
        offered.insert(text_of(tenant, "/slug"));
    }
    EXPECT_EQ(offered, (std::set<std::string>{who.slug, host.slug, slug}));
    const auto list = get(client_, "/api/v1/users/me/tenants", guest.auth());
    EXPECT_TRUE(is_described(client_, list, "get", "/api/v1/users/me/tenants"));
    EXPECT_EQ(list.body, get(client_, "/api/v1/users/me/tenants", who.auth()).body);
    const auto mine = parse(list);
    ASSERT_EQ(mine.at("items").as_array().size(), 3U);
    EXPECT_EQ(text_of(mine, "/items/0/slug"), slug) << "joined last first";
    EXPECT_EQ(text_of(mine, "/items/0/name"), "Founded Here");
    EXPECT_EQ(text_of(mine, "/items/0/role"), "owner");
    EXPECT_EQ(text_of(mine, "/items/1/slug"), host.slug);
    EXPECT_EQ(text_of(mine, "/items/1/role"), "admin");
    EXPECT_EQ(text_of(mine, "/items/1/id"), host.tenant_id);
    EXPECT_EQ(text_of(mine, "/items/2/slug"), who.slug);
    EXPECT_EQ(text_of(mine, "/items/2/status"), "ready");

    // From one to the other, each with its own role and rows.
    const auto switched =
        post_json(client_, "/api/v1/auth/switch-tenant", {{"tenant_slug", slug}}, guest.auth());
    ASSERT_EQ(switched.status, 200) << switched.text();
    EXPECT_EQ(text_of(parse(switched), "/tenant/role"), "owner");
    person third = who;
    third.slug = slug;
    third.token = text_of(parse(switched), "/access_token");
    make_project(client_, third, "of the third");
    EXPECT_EQ(look(client_, guest).body.find("of the third"), std::string::npos);
    EXPECT_TRUE(is_problem(
        get(client_, "/api/v1/members?limit=100", third.auth_with({{"X-Tenant-Slug", host.slug}})),
        403, "tenant_mismatch"));
    for (const auto& token : {who, guest, third}) {
        const auto me = parse(get(client_, "/api/v1/users/me", token.auth()));
        EXPECT_EQ(text_of(me, "/id"), who.user_id);
        EXPECT_EQ(text_of(me, "/email"), who.email);
        EXPECT_EQ(get(client_, "/api/v1/tenants/" + host.slug, token.auth()).status, 200);
    }
    // Once removed, the tenant is neither offered nor seen.
    ASSERT_EQ(remove(client_, host, guest).status, 204);
    EXPECT_EQ(
        parse(get(client_, "/api/v1/users/me/tenants", who.auth())).at("items").as_array().size(),
        2U);
    EXPECT_TRUE(
        is_problem(get(client_, "/api/v1/tenants/" + host.slug, who.auth()), 404, "not_found"));
    EXPECT_TRUE(is_problem(
        post_json(client_, "/api/v1/auth/switch-tenant", {{"tenant_slug", host.slug}}, who.auth()),
        404, "not_found"));
}

TEST_F(system_people, the_own_tenants_come_page_by_page_with_cursors_of_ones_own) {
    const auto who = where().make_person("pages");
    const auto host = where().make_person("pages-host");
    (void)join_another(where(), host, who, "member");
    const auto first = parse(get(client_, "/api/v1/users/me/tenants?limit=1", who.auth()));
    EXPECT_EQ(text_of(first, "/items/0/slug"), host.slug);
    const auto cursor = text_of(first, "/next_cursor");
    const auto second =
        parse(get(client_, "/api/v1/users/me/tenants?limit=1&cursor=" + cursor, who.auth()));
    EXPECT_EQ(text_of(second, "/items/0/slug"), who.slug);
    EXPECT_TRUE(second.at("next_cursor").is_null());
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/users/me/tenants?cursor=" + cursor, host.auth()),
                           400, "invalid_cursor"));
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/members?cursor=" + cursor, who.auth()), 400,
                           "invalid_cursor"));
}

TEST_F(system_people, an_admin_renames_the_own_tenant) {
    const auto owner = where().make_person("renamed");
    const auto admin = make_member(where(), owner, "admin");
    const auto member = make_member(where(), owner, "member");
    const auto tag =
        get(client_, "/api/v1/tenants/" + owner.slug, owner.auth()).field("ETag").value_or("");
    const auto changed =
        rename(admin, owner.slug, {{"name", "  Better Name "}}, {{"If-Match", tag}});
    EXPECT_TRUE(is_described(client_, changed, "patch", "/api/v1/tenants/{slug}"));
    EXPECT_EQ(text_of(parse(changed), "/name"), "Better Name");
    EXPECT_EQ(text_of(parse(changed), "/role"), "admin");
    const auto now = changed.field("ETag").value_or("");
    EXPECT_NE(now, tag);
    const auto read = get(client_, "/api/v1/tenants/" + owner.slug, member.auth());
    const auto row = [](const std::string& tag) { return tag.substr(0, tag.find('-')); };
    EXPECT_EQ(row(read.field("ETag").value_or("")), row(now)) << "of the same version";
    EXPECT_NE(read.field("ETag"), now) << "and another answer: another role";
    EXPECT_EQ(text_of(parse(read), "/name"), "Better Name");

    EXPECT_TRUE(is_problem(rename(owner, owner.slug, {{"name", "Stale"}}, {{"If-Match", tag}}), 412,
                           "precondition_failed"));
    EXPECT_TRUE(
        is_problem(rename(owner, owner.slug, {{"name", "Weak"}}, {{"If-Match", "W/" + now}}), 412,
                   "precondition_failed"));
    EXPECT_TRUE(is_problem(rename(member, owner.slug, {{"name", "By Member"}}), 403, "forbidden"));
    EXPECT_TRUE(is_problem(rename(owner, owner.slug, json::object{}), 422, "validation_failed"));
    EXPECT_TRUE(is_problem(rename(owner, owner.slug, {{"name", ""}}), 422, "validation_failed"));
    EXPECT_EQ(name_of(owner), "Better Name");
    EXPECT_EQ(rename(owner, owner.slug, {{"name", "Any"}}, {{"If-Match", "*"}}).status, 200);
    EXPECT_EQ(where().database().value_admin(
                  "select string_agg(user_id || ' ' || (changes ->> 'name'), ', ' order by "
                  "created_at) from control.audit_log where action = 'tenant.update' and "
                  "tenant_id = '" +
                  owner.tenant_id + "'"),
              admin.user_id + " Better Name, " + owner.user_id + " Any");
    // A member of two tenants changes the token's only.
    const auto other = where().make_person("renamed-other");
    const auto there = join_another(where(), owner, other, "owner");
    EXPECT_TRUE(is_problem(rename(other, owner.slug, {{"name", "X"}}), 404, "not_found"));
    EXPECT_TRUE(is_problem(rename(other, "no-such-tenant", {{"name", "X"}}), 404, "not_found"));
    EXPECT_EQ(rename(there, owner.slug, {{"name", "By Another"}}).status, 200);
    EXPECT_EQ(name_of(other), "Analytical Engines");
}

TEST_F(system_people, who_joined_another_tenant_keeps_the_account_when_the_own_one_is_not_made) {
    const auto host = where().make_person("keeps-host");
    auto who = host;
    const auto slug = where().fresh_slug("never-made");
    who.email = slug + "@example.org";
    // Provisioning waits for this connection, and fails then.
    const auto original = where().database().value_admin(
        "select pg_get_functiondef('provision.create_tenant_schema(uuid)'::regprocedure)");
    where().database().query_admin(
        "create or replace function provision.create_tenant_schema(tenant uuid) returns integer "
        "language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$ "
        "begin perform pg_advisory_xact_lock(4711); raise exception using errcode = 'P0001', "
        "message = 'refused by the test'; end $$");
    sql_connection holding(where().database().admin_conninfo());
    holding.query("select pg_advisory_lock(4711)");
    const auto form = registration_form(slug, who.email);
    const auto registered = parse(post_json(client_, "/api/v1/auth/register", form));
    const auto first = where().wait_for_mail(who.email);
    (void)invited(client_, host, who.email, "owner");
    const auto joined =
        accept(client_, where().wait_for_mail(who.email, {first}), {{"password", good_password}});
    ASSERT_EQ(joined.status, 200) << joined.text();
    who.user_id = text_of(parse(joined), "/user_id");
    who.token = where().log_in(who);
    ASSERT_EQ(remove(client_, host, host).status, 204) << "there is another owner";

    holding.query("select pg_advisory_unlock(4711)");
    const auto own = get(client_, text_of(registered, "/status_url") + "?wait=30");
    where().database().query_admin(original);
    ASSERT_EQ(text_of(parse(own), "/status"), "failed") << own.text();

    EXPECT_EQ(log_in(client_, who).status, 200);
    EXPECT_EQ(look(client_, who).status, 200);
    EXPECT_EQ(post_json(client_, "/api/v1/projects", {{"name", "kept"}}, who.auth()).status, 201);
    EXPECT_TRUE(is_problem(
        post_json(client_, "/api/v1/auth/register", registration_form(slug + "-2", who.email)), 409,
        "email_taken"))
        << "nobody else gets the address";
    EXPECT_EQ(membership(where(), who), "owner active");
}

TEST_F(system_people, a_released_account_neither_reads_nor_writes) {
    const auto who = where().make_person("released");
    ASSERT_EQ(look(client_, who).status, 200);
    where().database().query_admin("update control.account set released_at = now() where id = $1",
                                   {who.user_id});
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, who.auth()), 401,
                           "invalid_token"));
    for (const char* path : {"/api/v1/projects", "/api/v1/members", "/api/v1/users/me"}) {
        wait_until("reads to be refused",
                   [&] { return get(client_, path, who.auth()).status == 401; });
    }
}

}  // namespace
}  // namespace insula::test
