// Who belongs to a tenant, who may change that, and how soon it counts.
#include "described.hpp"
#include "people.hpp"

#include <array>
#include <future>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view nobody_id = "01900000-0000-7000-8000-000000000000";

class system_members : public testing::Test {
protected:
    static deployment& where() { return shared_deployment(); }
    std::string owners(const person& of) {
        return where().database().value_admin(
            "select count(*) from control.membership where role = 'owner' and status = 'active' "
            "and tenant_id = '" +
            of.tenant_id + "'");
    }

    http_client client_ = where().server().client();
};

TEST_F(system_members, are_listed_newest_first_page_by_page) {
    const auto owner = where().make_person("listed");
    const auto admin = make_member(where(), owner, "admin");
    const auto member = make_member(where(), owner, "member");
    const auto all = get(client_, "/api/v1/members", member.auth());
    EXPECT_TRUE(is_described(client_, all, "get", "/api/v1/members"));
    const auto page = parse(all);
    ASSERT_EQ(page.at("items").as_array().size(), 3U);
    EXPECT_TRUE(page.at("next_cursor").is_null());
    EXPECT_EQ(text_of(page, "/items/0/user_id"), member.user_id);
    EXPECT_EQ(text_of(page, "/items/0/email"), member.email);
    EXPECT_EQ(text_of(page, "/items/0/full_name"), "Grace Hopper");
    EXPECT_EQ(text_of(page, "/items/0/role"), "member");
    EXPECT_EQ(text_of(page, "/items/1/role"), "admin");
    EXPECT_EQ(text_of(page, "/items/2/user_id"), owner.user_id);

    std::string cursor;
    for (const auto& expected : {member, admin, owner}) {
        const auto one = parse(
            get(client_, "/api/v1/members?limit=1" + (cursor.empty() ? "" : "&cursor=" + cursor),
                owner.auth()));
        ASSERT_EQ(one.at("items").as_array().size(), 1U);
        EXPECT_EQ(text_of(one, "/items/0/user_id"), expected.user_id);
        cursor = one.at("next_cursor").is_null() ? "" : text_of(one, "/next_cursor");
    }
    EXPECT_EQ(cursor, "");
}

TEST_F(system_members, one_is_read_with_its_etag) {
    const auto owner = where().make_person("one-member");
    const auto member = make_member(where(), owner, "member");
    const auto path = "/api/v1/members/" + member.user_id;
    const auto one = get(client_, path, member.auth());
    EXPECT_TRUE(is_described(client_, one, "get", "/api/v1/members/{user_id}"));
    EXPECT_EQ(text_of(parse(one), "/role"), "member");
    const auto tag = one.field("ETag").value_or("");
    EXPECT_EQ(get(client_, path, owner.auth_with({{"If-None-Match", tag}})).status, 304);
    EXPECT_TRUE(is_problem(set_role(client_, owner, member, "admin", {{"If-Match", "\"v9\""}}), 412,
                           "precondition_failed"));
    EXPECT_EQ(membership(where(), member), "member active");
    const auto changed = set_role(client_, owner, member, "admin", {{"If-Match", tag}});
    EXPECT_TRUE(is_described(client_, changed, "patch", "/api/v1/members/{user_id}"));
    EXPECT_EQ(text_of(parse(changed), "/role"), "admin");
    EXPECT_NE(changed.field("ETag").value_or(""), tag);
    EXPECT_TRUE(is_problem(client_.send("DELETE", path, owner.auth_with({{"If-Match", tag}})), 412,
                           "precondition_failed"));
    EXPECT_EQ(membership(where(), member), "admin active");
}

