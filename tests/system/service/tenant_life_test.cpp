// The life of a tenant over HTTP: made, used, deleted, taken back, suspended, retried, purged.
#include "described.hpp"

#include <array>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// How many schemas, roles, memberships, open sessions and registrations there are of a tenant.
std::string remains(deployment& where, const person& who) {
    return where.database().value_admin(
        "select concat_ws(' ', (select count(*) from pg_namespace where nspname = '" +
        who.schema() + "'), (select count(*) from pg_roles where rolname = '" + who.schema() +
        "'), (select count(*) from control.membership where tenant_id = '" + who.tenant_id +
        "'), (select count(*) from control.session where ended_at is null and tenant_id = '" +
        who.tenant_id + "'), (select count(*) from control.registration where tenant_id = '" +
        who.tenant_id + "'))");
}

class system_tenant_life : public testing::Test {
protected:
    static void SetUpTestSuite() {
        where_ = std::make_unique<deployment>(environment{{"INSULA_DELETION_GRACE", "1h"}});
    }
    static void TearDownTestSuite() { where_.reset(); }

    http_client client_ = where_->server().client();

    http_answer log_in(const person& who) {
        return post_json(
            client_, "/api/v1/auth/login",
            {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}});
    }
    http_answer remove(const person& who, const std::string& confirm) {
        return delete_json(client_, "/api/v1/tenants/" + who.slug, {{"confirm", confirm}},
                           who.auth());
    }
    http_answer restore(const person& who) {
        return client_.send("POST", "/api/v1/tenants/" + who.slug + "/restore", who.auth());
    }
    http_answer office(const std::string& method, const std::string& path,
                       const http_fields& auth) {
        return client_.send(method, "/api/v1/admin" + path, auth);
    }
    std::string status_of(const person& who) {
        return where_->database().value_admin("select status from control.tenant where id = '" +
                                              who.tenant_id + "'");
    }
    void set_role(person& who, const char* role) {
        where_->database().query_admin("update control.membership set role = $1 where user_id = $2",
                                       {role, who.user_id});
        who.token = where_->log_in(who);
    }
    std::string audit_rows(const person& who, const std::string& action) {
        return where_->database().value_admin(
            "select count(*) from control.audit_log where tenant_id = '" + who.tenant_id +
            "' and action = '" + action + "'");
    }
    std::string projects_of(const person& who) {
        return where_->database().value_admin("select count(*) from " + who.schema() + ".projects");
    }

    static inline std::unique_ptr<deployment> where_;
};

TEST_F(system_tenant_life, G50_from_registration_to_purge) {
    auto who = where_->make_person("whole-life");
    make_project(client_, who, "kept");
    const auto operators = where_->operator_auth();

    // Deleted by its owner: nobody writes, the owner gets in, nothing is lost.
    const auto deleted = remove(who, who.slug);
    ASSERT_EQ(deleted.status, 202) << deleted.text();
    EXPECT_TRUE(is_described(client_, deleted, "delete", "/api/v1/tenants/{slug}"));
    EXPECT_EQ(text_of(parse(deleted), "/status"), "pending_deletion");
    const auto left = where_->database().value_admin("select extract(epoch from '" +
                                                     text_of(parse(deleted), "/purge_at") +
                                                     "'::timestamptz - now())::integer");
    EXPECT_NEAR(std::stoi(left), 3600, 60);
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, who.auth()), 409,
                           "tenant_pending_deletion"));
    EXPECT_TRUE(is_problem(remove(who, who.slug), 409, "tenant_pending_deletion"));
    const auto again = log_in(who);
    ASSERT_EQ(again.status, 200) << again.text();

    // Taken back with a token from before as with one from after.
    who.token = text_of(parse(again), "/access_token");
    const auto restored = restore(who);
    ASSERT_EQ(restored.status, 200) << restored.text();
    EXPECT_TRUE(is_described(client_, restored, "post", "/api/v1/tenants/{slug}/restore"));
    EXPECT_EQ(text_of(parse(restored), "/status"), "ready");
    EXPECT_EQ(text_of(parse(restored), "/slug"), who.slug);
    EXPECT_EQ(text_of(parse(restored), "/role"), "owner");
    EXPECT_TRUE(is_problem(restore(who), 409, "conflict"));
    const auto list = get(client_, "/api/v1/projects", who.auth());
    EXPECT_EQ(text_of(parse(list), "/items/0/name"), "kept") << list.text();
    make_project(client_, who, "after");

    // Deleted by an operator, at once.
    const auto purged = delete_json(client_, "/api/v1/admin/tenants/" + who.tenant_id,
                                    {{"confirm", who.slug}, {"immediately", true}}, operators);
    ASSERT_EQ(purged.status, 202) << purged.text();
    EXPECT_TRUE(is_described(client_, purged, "delete", "/api/v1/admin/tenants/{id}"));
    EXPECT_EQ(text_of(parse(purged), "/status"), "pending_deletion");
    wait_until("the purge", [&] { return status_of(who) == "gone"; });
    EXPECT_EQ(remains(*where_, who), "0 0 0 0 0");
    EXPECT_TRUE(is_problem(log_in(who), 401, "invalid_credentials"));
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, who.auth()), 401,
                           "invalid_token"));
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/projects", who.auth()), 401, "invalid_token"));
    EXPECT_EQ(text_of(parse(office("GET", "/tenants/" + who.tenant_id, operators)), "/status"),
              "gone");
    EXPECT_EQ(audit_rows(who, "tenant.restore"), "1");
    EXPECT_GE(std::stoi(audit_rows(who, "tenant.delete")), 2);

    // The slug is free for somebody else.
    const auto next = post_json(client_, "/api/v1/auth/register",
                                registration_form(who.slug, "next-owner@example.org"));
    ASSERT_EQ(next.status, 202) << next.text();
    EXPECT_EQ(text_of(parse(get(client_, *next.field("Location") + "?wait=30")), "/status"),
              "ready");
}

