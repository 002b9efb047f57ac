// G01, the other side: with A's own values every operation does what it is there for, so that what
// is refused with B's is refused for them. With names of B along, wherever no operation reads any.
// On a deployment of its own, because everything is used up.
#include "isolation_refusals.hpp"

#include <algorithm>
#include <set>

namespace insula::test {
namespace {

class isolation_own : public testing::Test {
protected:
    static void SetUpTestSuite() { stage_ = std::make_unique<isolation_stage>(); }
    static void TearDownTestSuite() { stage_.reset(); }
    static isolation_stage& stage() { return *stage_; }

private:
    static inline std::unique_ptr<isolation_stage> stage_;
};

// In this order after all others: each takes away what those before it need.
constexpr std::string_view last[] = {
    "POST /api/v1/admin/assume-identity/end",
    "POST /api/v1/invites/accept",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/logout",
    "DELETE /api/v1/auth/sessions/{id}",
    "DELETE /api/v1/invites/{id}",
    "DELETE /api/v1/projects/{id}",
    "DELETE /api/v1/members/{user_id}",
    "POST /api/v1/auth/change-password",
    "DELETE /api/v1/tenants/{slug}",
    "POST /api/v1/tenants/{slug}/restore",
    "POST /api/v1/auth/logout-all",
};

std::ptrdiff_t turn_of(const operation_of_document& operation) {
    const auto found = std::ranges::find(last, operation.name);
    if (found != std::end(last)) {
        return 2 + (found - std::begin(last));
    }
    return operation.method == "GET" ? 0 : 1;
}

/// With the condition that A's own tag is, where the operation takes one.
void expect_own_tag(prober& all, const probe& own) {
    for (const auto& where : own.fitted->places) {
        if (where.names != thing::entity_tag || own.operation.method == "DELETE") {
            continue;
        }
        auto one = own;
        one.own_only = false;
        one.where = &where;
        EXPECT_EQ(outcome(all.send(one, &three::own).answer),
                  where.where == "header/If-Match" ? "200" : "304")
            << where.where;
    }
}

TEST_F(isolation_own, G01_what_A_does_to_somebody_of_both_leaves_what_is_of_B) {
    auto client = stage().client();
    const auto& both = stage().both.who;
    const auto account = [&] {
        return stage().where().database().value_admin(
            "select a::text from control.account a where a.id = '" + both.user_id + "'");
    };
    const auto before = stage().b_rows->now();
    const auto account_before = account();
    const auto member = "/api/v1/members/" + both.user_id;
    for (const auto who : {caller::admin, caller::owner, caller::assumed}) {
        SCOPED_TRACE(name_of(who));
        const auto auth = stage().credentials(who);
        for (const auto& answer : {get(client, member, auth), get(client, "/api/v1/members", auth),
                                   get(client, "/api/v1/audit/logs?user_id=" + both.user_id, auth),
                                   patch_json(client, member, {{"role", "admin"}}, auth),
                                   patch_json(client, member, {{"role", "member"}}, auth)}) {
            EXPECT_EQ(answer.status, 200) << answer.text();
            EXPECT_EQ(stage().seen_in(answer.text()), "") << answer.text();
        }
    }
    EXPECT_EQ(rows_about::difference(before, stage().b_rows->now()), "");
    EXPECT_EQ(get(client, "/api/v1/projects", stage().both_in_b.auth()).status, 200);
    EXPECT_EQ(client.send("DELETE", member, stage().credentials(caller::owner)).status, 204);
    EXPECT_EQ(get(client, "/api/v1/projects", stage().both.tokens.auth()).status, 401);
    // In B, and as a person, nothing has happened.
    EXPECT_EQ(get(client, "/api/v1/projects", stage().both_in_b.auth()).status, 200);
    EXPECT_EQ(account(), account_before);
    EXPECT_EQ(rows_about::difference(before, stage().b_rows->now()), "");
}

TEST_F(isolation_own, G01_with_own_values_every_operation_succeeds_whatever_of_B_is_sent_along) {
    prober all(stage());
    auto client = stage().client();
    auto before = stage().b_rows->now();
    stage().make_own_live();
    auto operations = all.operations();
    std::erase_if(operations, [](const auto& one) { return one.operators; });
    std::ranges::sort(operations, {},
                      [](const auto& one) { return std::pair(turn_of(one), one.name); });
    const auto& b = stage().b_owner.who;
    for (const auto& operation : operations) {
        SCOPED_TRACE(operation.name);
        const auto own = all.with_own_values(operation);
        expect_own_tag(all, own);
        auto request = all.made(own, &three::own);
        const bool bodiless = operation.method != "GET" && request.body.empty();
        if (operation.token) {
            request.fields.emplace_back("X-Tenant-Slug", stage().owner.who.slug);
        }
        if (bodiless) {
            request.target += "?tenant_id=" + b.tenant_id + "&user_id=" + b.user_id;
            request.body = {{"tenant_id", b.tenant_id}, {"user_id", b.user_id}};
        }
        const auto answer = all.exchange(own, request);
        const auto other = own_outcomes().find(operation.name);
        if (other == own_outcomes().end()) {
            EXPECT_THAT(answer.status, testing::AnyOf(200, 201, 202, 204)) << answer.text();
        } else {
            EXPECT_EQ(outcome(answer), other->second.first) << answer.text();
        }
        EXPECT_EQ(stage().seen_in(answer.text()), "") << answer.text();
        if (operation.method != "GET") {
            auto after = stage().b_rows->now();
            EXPECT_EQ(rows_about::difference(before, after), "");
            before = std::move(after);
        }
    }
    stage().settle();
    EXPECT_EQ(rows_about::difference(before, stage().b_rows->now()), "");
}

}  // namespace
}  // namespace insula::test
