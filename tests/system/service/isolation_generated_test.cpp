// G01, generated from /openapi.json: every operation, every place of it that can name something,
// with the credentials of everybody in A: B's value is answered like one that never existed, and
// nothing of B changes; nor of A, where the answer is a refusal.
#include "isolation_probes.hpp"

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
                    paths["/api/v1/reports/{id}"] = paths.at("/api/v1/projects/{id}");
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

TEST_F(isolation_generated, G01_what_is_Bs_is_answered_like_what_never_existed) {
    prober all(stage());
    int tried = 0;
    std::map<std::string, http_answer> held;
    const auto& probes = all.probes();
    probe look = probes.front();
    look.where = nullptr;
    look.leaves.clear();
    int lowest = 499;
    for (std::size_t i = 0; i < probes.size(); ++i) {
        const auto& one = probes[i];
        SCOPED_TRACE(one.title());
        ++tried;
        const auto missing = all.send(one, &three::missing);
        const auto foreign = all.send(one, &three::foreign);
        if (one.demanded == rule::held) {
            const auto [first, is_new] = held.emplace(one.operation.name, foreign.answer);
            EXPECT_EQ(alike(foreign.answer, ""), alike(first->second, ""));
        } else {
            EXPECT_EQ(stage().seen_in(foreign.answer.text(), foreign.sent), "")
                << foreign.answer.text();
        }
        if (one.demanded == rule::alike || one.demanded == rule::capability) {
            EXPECT_EQ(difference(foreign, missing), "");
        }
        EXPECT_LT(foreign.answer.status, 500) << foreign.answer.text();
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
    EXPECT_GE(tried, 350);
    std::cout << tried << " pairs of requests\n";
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