TEST_F(system_tenant_life, deletion_asks_for_the_slug_and_the_owner) {
    auto who = where_->make_person("careful");
    EXPECT_TRUE(is_problem(remove(who, "another-slug"), 422, "validation_failed"));
    EXPECT_TRUE(is_problem(remove(who, ""), 422, "validation_failed"));
    const auto other = where_->make_person("careful-other");
    for (const auto& slug : {other.slug, std::string("no-such-tenant")}) {
        EXPECT_TRUE(is_problem(
            delete_json(client_, "/api/v1/tenants/" + slug, {{"confirm", slug}}, who.auth()), 404,
            "not_found"));
        EXPECT_TRUE(
            is_problem(client_.send("POST", "/api/v1/tenants/" + slug + "/restore", who.auth()),
                       404, "not_found"));
    }
    for (const char* role : {"admin", "member"}) {
        set_role(who, role);
        EXPECT_TRUE(is_problem(remove(who, who.slug), 403, "forbidden")) << role;
        EXPECT_TRUE(is_problem(restore(who), 403, "forbidden")) << role;
    }
    EXPECT_EQ(status_of(who), "ready");
    EXPECT_EQ(status_of(other), "ready");
    // An owner of yesterday: the token still says so, the database does not.
    set_role(who, "owner");
    ASSERT_EQ(remove(who, who.slug).status, 202);
    where_->database().query_admin(
        "update control.membership set role = 'member' where user_id = $1", {who.user_id});
    EXPECT_TRUE(is_problem(restore(who), 403, "forbidden"));
    EXPECT_EQ(status_of(who), "pending_deletion");
}

TEST_F(system_tenant_life, a_user_makes_further_tenants) {
    const auto who = where_->make_person("founder");
    const auto slug = where_->fresh_slug("second");
    const auto made =
        post_json(client_, "/api/v1/tenants", {{"name", "The Second"}, {"slug", slug}}, who.auth());
    ASSERT_EQ(made.status, 202) << made.text();
    EXPECT_TRUE(is_described(client_, made, "post", "/api/v1/tenants"));
    const auto body = parse(made);
    EXPECT_EQ(made.field("Location"), text_of(body, "/status_url"));
    EXPECT_EQ(text_of(body, "/tenant/status"), "provisioning");
    EXPECT_EQ(text_of(body, "/status_url"),
              "/api/v1/registrations/" + text_of(body, "/registration_id"));
    const auto status = get(client_, text_of(body, "/status_url") + "?wait=30");
    EXPECT_EQ(text_of(parse(status), "/status"), "ready") << status.text();
    EXPECT_EQ(text_of(parse(status), "/tenant/name"), "The Second");
    const auto tokens =
        post_json(client_, "/api/v1/auth/login",
                  {{"email", who.email}, {"password", good_password}, {"tenant_slug", slug}});
    EXPECT_EQ(text_of(parse(tokens), "/tenant/role"), "owner") << tokens.text();
    // Now one must be named.
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/auth/login",
                                     {{"email", who.email}, {"password", good_password}}),
                           409, "tenant_required"));
    EXPECT_TRUE(is_problem(
        post_json(client_, "/api/v1/tenants", {{"name", "x"}, {"slug", slug}}, who.auth()), 409,
        "slug_taken"));
    EXPECT_TRUE(is_problem(
        post_json(client_, "/api/v1/tenants", {{"name", "x"}, {"slug", where_->fresh_slug("none")}},
                  where_->operator_auth()),
        403, "forbidden"));
    // Purging the second leaves the account and the first.
    const http_fields owner{{"Authorization", "Bearer " + text_of(parse(tokens), "/access_token")}};
    EXPECT_EQ(delete_json(client_, "/api/v1/tenants/" + slug, {{"confirm", slug}}, owner).status,
              202);
    EXPECT_EQ(log_in(who).status, 200);
    make_project(client_, who, "still here");
}

