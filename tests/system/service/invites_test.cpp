// Invitations: made, mailed, looked at, accepted once, withdrawn, run out.
#include "described.hpp"
#include "mails.hpp"
#include "people.hpp"

#include <algorithm>
#include <barrier>
#include <fstream>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view nobody_id = "01900000-0000-7000-8000-000000000000";

class system_invites : public testing::Test {
protected:
    static deployment& where() { return shared_deployment(); }
    std::string fresh_address(std::string_view stem = "invited") {
        return where().fresh_slug(stem) + "@example.org";
    }
    http_answer preview(std::string_view token) {
        return post_json(client_, "/api/v1/invites/preview", {{"token", token}});
    }
    http_answer change(const std::string& method, const std::string& id, const person& by,
                       const std::string& behind = "") {
        return client_.send(method, "/api/v1/invites/" + id + behind, by.auth());
    }
    std::string rows_for(const std::string& email) {
        return where().database().value_admin(
            "select count(*) from control.invite where email_canonical = lower('" + email + "')");
    }
    std::string accounts_of(const std::string& email) {
        return where().database().value_admin(
            "select count(*) from control.account where email_canonical = lower('" + email + "')");
    }
    std::string mails_to(const std::string& email) {
        return where().database().value_admin(
            "select count(*) from (select input from queue.run union all select input from "
            "queue.history) r where input::text like '%" +
            email + "%'");
    }
    /// The request from all of them at once, half to each of two processes.
    template <class F>
    std::vector<http_answer> at_once(served& second, std::size_t racers, F&& request) {
        const served* processes[] = {&where().server(), &second};
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
    /// One joined; all others were told that somebody has.
    static void one_joined(const std::vector<http_answer>& answers) {
        int joined = 0;
        for (const auto& answer : answers) {
            joined += answer.status == 200 ? 1 : 0;
            EXPECT_TRUE(answer.status == 200 || is_problem(answer, 409, "conflict"))
                << answer.text();
        }
        EXPECT_EQ(joined, 1);
    }

    http_client client_ = where().server().client();
};

TEST_F(system_invites, G50_somebody_new_is_invited_and_joins_with_a_verified_address) {
    const auto owner = where().make_person("inviting");
    const auto email = fresh_address();
    const auto made = invite(client_, owner, email, "admin");
    EXPECT_TRUE(is_described(client_, made, "post", "/api/v1/invites"));
    ASSERT_EQ(made.status, 201);
    const auto body = parse(made);
    const auto id = text_of(body, "/id");
    EXPECT_EQ(made.field("Location"), "/api/v1/invites/" + id);
    EXPECT_EQ(text_of(body, "/email"), email);
    EXPECT_EQ(text_of(body, "/role"), "admin");
    EXPECT_EQ(text_of(body, "/invited_by"), owner.user_id);
    EXPECT_EQ(where().database().value_admin("select '" + text_of(body, "/expires_at") +
                                             "'::timestamptz - '" + text_of(body, "/created_at") +
                                             "'::timestamptz"),
              "7 days");
    const auto token = where().wait_for_mail(email);
    EXPECT_THAT(wait_for_mails(where(), email, "You are invited to Analytical Engines").front(),
                HasSubstr("Ada Lovelace (" + owner.email +
                          ")\r\ninvites you to join Analytical"
                          " Engines as admin."));
    EXPECT_THAT(made.text(), Not(HasSubstr(token)));
    EXPECT_EQ(where().database().value_admin(
                  "select count(*) from control.invite i where i::text like '%" + token + "%'"),
              "0");
    // What the answer said is what there is.
    const auto one = change("GET", id, owner);
    EXPECT_TRUE(is_described(client_, one, "get", "/api/v1/invites/{id}"));
    EXPECT_EQ(parse(one), body);

    const auto seen = preview(token);
    EXPECT_TRUE(is_described(client_, seen, "post", "/api/v1/invites/preview"));
    EXPECT_EQ(text_of(parse(seen), "/email"), email);
    EXPECT_EQ(text_of(parse(seen), "/tenant_name"), "Analytical Engines");
    EXPECT_EQ(text_of(parse(seen), "/role"), "admin");
    EXPECT_EQ(text_of(parse(seen), "/expires_at"), text_of(body, "/expires_at"));
    EXPECT_EQ(text_of(parse(seen), "/needs_account"), "true");

    const auto joined = accept_as_new(client_, token);
    EXPECT_TRUE(is_described(client_, joined, "post", "/api/v1/invites/accept"));
    ASSERT_EQ(joined.status, 200);
    EXPECT_EQ(text_of(parse(joined), "/tenant/id"), owner.tenant_id);
    EXPECT_EQ(text_of(parse(joined), "/tenant/slug"), owner.slug);
    person who = owner;
    who.email = email;
    who.user_id = text_of(parse(joined), "/user_id");
    const auto tokens = log_in(client_, who);
    ASSERT_EQ(tokens.status, 200) << "the address counts as verified: " << tokens.text();
    EXPECT_EQ(text_of(parse(tokens), "/tenant/role"), "admin");
    EXPECT_EQ(membership(where(), who), "admin active");

    // Once.
    EXPECT_TRUE(is_problem(accept_as_new(client_, token), 409, "conflict"));
    EXPECT_TRUE(is_problem(preview(token), 404, "not_found"));
    EXPECT_THAT(text_of(parse(preview(token)), "/detail"), HasSubstr("accepted already; log in"));
    EXPECT_TRUE(is_problem(change("GET", id, owner), 404, "not_found"));
    EXPECT_TRUE(is_problem(change("DELETE", id, owner), 404, "not_found"));
    EXPECT_TRUE(is_problem(change("POST", id, owner, "/resend"), 404, "not_found"));
    EXPECT_TRUE(is_problem(invite(client_, owner, email, "member"), 409, "already_member"));
    EXPECT_EQ(where().database().value_admin(
                  "select string_agg(action || ' ' || coalesce(entity_type, '') || ' ' ||"
                  " coalesce(entity_id, ''), ', ' order by action) from control.audit_log where"
                  " action in ('member.invite', 'member.join') and tenant_id = '" +
                  owner.tenant_id + "'"),
              "member.invite invite " + id + ", member.join member " + who.user_id);
    EXPECT_EQ(where().database().value_admin(
                  "select count(*) from control.audit_log where action = 'user.register' and"
                  " user_id = '" +
                  who.user_id + "'"),
              "1");
}

TEST_F(system_invites, somebody_with_an_account_joins_as_that_account_only) {
    const auto owner = where().make_person("wants-known");
    const auto known = where().make_person("known");
    const auto other = where().make_person("somebody-else");
    const auto mails = where().mailed_tokens(known.email);
    // Typed in another form: one address, and the mail goes where the account says.
    auto shouted = known.email;
    std::ranges::transform(shouted, shouted.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
    EXPECT_EQ(text_of(parse(invite(client_, owner, shouted, "member")), "/email"), shouted);
    const auto token = where().wait_for_mail(known.email, mails);
    EXPECT_TRUE(where().mailed_tokens(shouted).empty());
    EXPECT_EQ(text_of(parse(preview(token)), "/needs_account"), "false");

    EXPECT_TRUE(is_problem(accept(client_, token), 401, "unauthenticated"));
    EXPECT_TRUE(is_problem(accept(client_, token, {}, other.auth()), 403, "forbidden"));
    EXPECT_TRUE(is_problem(accept(client_, token, {}, owner.auth()), 403, "forbidden"));
    EXPECT_TRUE(is_problem(accept(client_, token, {}, where().operator_auth()), 403, "forbidden"));
    EXPECT_TRUE(is_problem(accept(client_, token, {}, {{"Authorization", "Bearer x"}}), 401,
                           "invalid_token"));
    EXPECT_TRUE(is_problem(
        accept(client_, token, {{"password", "not the password 4711"}, {"full_name", "X"}}), 401,
        "invalid_credentials"));
    EXPECT_EQ(where().database().value_admin(
                  "select count(*) from control.audit_log where action = 'user.login_failed' and"
                  " user_id = '" +
                  known.user_id + "'"),
              "1");
    const auto joined = accept(client_, token, {}, known.auth());
    ASSERT_EQ(joined.status, 200) << joined.text();
    EXPECT_EQ(text_of(parse(joined), "/user_id"), known.user_id);
    EXPECT_EQ(accounts_of(known.email), "1");
    EXPECT_EQ(look(client_, known).status, 200) << "the session it had is as it was";
}

TEST_F(system_invites, somebody_who_belongs_to_no_tenant_joins_by_the_password) {
    const auto owner = where().make_person("takes-back");
    const auto member = make_member(where(), owner, "admin");
    ASSERT_EQ(remove(client_, owner, member).status, 204);
    EXPECT_TRUE(is_problem(log_in(client_, member), 401, "invalid_credentials"));
    const auto registered =
        post_json(client_, "/api/v1/auth/register",
                  registration_form(where().fresh_slug("instead"), member.email));
    EXPECT_TRUE(is_problem(registered, 409, "email_taken"));
    EXPECT_THAT(text_of(parse(registered), "/detail"), HasSubstr("ask to be invited"))
        << "log-in sends nobody here, so this must not only send to log-in";
    const auto known = where().mailed_tokens(member.email);
    (void)invited(client_, owner, member.email, "member");
    const auto token = where().wait_for_mail(member.email, known);
    // A session from before never comes back.
    EXPECT_TRUE(is_problem(accept(client_, token, {}, member.auth()), 401, "invalid_token"));
    where().database().query_admin("update control.account set active = false where id = $1",
                                   {member.user_id});
    EXPECT_TRUE(is_problem(accept(client_, token, {{"password", good_password}}), 401,
                           "invalid_credentials"));
    where().database().query_admin("update control.account set active = true where id = $1",
                                   {member.user_id});
    const auto joined = accept(client_, token, {{"password", good_password}});
    ASSERT_EQ(joined.status, 200) << joined.text();
    EXPECT_EQ(text_of(parse(joined), "/user_id"), member.user_id);
    EXPECT_EQ(membership(where(), member), "member active");
    EXPECT_TRUE(is_problem(look(client_, member), 401, "invalid_token"));
    EXPECT_EQ(text_of(parse(log_in(client_, member)), "/tenant/role"), "member");
    // Sent away again, and neither of the two invitations opens the door once more.
    ASSERT_EQ(remove(client_, owner, member).status, 204);
    auto used = known;
    used.insert(token);
    for (const auto& old : used) {
        EXPECT_TRUE(
            is_problem(accept(client_, old, {{"password", good_password}}), 409, "conflict"));
    }
    EXPECT_EQ(membership(where(), member), "member removed");
}

TEST_F(system_invites, a_new_account_needs_a_name_and_a_good_password) {
    const auto owner = where().make_person("demanding");
    const auto email = fresh_address("newcomer");
    (void)invited(client_, owner, email, "member");
    const auto token = where().wait_for_mail(email);
    const auto refused = [&](json::object form, std::vector<std::string> pointers) {
        const auto answer = accept(client_, token, std::move(form));
        EXPECT_TRUE(is_problem(answer, 422, "validation_failed"));
        std::vector<std::string> named;
        const auto body = parse(answer);
        for (const auto& one : body.at("errors").as_array()) {
            named.push_back(text_of(one, "/pointer"));
        }
        EXPECT_EQ(named, pointers) << answer.text();
    };
    refused({}, {"/password", "/full_name"});
    refused({{"password", good_password}}, {"/full_name"});
    refused({{"full_name", "X"}}, {"/password"});
    refused({{"password", "short"}, {"full_name", "X"}}, {"/password"});
    refused({{"password", "aaaaaaaaaaaa"}, {"full_name", "X"}}, {"/password"});
    refused({{"password", "a " + email.substr(0, email.find('@')) + " b"}, {"full_name", "X"}},
            {"/password"});
    refused({{"password", good_password}, {"full_name", " "}}, {"/full_name"});
    EXPECT_EQ(accounts_of(email), "0");
    // Somebody else's token, for an address that has no account.
    EXPECT_TRUE(is_problem(accept(client_, token, {}, owner.auth()), 403, "forbidden"));
    // The address gets an account of its own meanwhile: then it is that account's.
    ASSERT_EQ(post_json(client_, "/api/v1/auth/register",
                        registration_form(where().fresh_slug("own"), email))
                  .status,
              202);
    EXPECT_TRUE(is_problem(accept(client_, token), 401, "unauthenticated"));
    EXPECT_EQ(accept(client_, token, {{"password", good_password}}).status, 200);
    EXPECT_EQ(where().database().value_admin(
                  "select email_verified_at is not null from control.account where email = '" +
                  email + "'"),
              "t")
        << "whoever has the mail's token has the mailbox";
}

TEST_F(system_invites, only_the_address_that_a_mail_went_to_counts_as_verified) {
    const auto owner = where().make_person("verifies");
    const auto other = fresh_address("unverified");
    auto typed = other;  // one address to us; its host may see two
    typed[0] = 'U';
    (void)invited(client_, owner, typed, "member");
    const auto token = where().wait_for_mail(typed);
    ASSERT_EQ(post_json(client_, "/api/v1/auth/register",
                        registration_form(where().fresh_slug("unverified"), other))
                  .status,
              202);
    ASSERT_EQ(accept(client_, token, {{"password", good_password}}).status, 200);
    person who = owner;
    who.email = other;
    EXPECT_TRUE(is_problem(log_in(client_, who), 403, "email_not_verified"));
    // Mailed to an account that is somebody's no more: the new one has the address of the mail.
    const auto gone = make_member(where(), owner, "member");
    ASSERT_EQ(remove(client_, owner, gone).status, 204);
    auto shouted = gone.email;
    shouted[0] = 'M';
    const auto mails = where().mailed_tokens(gone.email);
    (void)invited(client_, owner, shouted, "member");
    const auto mailed = where().wait_for_mail(gone.email, mails);
    where().database().query_admin("update control.account set released_at = now() where id = $1",
                                   {gone.user_id});
    const auto joined = accept_as_new(client_, mailed);
    ASSERT_EQ(joined.status, 200) << joined.text();
    EXPECT_EQ(where().database().value_admin("select email from control.account where id = '" +
                                             text_of(parse(joined), "/user_id") + "'"),
              gone.email);
}

TEST_F(system_invites, who_may_invite_whom_and_whom_not_twice) {
    const auto owner = where().make_person("may-invite");
    const auto admin = make_member(where(), owner, "admin");
    const auto member = make_member(where(), owner, "member");
    const auto email = fresh_address();
    EXPECT_TRUE(is_problem(invite(client_, member, email, "member"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/invites", member.auth()), 403, "forbidden"));
    EXPECT_TRUE(is_problem(invite(client_, admin, email, "owner"), 403, "forbidden"));
    EXPECT_TRUE(is_problem(invite(client_, admin, email, "none"), 422, "validation_failed"));
    EXPECT_EQ(rows_for(email), "0");
    EXPECT_EQ(audited(where(), owner, "member.invite"), "2");
    (void)invited(client_, admin, email, "admin");
    for (const auto& same : {email, "  " + email, email.substr(0, 3) + email.substr(3)}) {
        const auto answer = invite(client_, owner, same, "member");
        EXPECT_TRUE(answer.status == 422 || is_problem(answer, 409, "invite_pending"));
    }
    EXPECT_TRUE(is_problem(invite(client_, owner, member.email, "admin"), 409, "already_member"));
    EXPECT_TRUE(is_problem(invite(client_, owner, owner.email, "admin"), 409, "already_member"));
    // Another tenant is not asked, and not told.
    const auto elsewhere = where().make_person("may-invite-too");
    (void)invited(client_, elsewhere, email, "member");
    (void)invited(client_, elsewhere, member.email, "member");
    EXPECT_EQ(rows_for(email), "2");
    // An owner's invitation is owners' business.
    const auto heir = invited(client_, owner, fresh_address("heir"), "owner");
    EXPECT_TRUE(is_problem(change("DELETE", heir, admin), 403, "forbidden"));
    EXPECT_TRUE(is_problem(change("POST", heir, admin, "/resend"), 403, "forbidden"));
    EXPECT_EQ(change("GET", heir, admin).status, 200);
    EXPECT_EQ(change("DELETE", heir, owner).status, 204);
}

TEST_F(system_invites, one_that_was_withdrawn_or_sent_again_is_no_good_any_more) {
    const auto owner = where().make_person("changes-mind");
    const auto email = fresh_address("second-mail");
    const auto id = invited(client_, owner, email, "member");
    const auto first = where().wait_for_mail(email);
    EXPECT_EQ(change("POST", id, owner, "/resend").status, 202);
    const auto second = where().wait_for_mail(email, {first});
    EXPECT_TRUE(is_problem(preview(first), 404, "not_found"));
    EXPECT_TRUE(is_problem(accept_as_new(client_, first), 404, "not_found"));
    EXPECT_EQ(preview(second).status, 200);
    const auto other = where().make_person("other-tenant");
    for (const auto& method : {"GET", "DELETE"}) {
        EXPECT_EQ(comparable(client_.send(method, "/api/v1/invites/" + id,
                                          other.auth_with({{"X-Request-ID", "same"}}))),
                  comparable(client_.send(method, "/api/v1/invites/" + std::string(nobody_id),
                                          other.auth_with({{"X-Request-ID", "same"}}))));
    }
    EXPECT_TRUE(is_problem(change("POST", id, other, "/resend"), 404, "not_found"));
    EXPECT_EQ(preview(second).status, 200);
    EXPECT_EQ(change("DELETE", id, owner).status, 204);
    EXPECT_TRUE(is_problem(preview(second), 404, "not_found"));
    EXPECT_TRUE(is_problem(accept_as_new(client_, second), 404, "not_found"));
    EXPECT_TRUE(is_problem(change("DELETE", id, owner), 404, "not_found"));
    EXPECT_EQ(accounts_of(email), "0");
    (void)invited(client_, owner, email, "member");
    EXPECT_EQ(where().database().value_admin(
                  "select string_agg(changes ->> 'status', ' ' order by created_at) from"
                  " control.audit_log where action = 'member.invite' and entity_id = '" +
                  id + "'"),
              "sent_again withdrawn");
}

TEST_F(system_invites, one_that_ran_out_is_gone_and_may_be_made_again) {
    const auto owner = where().make_person("late");
    const auto email = fresh_address("too-late");
    const auto id = invited(client_, owner, email, "member");
    const auto token = where().wait_for_mail(email);
    where().database().query_admin(
        "update control.invite set expires_at = now() - interval '1 second' where id = $1", {id});
    EXPECT_TRUE(is_problem(preview(token), 404, "not_found"));
    EXPECT_TRUE(is_problem(accept_as_new(client_, token), 404, "not_found"));
    EXPECT_TRUE(is_problem(change("GET", id, owner), 404, "not_found"));
    EXPECT_TRUE(is_problem(change("POST", id, owner, "/resend"), 404, "not_found"));
    EXPECT_EQ(parse(get(client_, "/api/v1/invites", owner.auth())).at("items").as_array().size(),
              0U);
    (void)invited(client_, owner, email, "admin");
    EXPECT_EQ(accept_as_new(client_, where().wait_for_mail(email, {token})).status, 200);
}

TEST_F(system_invites, a_tenant_that_is_not_ready_is_not_joined) {
    const auto owner = where().make_person("not-ready");
    const auto email = fresh_address("waits-for-tenant");
    (void)invited(client_, owner, email, "member");
    const auto token = where().wait_for_mail(email);
    const auto office = where().operator_auth();
    const auto path = "/api/v1/admin/tenants/" + owner.tenant_id;
    ASSERT_EQ(client_.send("POST", path + "/suspend", office).status, 200);
    EXPECT_TRUE(is_problem(preview(token), 403, "tenant_suspended"));
    EXPECT_TRUE(is_problem(accept_as_new(client_, token), 403, "tenant_suspended"));
    ASSERT_EQ(client_.send("POST", path + "/resume", office).status, 200);
    EXPECT_EQ(preview(token).status, 200);
    ASSERT_EQ(delete_json(client_, "/api/v1/tenants/" + owner.slug, {{"confirm", owner.slug}},
                          owner.auth())
                  .status,
              202);
    EXPECT_TRUE(is_problem(preview(token), 409, "tenant_pending_deletion"));
    EXPECT_TRUE(is_problem(accept_as_new(client_, token), 409, "tenant_pending_deletion"));
    EXPECT_EQ(accounts_of(email), "0");
    // The purge takes what is pending with it.
    ASSERT_EQ(
        delete_json(client_, path, {{"confirm", owner.slug}, {"immediately", true}}, office).status,
        202);
    wait_until("the purge", [&] { return rows_for(email) == "0"; });
    EXPECT_TRUE(is_problem(accept_as_new(client_, token), 404, "not_found"));
}

TEST_F(system_invites, the_state_of_ones_own_tenant_is_no_matter) {
    const auto owner = where().make_person("takes-in");
    const auto stranded = where().make_person("stranded");
    const auto mails = where().mailed_tokens(stranded.email);
    (void)invited(client_, owner, stranded.email, "member");
    const auto token = where().wait_for_mail(stranded.email, mails);
    ASSERT_EQ(client_
                  .send("POST", "/api/v1/admin/tenants/" + stranded.tenant_id + "/suspend",
                        where().operator_auth())
                  .status,
              200);
    EXPECT_TRUE(is_problem(look(client_, stranded), 403, "tenant_suspended"));
    const auto joined = accept(client_, token, {}, stranded.auth());
    EXPECT_EQ(joined.status, 200) << joined.text();
    EXPECT_EQ(text_of(parse(joined), "/tenant/slug"), owner.slug);
}

TEST_F(system_invites, go_with_the_right_of_whoever_answers_for_them) {
    const auto owner = where().make_person("answers-for");
    const auto admin = make_member(where(), owner, "admin");
    const auto second = make_member(where(), owner, "owner");
    const auto of_admin = fresh_address("of-admin");
    const auto taken_over = fresh_address("taken-over");
    const auto of_second = fresh_address("of-second");
    const auto heir = fresh_address("heir-of-second");
    (void)invited(client_, admin, of_admin, "member");
    const auto kept = invited(client_, admin, taken_over, "member");
    (void)invited(client_, second, of_second, "admin");
    (void)invited(client_, second, heir, "owner");
    const auto token = where().wait_for_mail(of_admin);
    // Whoever has it sent again answers for it from then on.
    EXPECT_EQ(change("POST", kept, owner, "/resend").status, 202);
    ASSERT_EQ(set_role(client_, owner, second, "admin").status, 200);
    EXPECT_EQ(rows_for(heir), "0") << "an admin invites no owners";
    EXPECT_EQ(rows_for(of_second), "1");
    ASSERT_EQ(remove(client_, owner, admin).status, 204);
    EXPECT_EQ(rows_for(of_admin), "0");
    EXPECT_EQ(rows_for(taken_over), "1");
    EXPECT_TRUE(is_problem(accept_as_new(client_, token), 404, "not_found"));
    EXPECT_EQ(change("GET", kept, owner).status, 200);
    ASSERT_EQ(set_role(client_, owner, second, "member").status, 200);
    EXPECT_EQ(rows_for(of_second), "0");
}

TEST_F(system_invites, are_listed_newest_first_and_cursors_are_good_for_their_list_only) {
    const auto owner = where().make_person("many");
    const auto other = where().make_person("many-elsewhere");
    std::vector<std::string> emails;
    for (int i = 0; i < 3; ++i) {
        emails.push_back(fresh_address("listed"));
        (void)invited(client_, owner, emails.back(), "member");
        (void)make_member(where(), other, "member");
        (void)invited(client_, other, fresh_address("theirs"), "member");
    }
    const auto all = get(client_, "/api/v1/invites", owner.auth());
    EXPECT_TRUE(is_described(client_, all, "get", "/api/v1/invites"));
    EXPECT_EQ(parse(all).at("items").as_array().size(), 3U);
    std::string cursor;
    for (auto email = emails.rbegin(); email != emails.rend(); ++email) {
        const auto page = parse(
            get(client_, "/api/v1/invites?limit=1" + (cursor.empty() ? "" : "&cursor=" + cursor),
                owner.auth()));
        EXPECT_EQ(text_of(page, "/items/0/email"), *email);
        cursor = page.at("next_cursor").is_null() ? "" : text_of(page, "/next_cursor");
    }
    EXPECT_EQ(cursor, "");
    const auto cursor_of = [&](const std::string& list, const person& whose) {
        return text_of(parse(get(client_, "/api/v1/" + list + "?limit=1", whose.auth())),
                       "/next_cursor");
    };
    (void)make_project(client_, other, "one");
    (void)make_project(client_, other, "two");
    for (const auto& list : {"invites", "members", "projects"}) {
        const auto bad = [&](const std::string& text) {
            EXPECT_TRUE(is_problem(
                get(client_, "/api/v1/" + std::string(list) + "?cursor=" + text, owner.auth()), 400,
                "invalid_cursor"))
                << list;
        };
        for (const auto& from : {"invites", "members", "projects"}) {
            bad(cursor_of(from, other));  // another tenant's, of this list or another one
        }
        auto bent = cursor_of("invites", owner);
        bent[bent.size() / 2] = bent[bent.size() / 2] == 'A' ? 'B' : 'A';
        bad(bent);
        if (list != std::string_view("invites")) {
            bad(cursor_of("invites", owner));  // the own tenant's, of another list
        }
    }
}

TEST_F(system_invites, G12_an_invitations_token_is_no_other_kind_of_token) {
    const auto owner = where().make_person("kinds");
    const auto email = fresh_address("kind");
    (void)invited(client_, owner, email, "member");
    const auto token = where().wait_for_mail(email);
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/auth/verify-email", {{"token", token}}), 400,
                           "invalid_token_value"));
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/auth/refresh", {{"refresh_token", token}}),
                           401, ""));
    EXPECT_TRUE(is_problem(post_json(client_, "/api/v1/auth/reset-password",
                                     {{"token", token}, {"new_password", good_password}}),
                           400, "invalid_token_value"));
    EXPECT_TRUE(
        is_problem(get(client_, "/api/v1/registrations/" + token.substr(0, 22)), 404, "not_found"));
    EXPECT_TRUE(is_problem(get(client_, "/api/v1/projects", {{"Authorization", "Bearer " + token}}),
                           401, "invalid_token"));
    const auto slug = where().fresh_slug("kinds");
    const auto registered =
        post_json(client_, "/api/v1/auth/register", registration_form(slug, slug + "@example.org"));
    for (const auto& foreign : {where().wait_for_mail(slug + "@example.org"), owner.token,
                                text_of(parse(registered), "/registration_id")}) {
        const auto shown = preview(foreign);
        EXPECT_TRUE(is_problem(shown, foreign.size() > 512 ? 422 : 404, ""));
        EXPECT_TRUE(is_problem(accept_as_new(client_, foreign), shown.status, ""));
    }
    EXPECT_EQ(preview(token).status, 200);
}

TEST_F(system_invites, are_looked_at_accepted_and_mailed_only_so_often) {
    served limited(where().variables_with(
        {{"INSULA_RATE_LIMIT", "on"}, {"INSULA_TRUSTED_PROXIES", "127.0.0.0/8"}}));
    auto client = limited.client();
    const auto from = [](int address) {
        return http_fields{{"X-Forwarded-For", "203.0.113." + std::to_string(address)}};
    };
    // Five acceptances an hour from one address; looking takes nothing of them away.
    const std::string guess(43, 'x');
    for (int i = 0; i < 10; ++i) {
        const auto answer =
            i % 2 == 0 ? accept(client, guess, {}, from(1))
                       : post_json(client, "/api/v1/invites/preview", {{"token", guess}}, from(1));
        EXPECT_TRUE(is_problem(answer, 404, "not_found"));
    }
    EXPECT_TRUE(is_problem(accept(client, guess, {}, from(1)), 429, "rate_limited"));
    // Neither can a password be, whatever the address: it is log-in's limit.
    const auto owner = where().make_person("limits");
    const auto known = where().make_person("limited");
    const auto mails = where().mailed_tokens(known.email);
    (void)invited(client_, owner, known.email, "member");
    const auto token = where().wait_for_mail(known.email, mails);
    for (int i = 0; i < 5; ++i) {
        EXPECT_TRUE(
            is_problem(accept(client, token, {{"password", "a wrong password 4711"}}, from(10 + i)),
                       401, "invalid_credentials"));
    }
    EXPECT_TRUE(is_problem(accept(client, token, {{"password", good_password}}, from(20)), 429,
                           "rate_limited"));
    EXPECT_TRUE(is_problem(log_in(client, known), 429, "rate_limited"));
    EXPECT_EQ(accept(client, token, {}, known.auth_with(from(21))).status, 200);
}

TEST_F(system_invites, nobody_is_flooded_with_mails_and_a_repeat_that_sends_none_does_not_count) {
    served limited(where().variables_with({{"INSULA_RATE_LIMIT", "on"}}));
    auto client = limited.client();
    const auto owner = where().make_person("floods");
    const auto email = fresh_address("flooded");
    const http_fields key{{"Idempotency-Key", "flooded"}};
    std::string id;
    for (int i = 0; i < 5; ++i) {
        const auto made = invite(client, owner, email, "member", key);
        ASSERT_EQ(made.status, 201) << "one mail, " << i << " repeats: " << made.text();
        id = text_of(parse(made), "/id");
    }
    const auto again = [&] {
        return client.send("POST", "/api/v1/invites/" + id + "/resend", owner.auth());
    };
    EXPECT_EQ(again().status, 202);
    EXPECT_EQ(again().status, 202);
    EXPECT_TRUE(is_problem(again(), 429, "rate_limited")) << "three in all";
    EXPECT_EQ(client.send("DELETE", "/api/v1/invites/" + id, owner.auth()).status, 204);
    EXPECT_TRUE(is_problem(invite(client, owner, email, "member"), 429, "rate_limited"));
    EXPECT_EQ(mails_to(email), "3");
    EXPECT_EQ(invite(client, owner, email, "member", key).status, 201) << "what was answered first";
    EXPECT_EQ(invite(client, owner, fresh_address("unhurried"), "member").status, 201);
}

TEST_F(system_invites, of_one_tenant_go_out_only_so_many) {
    const temporary_folder folder;
    std::ofstream(folder.path() + "/limits.toml") << "[rate_limit]\ninvite = \"1/h burst 3\"\n";
    served limited(where().variables_with({{"INSULA_RATE_LIMIT", "on"}}),
                   {"--config", folder.path() + "/limits.toml"});
    auto client = limited.client();
    const auto owner = where().make_person("spams");
    const auto admin = make_member(where(), owner, "admin");
    (void)invited(client, owner, fresh_address("spammed"), "member");
    const auto id = invited(client, admin, fresh_address("spammed"), "member");
    const auto again = [&] {
        return client.send("POST", "/api/v1/invites/" + id + "/resend", owner.auth());
    };
    EXPECT_EQ(again().status, 202);
    EXPECT_TRUE(is_problem(again(), 429, "rate_limited"));
    for (const auto& by : {owner, admin}) {
        EXPECT_TRUE(is_problem(invite(client, by, fresh_address("spammed"), "member"), 429,
                               "rate_limited"));
    }
    EXPECT_EQ(invite(client, where().make_person("quiet"), fresh_address(), "member").status, 201);
}

TEST_F(system_invites, G23_a_repeat_gets_the_first_answer_and_sends_no_second_mail) {
    const auto owner = where().make_person("repeats");
    const auto email = fresh_address("once");
    const http_fields key{{"Idempotency-Key", "invite-once"}};
    const auto first = invite(client_, owner, email, "member", key);
    ASSERT_EQ(first.status, 201) << first.text();
    const auto token = where().wait_for_mail(email);
    const auto again = invite(client_, owner, email, "member", key);
    EXPECT_EQ(again.status, 201);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.field("Location"), first.field("Location"));
    EXPECT_TRUE(
        is_problem(invite(client_, owner, email, "admin", key), 422, "idempotency_key_reused"));
    EXPECT_EQ(rows_for(email), "1");
    EXPECT_EQ(mails_to(email), "1");
    // Whatever has become of it since.
    EXPECT_EQ(accept_as_new(client_, token).status, 200);
    EXPECT_EQ(invite(client_, owner, email, "member", key).body, first.body);
    EXPECT_TRUE(is_problem(invite(client_, owner, email, "member"), 409, "already_member"));
    // Somebody else's key is another one.
    const auto admin = make_member(where(), owner, "admin");
    EXPECT_TRUE(is_problem(invite(client_, admin, email, "member", key), 409, "already_member"));
}