TEST_F(system_members, not_modified_is_what_reads_the_same) {
    const auto owner = where().make_person("unmodified");
    auto member = make_member(where(), owner, "member");
    const auto read = [&](const std::string& path, const http_fields& more) {
        return get(client_, path, member.auth_with(more));
    };
    const auto path = "/api/v1/members/" + member.user_id;
    const auto named = read(path, {}).field("ETag").value_or("");
    EXPECT_EQ(read(path, {{"If-None-Match", named}}).status, 304);
    ASSERT_EQ(
        patch_json(client_, "/api/v1/users/me", {{"full_name", "Renamed"}}, member.auth()).status,
        200);
    const auto again = read(path, {{"If-None-Match", named}});
    ASSERT_EQ(again.status, 200) << "the name is part of the answer";
    EXPECT_NE(again.field("ETag"), named);
    EXPECT_EQ(read(path, {{"If-None-Match", *again.field("ETag")}}).status, 304);

    const auto tenant = "/api/v1/tenants/" + owner.slug;
    const auto seen = read(tenant, {}).field("ETag").value_or("");
    EXPECT_EQ(read(tenant, {{"If-None-Match", seen}}).status, 304);
    // A membership that was not changed itself: the tag is good for If-Match as before.
    ASSERT_EQ(set_role(client_, owner, member, "admin", {{"If-Match", named}}).status, 200);
    member.token = where().log_in(member);
    EXPECT_EQ(read(tenant, {{"If-None-Match", seen}}).status, 200) << "the own role, too";
    EXPECT_EQ(
        patch_json(client_, tenant, {{"name", "With It"}}, member.auth_with({{"If-Match", seen}}))
            .status,
        200);
}

TEST_F(system_members, a_changed_role_needs_a_new_token_and_the_same_role_changes_nothing) {
    const auto owner = where().make_person("role");
    auto member = make_member(where(), owner, "member");
    EXPECT_EQ(look(client_, member).status, 200);
    EXPECT_EQ(set_role(client_, owner, member, "member").status, 200);
    EXPECT_EQ(look(client_, member).status, 200) << "the role was that already";
    EXPECT_EQ(audited(where(), owner, "member.role_change"), "0");
    EXPECT_EQ(set_role(client_, owner, member, "admin").status, 200);
    EXPECT_TRUE(is_problem(look(client_, member), 401, "invalid_token"));
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/projects", {{"name", "x"}}, member.auth()),
                           401, "invalid_token"));
    const auto tokens = parse(log_in(client_, member));
    EXPECT_EQ(text_of(tokens, "/tenant/role"), "admin");
    member.token = text_of(tokens, "/access_token");
    EXPECT_EQ(get(client_, "/api/v1/invites", member.auth()).status, 200);
    EXPECT_EQ(where().database().value_admin(
                  "select concat_ws(' ', user_id, entity_type, entity_id, changes ->> 'was',"
                  " changes ->> 'role') from control.audit_log where action = 'member.role_change'"
                  " and tenant_id = '" +
                  owner.tenant_id + "'"),
              owner.user_id + " member " + member.user_id + " member admin");
}