TEST_F(system_tenant_life, a_failed_registration_says_why_and_can_be_retried) {
    const auto original = where_->database().value_admin(
        "select pg_get_functiondef('provision.create_tenant_schema(uuid)'::regprocedure)");
    const auto slug = where_->fresh_slug("retried");
    const auto register_now = [&](const std::string& email) {
        return post_json(client_, "/api/v1/auth/register", registration_form(slug, email));
    };
    where_->database().query_admin(
        "create or replace function provision.create_tenant_schema(tenant uuid) returns integer "
        "language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$ "
        "begin raise exception using errcode = 'P0001', message = 'refused by the test'; end $$");
    const auto accepted = register_now(slug + "@example.org");
    ASSERT_EQ(accepted.status, 202) << accepted.text();
    const auto url = *accepted.field("Location");
    const auto ended = get(client_, url + "?wait=30");
    const auto body = parse(ended);
    EXPECT_EQ(text_of(body, "/status"), "failed") << ended.text();
    EXPECT_THAT(text_of(body, "/error/detail"), HasSubstr("POST " + url + "/retry"));
    EXPECT_EQ(text_of(body, "/steps/0/status"), "failed") << ended.text();
    // Still failing: the retry is accepted, and fails again.
    const auto first = client_.send("POST", url + "/retry", {});
    ASSERT_EQ(first.status, 202) << first.text();
    EXPECT_EQ(text_of(parse(get(client_, url + "?wait=30")), "/status"), "failed");
    where_->database().query_admin(original);
    const auto second = client_.send("POST", url + "/retry", {});
    ASSERT_EQ(second.status, 202) << second.text();
    EXPECT_TRUE(
        is_described(client_, second, "post", "/api/v1/registrations/{registration_id}/retry"));
    const auto ready = get(client_, url + "?wait=30");
    EXPECT_EQ(text_of(parse(ready), "/status"), "ready") << ready.text();
    EXPECT_TRUE(parse(ready).at("error").is_null());
    EXPECT_TRUE(is_problem(client_.send("POST", url + "/retry", {}), 409, "not_failed"));
    EXPECT_TRUE(is_problem(
        client_.send("POST", "/api/v1/registrations/" + std::string(22, 'A') + "/retry", {}), 404,
        "not_found"));
    EXPECT_TRUE(is_problem(register_now("somebody-else@example.org"), 409, "slug_taken"));
}

TEST_F(system_tenant_life, whoever_waits_is_told_that_a_step_is_tried_again) {
    const auto original = where_->database().value_admin(
        "select pg_get_functiondef('provision.create_tenant_schema(uuid)'::regprocedure)");
    where_->database().query_admin(
        "create or replace function provision.create_tenant_schema(tenant uuid) returns integer "
        "language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$ "
        "begin raise exception using errcode = '40001', message = 'refused by the test'; end $$");
    const auto slug = where_->fresh_slug("again");
    const auto accepted =
        post_json(client_, "/api/v1/auth/register", registration_form(slug, slug + "@example.org"));
    ASSERT_EQ(accepted.status, 202) << accepted.text();
    const auto url = *accepted.field("Location");
    http_answer seen;
    wait_until("a second attempt", [&] {
        seen = get(client_, url);
        return text_of(parse(seen), "/steps/0/status") == "retrying" &&
               std::stoi(text_of(parse(seen), "/steps/0/attempts")) >= 2;
    });
    where_->database().query_admin(original);
    EXPECT_TRUE(is_described(client_, seen, "get", "/api/v1/registrations/{registration_id}"));
    EXPECT_EQ(text_of(parse(seen), "/status"), "provisioning") << seen.text();
    EXPECT_TRUE(parse(seen).at("error").is_null()) << seen.text();
    EXPECT_EQ(seen.body.find("refused by the test"), std::string::npos);
    const auto ready = get(client_, url + "?wait=30");
    EXPECT_EQ(text_of(parse(ready), "/status"), "ready") << ready.text();
    EXPECT_EQ(text_of(parse(ready), "/steps/0/status"), "done") << ready.text();
}