TEST_F(system_invites, G24_an_invitation_of_somebody_new_is_accepted_once_however_many_try) {
    served second(where().variables());
    const auto owner = where().make_person("raced");
    const auto email = fresh_address("racer");
    (void)invited(client_, owner, email, "member");
    const auto token = where().wait_for_mail(email);
    one_joined(at_once(second, 16, [&](http_client& c) { return accept_as_new(c, token); }));
    EXPECT_EQ(accounts_of(email), "1");
    EXPECT_EQ(audited(where(), owner, "member.join"), "1");
    EXPECT_EQ(where().database().value_admin("select count(*) from control.membership where"
                                             " tenant_id = '" +
                                             owner.tenant_id + "'"),
              "2");
}

TEST_F(system_invites, G24_an_invitation_of_a_known_person_is_accepted_once_however_many_try) {
    served second(where().variables());
    const auto owner = where().make_person("raced-known");
    const auto known = where().make_person("known-racer");
    const auto mails = where().mailed_tokens(known.email);
    (void)invited(client_, owner, known.email, "admin");
    const auto token = where().wait_for_mail(known.email, mails);
    one_joined(
        at_once(second, 16, [&](http_client& c) { return accept(c, token, {}, known.auth()); }));
    EXPECT_EQ(audited(where(), owner, "member.join"), "1");
}

TEST_F(system_invites, G24_one_address_is_invited_once_however_many_try) {
    served second(where().variables());
    const auto owner = where().make_person("raced-inviting");
    const auto email = fresh_address("wanted");
    const auto answers =
        at_once(second, 16, [&](http_client& c) { return invite(c, owner, email, "member"); });
    EXPECT_EQ(std::ranges::count(answers, 201, &http_answer::status), 1);
    for (const auto& answer : answers) {
        EXPECT_TRUE(answer.status == 201 || is_problem(answer, 409, "invite_pending"))
            << answer.text();
    }
    EXPECT_EQ(rows_for(email), "1");
    EXPECT_EQ(mails_to(email), "1");
}

}  // namespace
}  // namespace insula::test
