// G01, generated from /openapi.json: every operation, every place of it that can name something,
// with the credentials of everybody in A: B's value is answered like one that never existed, and
// nothing of B changes; nor of A, where the answer is a refusal.
#include "isolation_refusals.hpp"

#include <algorithm>
#include <optional>
#include <set>

namespace insula::test {
namespace {

class isolation_generated : public testing::Test {
protected:
    static isolation_stage& stage() { return isolation_stage::shared(); }
};

TEST_F(isolation_generated, G01_every_operation_and_every_place_is_fitted_in) {
    auto client = stage().client();
    EXPECT_THAT(unfitted(parse(get(client, "/openapi.json")).as_object()), testing::IsEmpty());
}

TEST_F(isolation_generated, G01_what_is_new_in_the_document_is_missed) {
    auto client = stage().client();
    const auto document = parse(get(client, "/openapi.json")).as_object();
    const auto missed = [&](auto change) {
        auto bent = document;
        change(bent);
        return unfitted(bent);
    };
    EXPECT_THAT(missed([](json::object& d) {
                    auto& paths = d.at("paths").as_object();
                    auto like = paths.at("/api/v1/projects/{id}");
                    paths["/api/v1/reports/{id}"] = std::move(like);
                }),
                testing::SizeIs(3));
    EXPECT_THAT(missed([](json::object& d) {
                    auto& all = d.at("paths").at("/api/v1/projects").at("get").as_object();
                    all.at("parameters")
                        .as_array()
                        .push_back(json::object{{"name", "owner"}, {"in", "query"}});
                }),
                testing::ElementsAre("not fitted: GET /api/v1/projects, query/owner"));
    EXPECT_THAT(missed([](json::object& d) {
                    auto& body = d.at("paths")
                                     .at("/api/v1/projects")
                                     .at("post")
                                     .at("requestBody")
                                     .at("content")
                                     .at("application/json")
                                     .as_object();
                    auto schema = resolved(d, body.at("schema").as_object());
                    schema.at("properties").as_object()["copy_of"] =
                        json::object{{"type", "object"},
                                     {"properties", json::object{{"project_id", json::object{}}}}};
                    body["schema"] = schema;
                }),
                testing::ElementsAre("not fitted: POST /api/v1/projects, body/copy_of/project_id"));
    EXPECT_THAT(missed([](json::object& d) { d.at("paths").as_object().erase("/api/v1/members"); }),
                testing::ElementsAre("not in the document: GET /api/v1/members"));
}

/// Other ways to say the same, sent along with a probe: all are answered like it.
void expect_the_same_otherwise(isolation_stage& stage, prober& all, const probe& one,
                               const std::string& usual) {
    const bool conditional = std::ranges::any_of(
        one.fitted->places, [](const auto& where) { return where.where == "header/If-Match"; });
    if (one.where == nullptr) {
        return;
    }
    if (conditional && one.where->where.starts_with("path/")) {
        for (const auto which : {&three::foreign, &three::missing}) {
            auto any = all.made(one, which);
            any.fields.emplace_back("If-Match", "*");
            EXPECT_EQ(outcome(all.exchange(one, any)), usual) << "If-Match: *";
        }
    }
    if (one.where->where == "header/X-Tenant-Slug" && one.operation.token) {
        auto twice = all.made(one, &three::own);
        twice.fields.emplace_back("X-Tenant-Slug", stage.b_owner.who.slug);
        EXPECT_EQ(outcome(all.exchange(one, twice)), usual) << "A's slug, then B's";
    }
}

TEST_F(isolation_generated, G01_what_is_Bs_is_answered_like_what_never_existed) {
    prober all(stage());
    EXPECT_THAT(unruled(all.operations()), testing::IsEmpty());
    int tried = 0;
    std::map<std::string, http_answer> held;
    std::set<std::string> by_role;
    std::set<std::string> reached;
    const auto& probes = all.probes();
    probe look = probes.front();
    look.where = nullptr;
    look.leaves.clear();
    int lowest = 499;
    for (std::size_t i = 0; i < probes.size(); ++i) {
        const auto& one = probes[i];
        SCOPED_TRACE(one.title());
        ++tried;
        std::optional<sent_probe> missing;
        if (one.demanded == rule::alike || one.demanded == rule::capability) {
            missing = all.send(one, &three::missing);
            EXPECT_EQ(stage().seen_in(missing->answer.text(), missing->sent), "");
        }
        const auto foreign = all.send(one, &three::foreign);
        if (one.demanded == rule::held) {
            const auto [first, is_new] = held.emplace(one.operation.name, foreign.answer);
            EXPECT_EQ(alike(foreign.answer, ""), alike(first->second, ""));
        } else {
            EXPECT_EQ(stage().seen_in(foreign.answer.text(), foreign.sent), "")
                << foreign.answer.text();
        }
        if (missing) {
            EXPECT_EQ(difference(foreign, *missing), "");
        }
        const auto answered = outcome(foreign.answer);
        EXPECT_THAT(outcomes_of(one), testing::Contains(answered)) << foreign.answer.text();
        const auto where =
            one.operation.name + ", " + (one.where == nullptr ? "all" : one.where->where);
        (may(one.operation, one.who) ? reached : by_role).insert(where);
        expect_the_same_otherwise(stage(), all, one, answered);
        // One look for all that somebody tries with an operation; what a GET has changed shows at
        // the next one.
        look.leaves.insert(look.leaves.end(), one.leaves.begin(), one.leaves.end());
        lowest = std::min(lowest, foreign.answer.status);
        const bool last = i + 1 == probes.size() || probes[i + 1].who != one.who ||
                          probes[i + 1].operation.name != one.operation.name;
        if (last && (one.operation.method != "GET" || i + 1 == probes.size())) {
            look.operation = one.operation;
            look.who = one.who;
            all.expect_unchanged(look, lowest);
            look.leaves.clear();
            lowest = 499;
        }
    }
    // Each place has somebody whose role does not decide, but for those of operators.
    for (const auto& where : by_role) {
        EXPECT_TRUE(reached.contains(where) || where.find(" /api/v1/admin/") != std::string::npos)
            << where;
    }
    EXPECT_GE(tried, 350);
    std::cout << tried << " pairs of requests\n";
}

TEST_F(isolation_generated, G01_a_member_below_another_is_sent_below_it) {
    json::object body;
    put_member(body, "copy_of/project_id", "7", false);
    put_member(body, "copy_of/deep", "true", true);
    put_member(body, "ids/*", "x", false);
    put_member(body, "rows/*/id", "y", false);
    put_member(body, "rows/*/count", "5", true);
    put_member(body, "name", "a text", true);
    EXPECT_EQ(json::serialize(body), R"({"copy_of":{"project_id":"7","deep":true},"ids":["x"],)"
                                     R"("rows":[{"id":"y","count":5}],"name":"a text"})");
}

TEST_F(isolation_generated, G01_each_of_them_works_for_its_owner) {
    prober all(stage());
    int worked = 0;
    for (const auto& one : all.probes()) {
        if (one.operation.method != "GET" || one.operation.operators || one.who != caller::owner ||
            one.demanded != rule::alike || one.where == nullptr) {
            continue;
        }
        const auto answer = all.send_as_b(one);
        EXPECT_TRUE(answer.status == 200 || answer.status == 304) << one.title() << answer.text();
        ++worked;
    }
    EXPECT_GE(worked, 25);
}

}  // namespace
}  // namespace insula::test
