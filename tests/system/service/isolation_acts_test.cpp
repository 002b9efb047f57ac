// G01, the calls that succeed: what B's people have sent before (keys, tags, ids of requests), or
// names of B's in places that no operation reads, change nothing about what they do, and nothing of
// B.
#include "audited_acts.hpp"
#include "isolation_probes.hpp"
#include "mails.hpp"

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

TEST_F(isolation_acts, G01_names_of_B_where_no_operation_reads_any_do_nothing) {
    prober all(stage());
    int tried = 0;
    for (const auto& one : all.probes()) {
        const bool reads = one.operation.method == "GET";
        if (one.who != (one.operation.token ? caller::owner : caller::nobody) ||
            one.where != &one.fitted->places.front() || one.operation.operators) {
            continue;  // each operation once
        }
        auto with = [&](std::string_view name, const std::string& value) {
            auto request = all.made(one, &three::own);
            if (reads) {
                request.target += (request.target.find('?') == std::string::npos ? "?" : "&") +
                                  std::string(name) + "=" + value;
            } else {
                request.body[name] = value;
            }
            return sent_probe{all.exchange(one, request), request.target, value};
        };
        if (!reads && all.made(one, &three::own).body.empty()) {
            continue;  // it takes no body, and reads none
        }
        SCOPED_TRACE(one.title());
        for (const auto& [name, foreign, missing] :
             {std::tuple{"tenant_id", stage().b_owner.who.tenant_id,
                         std::string("01900000-0000-7000-8000-000000000000")},
              std::tuple{"user", stage().b_owner.who.user_id,
                         std::string("01900000-0000-7000-8000-000000000000")},
              std::tuple{"tenant", stage().b_owner.who.slug,
                         std::string(stage().b_owner.who.slug.size(), 'x')}}) {
            ++tried;
            const auto about_b = with(name, foreign);
            EXPECT_EQ(difference(about_b, with(name, missing)), "");
            EXPECT_EQ(stage().seen_in(about_b.answer.text(), about_b.sent), "");
            if (!reads) {
                EXPECT_EQ(about_b.answer.status, 422) << about_b.answer.text();
            }
        }
        if (reads) {
            all.expect_unchanged(one, 400);
        }
    }
    all.expect_unchanged(all.probes().front(), 400);
    EXPECT_GE(tried, 60);
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
    stage().settle();
    EXPECT_EQ(rows_about::difference(a_before, stage().a_rows->now()), "");
}

}  // namespace
}  // namespace insula::test