TEST_F(system_tenant_life, operators_suspend_and_resume) {
    auto who = where_->make_person("suspended");
    const auto operators = where_->operator_auth();
    const auto path = "/tenants/" + who.tenant_id;
    EXPECT_TRUE(is_problem(office("POST", path + "/resume", operators), 409, "conflict"));
    EXPECT_TRUE(is_problem(office("POST", path + "/retry", operators), 409, "not_failed"));
    const auto suspended = office("POST", path + "/suspend", operators);
    ASSERT_EQ(suspended.status, 200) << suspended.text();
    EXPECT_TRUE(is_described(client_, suspended, "post", "/api/v1/admin/tenants/{id}/suspend"));
    EXPECT_EQ(text_of(parse(suspended), "/status"), "suspended");
    EXPECT_TRUE(is_problem(office("POST", path + "/suspend", operators), 409, "conflict"));
    EXPECT_TRUE(is_problem(log_in(who), 403, "tenant_suspended"));
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, who.auth()), 403,
                           "tenant_suspended"));
    EXPECT_TRUE(is_problem(remove(who, who.slug), 403, "tenant_suspended"));
    EXPECT_TRUE(is_problem(restore(who), 403, "tenant_suspended"));
    const auto resumed = office("POST", path + "/resume", operators);
    ASSERT_EQ(resumed.status, 200) << resumed.text();
    EXPECT_EQ(text_of(parse(resumed), "/status"), "ready");
    make_project(client_, who, "again");
    EXPECT_EQ(audit_rows(who, "tenant.suspend"), "1");
    EXPECT_EQ(audit_rows(who, "tenant.resume"), "1");
}

TEST_F(system_tenant_life, operators_confirm_a_deletion_with_the_slug) {
    const auto who = where_->make_person("confirmed");
    const auto operators = where_->operator_auth();
    const auto path = "/api/v1/admin/tenants/" + who.tenant_id;
    EXPECT_TRUE(is_problem(delete_json(client_, path, {{"confirm", "wrong"}}, operators), 422,
                           "validation_failed"));
    EXPECT_TRUE(is_problem(
        delete_json(client_, "/api/v1/admin/tenants/01900000-0000-7000-8000-000000000000",
                    {{"confirm", who.slug}}, operators),
        404, "not_found"));
    EXPECT_EQ(status_of(who), "ready");
    const auto later = delete_json(client_, path, {{"confirm", who.slug}}, operators);
    ASSERT_EQ(later.status, 202) << later.text();
    EXPECT_FALSE(parse(later).at("purge_at").is_null()) << later.text();
    EXPECT_TRUE(
        is_problem(delete_json(client_, path, {{"confirm", who.slug}}, operators), 409, ""));
    // Its owner takes it back; then the grace is cut short.
    EXPECT_EQ(restore(who).status, 200);
    EXPECT_EQ(remove(who, who.slug).status, 202);
    EXPECT_EQ(delete_json(client_, path, {{"confirm", who.slug}, {"immediately", true}}, operators)
                  .status,
              202);
    wait_until("the purge", [&] { return status_of(who) == "gone"; });
    EXPECT_EQ(remains(*where_, who), "0 0 0 0 0");
}