TEST_F(system_members, who_may_change_whom) {
    const auto owner = where().make_person("rights");
    auto admin = make_member(where(), owner, "admin");
    const auto admin2 = make_member(where(), owner, "admin");
    const auto member = make_member(where(), owner, "member");
    const auto member2 = make_member(where(), owner, "member");
    // A member changes nobody.
    EXPECT_TRUE(is_problem(set_role(client_, member, member2, "admin"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(set_role(client_, member, member, "admin"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(remove(client_, member, member2), 403, "forbidden"));
    EXPECT_TRUE(is_problem(remove(client_, member, owner), 403, "forbidden"));
    // An admin everybody but owners, and makes none.
    EXPECT_TRUE(is_problem(set_role(client_, admin, member, "owner"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(set_role(client_, admin, admin, "owner"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(set_role(client_, admin, owner, "member"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(remove(client_, admin, owner), 403, "forbidden"));
    EXPECT_EQ(set_role(client_, admin, member2, "admin").status, 200);
    EXPECT_EQ(set_role(client_, admin, admin2, "member").status, 200);
    EXPECT_EQ(remove(client_, admin, admin2).status, 204);
    // An owner everybody.
    EXPECT_EQ(set_role(client_, owner, admin, "owner").status, 200);
    EXPECT_EQ(set_role(client_, owner, admin, "admin").status, 200);
    // Nobody is there, or not here.
    const auto other = where().make_person("rights-elsewhere");
    for (const auto& id :
         {std::string(nobody_id), other.user_id, admin2.user_id, std::string("x")}) {
        person nobody;
        nobody.user_id = id;
        EXPECT_TRUE(is_problem(set_role(client_, owner, nobody, "admin"), 404, "not_found"));
        EXPECT_TRUE(is_problem(remove(client_, owner, nobody), 404, "not_found"));
        EXPECT_TRUE(
            is_problem(get(client_, "/api/v1/members/" + id, owner.auth()), 404, "not_found"));
    }
    EXPECT_EQ(membership(where(), owner), "owner active");
    EXPECT_EQ(membership(where(), other), "owner active");
    EXPECT_EQ(membership(where(), member), "member active");
}

// The token says admin, and nobody has told the session otherwise: only the database's own look at
// the membership refuses this.
TEST_F(system_members, the_database_judges_the_role_and_not_the_token) {
    const auto owner = where().make_person("judged");
    const auto admin = make_member(where(), owner, "admin");
    const auto member = make_member(where(), owner, "member");
    const auto pending = invited(client_, admin, where().fresh_slug("waits") + "@x.org", "member");
    where().database().query_admin(
        "update control.membership set role = 'member' where user_id = $1", {admin.user_id});
    EXPECT_TRUE(is_problem(set_role(client_, admin, member, "admin"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(remove(client_, admin, member), 403, "forbidden"));
    EXPECT_TRUE(
        is_problem(invite(client_, admin, "somebody@judged.org", "member"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(client_.send("DELETE", "/api/v1/invites/" + pending, admin.auth()), 403,
                           "forbidden"));
    EXPECT_TRUE(
        is_problem(client_.send("POST", "/api/v1/invites/" + pending + "/resend", admin.auth()),
                   403, "forbidden"));
    EXPECT_TRUE(is_problem(patch_json(client_, "/api/v1/tenants/" + owner.slug,
                                      {{"name", "Taken over"}}, admin.auth()),
                           403, "forbidden"));
    EXPECT_EQ(membership(where(), member), "member active");
    EXPECT_EQ(audited(where(), owner, "tenant.update"), "0");
    // An owner of yesterday, likewise.
    where().database().query_admin(
        "update control.membership set role = 'admin' where user_id = $1", {owner.user_id});
    EXPECT_TRUE(is_problem(set_role(client_, owner, member, "owner"), 403, "forbidden"));
}

TEST_F(system_members, a_tenant_always_has_an_owner) {
    auto first = where().make_person("last-owner");
    EXPECT_TRUE(is_problem(set_role(client_, first, first, "admin"), 409, "last_owner"));
    EXPECT_TRUE(is_problem(remove(client_, first, first), 409, "last_owner"));
    EXPECT_EQ(membership(where(), first), "owner active");
    EXPECT_EQ(look(client_, first).status, 200);
    const auto second = make_member(where(), first, "owner");
    // One who cannot log in any more is none.
    where().database().query_admin("update control.account set active = false where id = $1",
                                   {second.user_id});
    EXPECT_TRUE(is_problem(remove(client_, first, first), 409, "last_owner"));
    where().database().query_admin("update control.account set active = true where id = $1",
                                   {second.user_id});
    EXPECT_EQ(set_role(client_, first, first, "member").status, 200);
    first.token = text_of(parse(log_in(client_, first)), "/access_token");
    EXPECT_EQ(remove(client_, first, first).status, 204);
    EXPECT_EQ(owners(second), "1");
}

TEST_F(system_members, everybody_may_leave_and_is_gone_from_that_tenant_only) {
    const auto owner = where().make_person("left");
    const auto home = where().make_person("leaver-home");
    const auto there = join_another(where(), owner, home, "member");
    EXPECT_EQ(look(client_, there).status, 200);
    EXPECT_EQ(remove(client_, there, there).status, 204);
    EXPECT_TRUE(is_problem(look(client_, there), 401, "invalid_token"));
    EXPECT_TRUE(is_problem(log_in(client_, there), 401, "invalid_credentials"));
    EXPECT_EQ(look(client_, home).status, 200);
    EXPECT_EQ(log_in(client_, home).status, 200);
    const auto list = parse(get(client_, "/api/v1/members", owner.auth()));
    EXPECT_EQ(list.at("items").as_array().size(), 1U);
    EXPECT_EQ(where().database().value_admin(
                  "select concat_ws(' ', user_id, entity_id, changes ->> 'was') from"
                  " control.audit_log where action = 'member.remove' and tenant_id = '" +
                  owner.tenant_id + "'"),
              there.user_id + " " + there.user_id + " member");
    EXPECT_EQ(where().database().value_admin(
                  "select string_agg(distinct end_reason, ' ') from control.session where"
                  " ended_at is not null and tenant_id = '" +
                  owner.tenant_id + "'"),
              "member_removed");
}

TEST_F(system_members, G44_the_log_names_the_operator_behind_an_assumed_identity) {
    const auto owner = where().make_person("assumed");
    const auto member = make_member(where(), owner, "member");
    const auto known = where().mailed_tokens(owner.email);
    const auto host = where().make_person("assumed-host");
    const auto as_owner = assumed(where(), owner);
    const auto by_operator = [&](std::string_view action) {
        return where().database().value_admin(
            "select string_agg(distinct user_id || ' ' || (operator_user_id = (select id from"
            " control.account where email = 'the-operator@example.org'))::text, ',')"
            " from control.audit_log where operator_user_id is not null and action = '" +
            std::string(action) + "' and tenant_id = '" + owner.tenant_id + "'");
    };
    const auto id = invited(client_, as_owner, "assumed@members.org", "member");
    EXPECT_EQ(set_role(client_, as_owner, member, "admin").status, 200);
    EXPECT_EQ(remove(client_, as_owner, member).status, 204);
    EXPECT_EQ(patch_json(client_, "/api/v1/tenants/" + owner.slug, {{"name", "As Wished"}},
                         as_owner.auth())
                  .status,
              200);
    for (const auto* action :
         {"member.invite", "member.role_change", "member.remove", "tenant.update"}) {
        EXPECT_EQ(by_operator(action), owner.user_id + " true") << action;
    }
    // Whom a person joins is the person's own matter.
    (void)invited(client_, host, owner.email, "member");
    const auto token = where().wait_for_mail(owner.email, known);
    EXPECT_TRUE(is_problem(accept(client_, token, {}, as_owner.auth()), 403, "forbidden"));
    EXPECT_EQ(accept(client_, token, {}, owner.auth()).status, 200);
}

TEST_F(system_members, G10_removal_counts_at_once_here_and_within_a_second_elsewhere) {
    served elsewhere(where().variables());
    auto other = elsewhere.client();
    const auto owner = where().make_person("removed");
    for (int round = 0; round < 3; ++round) {
        const auto member = make_member(where(), owner, "member");
        ASSERT_EQ(look(client_, member).status, 200);
        ASSERT_EQ(look(other, member).status, 200);  // and its token is in that process's cache
        ASSERT_EQ(remove(client_, owner, member).status, 204);
        const auto answered = std::chrono::steady_clock::now();
        // Writes first: they are exact, so not one of them may pass.
        EXPECT_TRUE(is_problem(
            post_json(other, "/api/v1/projects", {{"name", "written after"}}, member.auth()), 401,
            "invalid_token"));
        EXPECT_TRUE(is_problem(look(client_, member), 401, "invalid_token"));
        wait_until("the other process to know", [&] { return look(other, member).status == 401; });
        EXPECT_LT(std::chrono::steady_clock::now() - answered, 1s);
    }
}

TEST_F(system_members, G10_a_changed_role_counts_at_once_here_and_within_a_second_elsewhere) {
    served elsewhere(where().variables());
    auto other = elsewhere.client();
    const auto owner = where().make_person("demoted");
    const auto admin = make_member(where(), owner, "admin");
    const auto member = make_member(where(), owner, "member");
    ASSERT_EQ(get(other, "/api/v1/invites", admin.auth()).status, 200);
    ASSERT_EQ(set_role(client_, owner, admin, "member").status, 200);
    const auto answered = std::chrono::steady_clock::now();
    EXPECT_TRUE(is_problem(set_role(other, admin, member, "admin"), 401, "invalid_token"));
    EXPECT_TRUE(
        is_problem(invite(other, admin, "late@example.org", "admin"), 401, "invalid_token"));
    EXPECT_TRUE(is_problem(look(client_, admin), 401, "invalid_token"));
    wait_until("the other process to know", [&] { return look(other, admin).status == 401; });
    EXPECT_LT(std::chrono::steady_clock::now() - answered, 1s);
    EXPECT_EQ(membership(where(), member), "member active");
}

/// Two requests at once, one to each of two processes, both held up by a lock of their rows until
/// both are there.
template <class One, class Other>
std::array<http_answer, 2> at_once(served& second, const person& a, const person& b, One one,
                                   Other other) {
    auto& where = shared_deployment();
    sql_connection gate(where.database().admin_conninfo());
    gate.query("begin");
    gate.query("select from control.membership where tenant_id = '" + a.tenant_id +
               "' and user_id in ('" + a.user_id + "', '" + b.user_id + "') for update");
    auto first = std::async(std::launch::async, [&] {
        auto client = where.server().client();
        return one(client);
    });
    auto second_answer = std::async(std::launch::async, [&] {
        auto client = second.client();
        return other(client);
    });
    wait_until("both to wait for a lock", [&] {
        return where.database().value_admin(
                   "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and"
                   " datname = current_database()") == "2";
    });
    gate.query("commit");
    return {first.get(), second_answer.get()};
}

TEST_F(system_members, G24_the_last_two_owners_step_down_at_once_and_one_stays) {
    served second(where().variables());
    auto a = where().make_person("stepping-down");
    auto b = make_member(where(), a, "owner");
    const auto stays = [&](const std::array<http_answer, 2>& answers, int status) {
        const bool first = answers[0].status == status;
        EXPECT_TRUE(first || answers[1].status == status) << answers[0].text() << answers[1].text();
        EXPECT_TRUE(is_problem(answers[first ? 1 : 0], 409, "last_owner"));
        EXPECT_EQ(owners(a), "1");
        return first;
    };
    for (int round = 0; round < 3; ++round) {
        const bool first =
            stays(at_once(
                      second, a, b, [&](http_client& c) { return set_role(c, a, a, "member"); },
                      [&](http_client& c) { return set_role(c, b, b, "admin"); }),
                  200);
        auto& down = first ? a : b;
        ASSERT_EQ(set_role(client_, first ? b : a, down, "owner").status, 200);
        down.token = text_of(parse(log_in(client_, down)), "/access_token");
    }
    stays(at_once(
              second, a, b, [&](http_client& c) { return remove(c, a, a); },
              [&](http_client& c) { return remove(c, b, b); }),
          204);
}

// Whoever comes second is no owner any more, so what that session asks for is refused as a whole.
TEST_F(system_members, G24_the_last_two_owners_unmake_each_other_at_once_and_one_stays) {
    served second(where().variables());
    for (const bool removed : {false, true}) {
        const auto a = where().make_person("each-other");
        const auto b = make_member(where(), a, "owner");
        const auto act = [&](http_client& c, const person& by, const person& whom) {
            return removed ? remove(c, by, whom) : set_role(c, by, whom, "member");
        };
        const auto answers = at_once(
            second, a, b, [&](http_client& c) { return act(c, a, b); },
            [&](http_client& c) { return act(c, b, a); });
        const bool first = answers[0].status < 300;
        EXPECT_EQ(answers[first ? 0 : 1].status, removed ? 204 : 200) << answers[1].text();
        EXPECT_TRUE(is_problem(answers[first ? 1 : 0], 401, "invalid_token"));
        EXPECT_EQ(owners(a), "1");
    }
}

}  // namespace
}  // namespace insula::test
