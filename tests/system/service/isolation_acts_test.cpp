// G01, the calls that succeed: what B's people have sent before (keys, tags, ids of requests), or
// names of B's in places that no operation reads, change nothing about what they do, and nothing of
// B.
#include "audited_acts.hpp"
#include "isolation_probes.hpp"
#include "mails.hpp"

#include <algorithm>
#include <set>
#include <tuple>

namespace insula::test {
namespace {

class isolation_acts : public testing::Test {
protected:
    static isolation_stage& stage() { return isolation_stage::shared(); }
    static std::string planted(std::string_view what) {
        for (const auto& one : stage().canaries()) {
            if (one.what == what) {
                return one.value;
            }
        }
        throw std::runtime_error("B has no " + std::string(what));
    }
    /// Of B's, in every field that says who asks, for whom, where, and what was seen or sent
    /// before.
    static http_fields ambient(std::string_view key) {
        const auto& b = stage().b_owner.who;
        return {{"X-Forwarded-Host", b.slug + ".insula.test"},
                {"Forwarded", "host=" + b.slug + ".insula.test;for=192.0.2.1"},
                {"X-Tenant-ID", b.tenant_id},
                {"X-User-ID", b.user_id},
                {"Cookie", "session=" + stage().b_owner.tokens.session + "; tenant=" + b.slug},
                {"X-Request-ID", planted("a request's id")},
                {"Idempotency-Key", std::string(key)}};
    }
    /// A new session of B's owner.
    static token_pair log_in_as_b(http_client& client) {
        const auto& b = stage().b_owner.who;
        return tokens_of(post_json(client, "/api/v1/auth/login",
                                   {{"email", b.email},
                                    {"password", stage().secrets().at(0).second},
                                    {"tenant_slug", b.slug}}));
    }
    static std::string key_for(std::string_view path) {
        if (path.ends_with("/projects")) {
            return planted("a project's first name, the key of it");
        }
        return planted(path.ends_with("/invites")   ? "a key of an invitation"
                       : path.ends_with("/tenants") ? "a key of a tenant"
                                                    : "an idempotency key");
    }
};

TEST_F(isolation_acts, G01_a_valid_call_does_what_it_does_whatever_B_has_sent_before) {
    insula::test::stage acting(stage().where(), false);
    const auto before = stage().b_rows->now();
    int done = 0;
    for (const auto& one : audited_acts()) {
        if (one.by == act_of::operator_ || one.by == act_of::assumed) {
            continue;  // operators see all tenants
        }
        SCOPED_TRACE(one.action + ", " + one.method + " " + one.path);
        const auto act = one.prepare(acting);
        auto fields = ambient(key_for(one.path));
        if (one.path == "/api/v1/auth/register") {
            fields.pop_back();  // nobody is logged in: one scope for all, as stated
        }
        const auto answer = act.run(fields);
        EXPECT_EQ(answer.status, act.status) << answer.text();
        std::string sent;
        for (const auto& field : fields) {
            sent += field.second;
        }
        EXPECT_EQ(stage().seen_in(answer.text(), sent), "") << answer.text();
        ++done;
    }
    EXPECT_GE(done, 25);
    stage().settle();
    EXPECT_EQ(rows_about::difference(before, stage().b_rows->now()), "");
}

TEST_F(isolation_acts, G01_Bs_key_with_Bs_very_body_makes_something_of_As_own) {
    auto client = stage().client();
    const json::object body{{"name", "a name in both"}, {"description", "and what it is about"}};
    const auto with_key = [](http_fields fields) {
        fields.emplace_back("Idempotency-Key", "a key of both");
        return fields;
    };
    const auto of_b =
        post_json(client, "/api/v1/projects", body, with_key(stage().b_credentials()));
    ASSERT_EQ(of_b.status, 201) << of_b.text();
    const auto before = stage().b_rows->now();
    const auto fields = with_key(stage().credentials(caller::member));
    const auto made = post_json(client, "/api/v1/projects", body, fields);
    ASSERT_EQ(made.status, 201) << made.text();
    EXPECT_NE(text_of(parse(made), "/id"), text_of(parse(of_b), "/id"));
    EXPECT_EQ(get(client, *made.field("Location"), fields).status, 200);
    // Another member of A with that key makes another one: 409, for the name is taken.
    EXPECT_TRUE(is_problem(
        post_json(client, "/api/v1/projects", body, with_key(stage().credentials(caller::admin))),
        409, "name_taken"));
    EXPECT_EQ(rows_about::difference(before, stage().b_rows->now()), "");
    EXPECT_EQ(client.send("DELETE", *made.field("Location"), fields).status, 204);
    EXPECT_EQ(client.send("DELETE", *of_b.field("Location"), stage().b_credentials()).status, 204);
}

/// Operations that read no body: isolation_own_test.cpp names B in those, when they act.
const std::set<std::string> without_a_body{
    "POST /api/v1/registrations/{registration_id}/retry",
    "POST /api/v1/auth/logout-all",
    "POST /api/v1/admin/assume-identity/end",
    "DELETE /api/v1/auth/sessions/{id}",
    "POST /api/v1/tenants/{slug}/restore",
    "DELETE /api/v1/members/{user_id}",
    "DELETE /api/v1/invites/{id}",
    "POST /api/v1/invites/{id}/resend",
    "DELETE /api/v1/projects/{id}",
};

/// Names under which a tenant or a person could be asked for, B's value, and nobody's.
std::vector<std::tuple<std::string, std::string, std::string>> names_of(
    const isolation_stage& all) {
    const std::string nobody = "01900000-0000-7000-8000-000000000000";
    const auto& b = all.b_owner.who;
    return {{"tenant_id", b.tenant_id, nobody},
            {"user_id", b.user_id, nobody},
            {"tenant", b.slug, std::string(b.slug.size(), 'x')}};
}

/// All that is wrong with a request is that it has that member or parameter.
testing::AssertionResult refuses_only(const http_answer& answer, const std::string& pointer) {
    if (answer.status == 422) {
        const auto problem = parse(answer);
        const auto& errors = problem.at("errors").as_array();
        if (errors.size() == 1 && text_of(errors.front(), "/pointer") == pointer) {
            return testing::AssertionSuccess();
        }
    }
    return testing::AssertionFailure() << answer.text();
}

TEST_F(isolation_acts, G01_names_of_B_where_no_operation_reads_any_do_nothing) {
    prober all(stage());
    std::set<std::string> left_out;
    int tried = 0;
    for (const auto& operation : all.operations()) {
        if (operation.operators) {
            continue;
        }
        const auto one = all.with_own_values(operation);
        SCOPED_TRACE(operation.name);
        const bool reads = operation.method == "GET";
        const auto plain = all.made(one, &three::own);
        if (!reads && plain.body.empty()) {
            left_out.insert(operation.name);
            continue;
        }
        for (const auto& [name, foreign, missing] : names_of(stage())) {
            if (std::ranges::find(operation.places, (reads ? "query/" : "body/") + name) !=
                operation.places.end()) {
                continue;  // it reads that one: isolation_generated_test.cpp
            }
            const auto with = [&, &member = name](const std::string& value) {
                auto request = all.made(one, &three::own);
                if (reads) {
                    request.target += "?" + member + "=" + value;
                } else {
                    request.body[member] = value;
                }
                return sent_probe{all.exchange(one, request), request.target + value, value};
            };
            ++tried;
            const auto about_b = with(foreign);
            EXPECT_EQ(stage().seen_in(about_b.answer.text(), about_b.sent), "");
            if (operation.path == "/metrics" || operation.path == "/readyz") {
                EXPECT_EQ(about_b.answer.status, 200);  // figures of this moment
                continue;
            }
            EXPECT_EQ(difference(about_b, with(missing)), "");
            if (!reads || about_b.answer.status != 200) {
                EXPECT_TRUE(refuses_only(about_b.answer, (reads ? "query/" : "/") + name));
            }
        }
        all.expect_unchanged(one, 400);
    }
    EXPECT_EQ(left_out, without_a_body);
    EXPECT_GE(tried, 100);
}

TEST_F(isolation_acts, G01_the_host_chooses_no_tenant) {
    prober all(stage());
    int tried = 0;
    for (const auto& one : all.probes()) {
        if (one.operation.method != "GET" || one.where == nullptr || one.who != caller::owner ||
            one.demanded != rule::alike) {
            continue;
        }
        ++tried;
        SCOPED_TRACE(one.title());
        auto request = all.made(one, &three::own);
        const auto at = [&](const std::string& host) {
            return sent_probe{
                all.exchange_bytes(all.bytes_of(one, request, host)), request.target, {}};
        };
        const auto plain = at("insula.test");
        const auto b_host = stage().b_owner.who.slug + ".insula.test";
        EXPECT_EQ(difference(at(b_host), plain), "");
        EXPECT_EQ(stage().seen_in(at(b_host).answer.text()), "");
        request.fields.emplace_back("X-Forwarded-Host", b_host);
        request.fields.emplace_back("Forwarded", "host=" + b_host);
        EXPECT_EQ(difference(at("insula.test"), plain), "");
    }
    all.expect_unchanged(all.probes().front(), 400);
    EXPECT_GE(tried, 30);
}

TEST_F(isolation_acts, G01_links_in_mails_lead_to_our_own_address_whatever_the_host_says) {
    const auto& email = stage().member.who.email;
    const auto known = stage().where().mailed_tokens(email);
    prober all(stage());
    for (const auto& one : all.probes()) {
        if (one.operation.name != "POST /api/v1/auth/forgot-password" || one.where == nullptr ||
            one.who != caller::nobody) {
            continue;
        }
        auto request = all.made(one, &three::own);
        request.body["email"] = email;
        request.fields.emplace_back("X-Forwarded-Host", "attacker.example");
        request.fields.emplace_back("Forwarded", "host=attacker.example;proto=http");
        EXPECT_EQ(all.exchange_bytes(all.bytes_of(one, request, "attacker.example")).status, 202);
    }
    const auto token = stage().where().wait_for_mail(email, known);
    bool found = false;
    for (const auto& mail : mails_to(stage().where(), email, "Choose a new password")) {
        EXPECT_EQ(mail.find("attacker"), std::string::npos) << mail;
        found = found || token_in(mail, "/reset-password") == token;
    }
    EXPECT_TRUE(found);
}

TEST_F(isolation_acts, G01_a_live_credential_of_Bs_shows_and_does_the_same_with_As_token) {
    auto client = stage().client();
    auto& b = *stage().b_rows;
    const auto a_before = stage().a_rows->now();
    auto before = b.now();
    const json::object invitation{{"token", stage().live_invite_token}};
    const auto shown = post_json(client, "/api/v1/invites/preview", invitation,
                                 {{"X-Request-ID", std::string(fixed_request_id)}});
    EXPECT_EQ(shown.status, 200) << shown.text();
    auto fields = stage().credentials(caller::owner);
    fields.emplace_back("X-Request-ID", std::string(fixed_request_id));
    EXPECT_EQ(comparable(post_json(client, "/api/v1/invites/preview", invitation, fields)),
              comparable(shown));
    // It is for another address, so nobody of A joins with it.
    for (const auto who : {caller::member, caller::admin, caller::owner, caller::assumed}) {
        EXPECT_TRUE(is_problem(
            post_json(client, "/api/v1/invites/accept", invitation, stage().credentials(who)), 403,
            "forbidden"))
            << name_of(who);
    }
    EXPECT_EQ(rows_about::difference(before, b.now()), "");
    // What acts, acts on whom it was mailed to.
    EXPECT_EQ(post_json(client, "/api/v1/auth/verify-email",
                        {{"token", stage().live_verification_token}}, fields)
                  .status,
              200);
    EXPECT_EQ(stage().where().database().value_admin(
                  "select email_verified_at is not null from control.account where id = '" +
                  stage().b_unverified.user_id + "'"),
              "t");
    EXPECT_EQ(post_json(client, "/api/v1/auth/reset-password",
                        {{"token", stage().live_reset_token},
                         {"new_password", "another long and good pass phrase 8"}},
                        fields)
                  .status,
              204);
    // A session of B's goes on as one of B's, and ends, whoever else's token and slug are sent too.
    fields.emplace_back("X-Tenant-Slug", stage().owner.who.slug);
    const auto session = log_in_as_b(client);
    const auto next = refresh_with(client, session.refresh, fields);
    ASSERT_EQ(next.status, 200) << next.text();
    EXPECT_EQ(tokens_of(next).tenant_slug, stage().b_owner.who.slug);
    EXPECT_EQ(tokens_of(next).session, session.session);
    EXPECT_EQ(post_json(client, "/api/v1/auth/logout", {{"refresh_token", tokens_of(next).refresh}},
                        fields)
                  .status,
              204);
    EXPECT_FALSE(accepted(client, session));
    stage().settle();
    EXPECT_EQ(rows_about::difference(a_before, stage().a_rows->now()), "");
}

}  // namespace
}  // namespace insula::test