TEST_F(system_tenant_life, G44_an_operators_act_that_cannot_be_audited_does_not_happen) {
    const auto who = where_->make_person("unaudited");
    const auto operators = where_->operator_auth();
    where_->database().query_admin(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise "
        "exception 'refused by the test'; end $$; grant usage on schema public to public;"
        "create trigger test_refuses before insert on control.audit_log for each row execute "
        "function public.refuse()");
    std::vector<http_answer> answers;
    for (const char* what : {"/suspend", "/resume", "/retry"}) {
        answers.push_back(office("POST", "/tenants/" + who.tenant_id + what, operators));
    }
    answers.push_back(delete_json(client_, "/api/v1/admin/tenants/" + who.tenant_id,
                                  {{"confirm", who.slug}, {"immediately", true}}, operators));
    answers.push_back(remove(who, who.slug));
    where_->database().query_admin(
        "drop trigger test_refuses on control.audit_log; drop function public.refuse();"
        "revoke usage on schema public from public");
    EXPECT_EQ(answers[0].status, 500) << answers[0].text();
    EXPECT_EQ(answers[3].status, 500) << answers[3].text();
    EXPECT_EQ(answers[4].status, 500) << answers[4].text();
    EXPECT_EQ(status_of(who), "ready");
    EXPECT_EQ(where_->database().value_admin(
                  "select count(*) from queue.run where kind = 'tenant.delete' and tenant = '" +
                  who.tenant_id + "'"),
              "0");
    make_project(client_, who, "untouched");
}

TEST_F(system_tenant_life, G34_changes_of_one_tenant_that_race_leave_it_in_one_piece) {
    const auto who = where_->make_person("raced");
    make_project(client_, who, "kept");
    const auto operators = where_->operator_auth();
    const auto path = "/api/v1/admin/tenants/" + who.tenant_id;
    served second(where_->variables());
    const auto change = [&](http_client& client, int what) {
        switch (what % 4) {
            case 0:
                return client.send("POST", path + "/suspend", operators);
            case 1:
                return client.send("POST", path + "/resume", operators);
            case 2:
                return delete_json(client, path, {{"confirm", who.slug}}, operators);
            default:
                return client.send("POST", "/api/v1/tenants/" + who.slug + "/restore", who.auth());
        }
    };
    std::vector<std::thread> threads;
    std::array<std::vector<http_answer>, 4> answers;
    for (std::size_t t = 0; t < answers.size(); ++t) {
        threads.emplace_back([&, t] {
            auto client = t % 2 == 0 ? where_->server().client() : second.client();
            for (int i = 0; i < 20; ++i) {
                answers[t].push_back(change(client, static_cast<int>(t) + 3 * i));
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    int changes = 0;
    for (const auto& of_one : answers) {
        for (const auto& answer : of_one) {
            changes += answer.status < 300 ? 1 : 0;
            EXPECT_TRUE(answer.status < 300 || answer.status == 409 || answer.status == 403)
                << answer.text();
        }
    }
    EXPECT_GT(changes, 4);
    // As many audit rows as changes, and not more than one deletion that waits.
    EXPECT_EQ(where_->database().value_admin(
                  "select count(*) from control.audit_log where action in ('tenant.suspend', "
                  "'tenant.resume', 'tenant.delete', 'tenant.restore') and tenant_id = '" +
                  who.tenant_id + "'"),
              std::to_string(changes));
    const auto waiting = [&] {
        return where_->database().value_admin(
            "select count(*) from queue.run r where r.kind = 'tenant.delete' and r.tenant = '" +
            who.tenant_id +
            "' and not exists (select from queue.cancellation c where c.run = r.id)");
    };
    if (status_of(who) == "pending_deletion") {
        EXPECT_EQ(waiting(), "1");
        (void)change(client_, 3);
    }
    if (status_of(who) == "suspended") {
        (void)change(client_, 1);
    }
    EXPECT_EQ(status_of(who), "ready");
    wait_until("the cancelled deletions to end", [&] { return waiting() == "0"; });
    EXPECT_EQ(projects_of(who), "1");
    make_project(client_, who, "after");
}

// The grace of this one is a second, so that the purge comes by itself.
TEST(system_tenant_grace, G35_a_deleted_tenant_is_purged_when_its_grace_is_over) {
    deployment where({{"INSULA_DELETION_GRACE", "1s"}});
    const auto who = where.make_person("fleeting");
    const auto stays = where.make_person("staying");
    auto client = where.server().client();
    make_project(client, who, "gone soon");
    ASSERT_EQ(
        delete_json(client, "/api/v1/tenants/" + who.slug, {{"confirm", who.slug}}, who.auth())
            .status,
        202);
    wait_until("the purge", [&] { return remains(where, who) == "0 0 0 0 0"; });
    wait_until("the end of the run", [&] {
        return where.database().value_admin("select count(*) from queue.run") == "0";
    });
    EXPECT_TRUE(is_client_error(
        client.send("POST", "/api/v1/tenants/" + who.slug + "/restore", who.auth())));
    EXPECT_EQ(remains(where, stays), "1 1 1 1 1");
    make_project(client, stays, "still here");
}

}  // namespace
}  // namespace insula::test
