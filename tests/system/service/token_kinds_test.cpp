// Six kinds of tokens, and every place that takes one: each is good where it belongs and nowhere
// else.
#include "people.hpp"
#include "signed_in.hpp"

namespace insula::test {
namespace {

enum class kind { access, refresh, verification, reset, invite, registration };

constexpr const char* kind_names[] = {"access", "refresh", "verification",
                                      "reset",  "invite",  "registration"};

/// One place that takes a token.
struct taker {
    const char* operation;  ///< as in /openapi.json, with the member; "Bearer" for the header
    kind takes;
    int status;  ///< what a token of another kind gets
    const char* code;
    http_answer (*send)(http_client&, const std::string& token);
};

json::object whole_invite(const std::string& token) {
    return {{"token", token}, {"password", good_password}, {"full_name", "Some Body"}};
}

const taker takers[] = {
    {"Bearer", kind::access, 401, "invalid_token",
     [](http_client& c, const std::string& t) {
         return get(c, "/api/v1/users/me", {{"Authorization", "Bearer " + t}});
     }},
    {"/api/v1/auth/refresh refresh_token", kind::refresh, 401, "invalid_refresh_token",
     [](http_client& c, const std::string& t) { return refresh_with(c, t); }},
    {"/api/v1/auth/logout refresh_token", kind::refresh, 204, "",
     [](http_client& c, const std::string& t) {
         return post_json(c, "/api/v1/auth/logout", {{"refresh_token", t}});
     }},
    {"/api/v1/auth/verify-email token", kind::verification, 400, "invalid_token_value",
     [](http_client& c, const std::string& t) {
         return post_json(c, "/api/v1/auth/verify-email", {{"token", t}});
     }},
    {"/api/v1/auth/reset-password token", kind::reset, 400, "invalid_token_value",
     [](http_client& c, const std::string& t) {
         return post_json(c, "/api/v1/auth/reset-password",
                          {{"token", t}, {"new_password", good_password}});
     }},
    {"/api/v1/invites/preview token", kind::invite, 404, "not_found",
     [](http_client& c, const std::string& t) {
         return post_json(c, "/api/v1/invites/preview", {{"token", t}});
     }},
    {"/api/v1/invites/accept token", kind::invite, 404, "not_found",
     [](http_client& c, const std::string& t) {
         return post_json(c, "/api/v1/invites/accept", whole_invite(t));
     }},
    {"/api/v1/registrations/{registration_id}", kind::registration, 404, "not_found",
     [](http_client& c, const std::string& t) { return get(c, "/api/v1/registrations/" + t); }},
    {"/api/v1/registrations/{registration_id}/retry", kind::registration, 404, "not_found",
     [](http_client& c, const std::string& t) {
         return post_json(c, "/api/v1/registrations/" + t + "/retry", json::object{});
     }},
};

/// Everything in /openapi.json that looks like such a place.
std::set<std::string> described_takers(http_client& client) {
    std::set<std::string> found;
    const auto document = parse(get(client, "/openapi.json"));
    const auto schema_of = [&](const json::value& schema) -> const json::object& {
        const auto* reference = schema.as_object().if_contains("$ref");
        if (reference == nullptr) {
            return schema.as_object();
        }
        return document.at_pointer(std::string(reference->as_string()).substr(1)).as_object();
    };
    for (const auto& path : document.at("paths").as_object()) {
        if (std::string(path.key()).find("{registration_id}") != std::string::npos) {
            found.emplace(path.key());
        }
        for (const auto& one : path.value().as_object()) {
            const auto* body = one.value().as_object().if_contains("requestBody");
            if (body == nullptr) {
                continue;
            }
            const auto& schema = schema_of(body->at("content").at("application/json").at("schema"));
            for (const auto& member : schema.at("properties").as_object()) {
                if (std::string(member.key()).find("token") != std::string::npos) {
                    found.emplace(std::string(path.key()) + " " + std::string(member.key()));
                }
            }
        }
    }
    return found;
}

class system_token_kinds : public testing::Test {
protected:
    /// A good token of each kind, in their order.
    std::vector<std::string> one_of_each() {
        const auto who = where_.make_person("kinds");
        session_ = log_in_as(client_, who);
        const auto spent = where_.mailed_tokens(who.email);  // the verification's
        const auto slug = where_.fresh_slug("kinds-new");
        const auto registered = post_json(client_, "/api/v1/auth/register",
                                          registration_form(slug, slug + "@example.org"));
        EXPECT_EQ(registered.status, 202) << registered.text();
        EXPECT_EQ(post_json(client_, "/api/v1/auth/forgot-password", {{"email", who.email}}).status,
                  202);
        const auto guest = where_.fresh_slug("kinds-guest") + "@example.org";
        (void)invited(client_, who, guest, "member");
        return {session_.access,
                session_.refresh,
                where_.wait_for_mail(slug + "@example.org"),
                where_.wait_for_mail(who.email, spent),
                where_.wait_for_mail(guest),
                text_of(parse(registered), "/registration_id")};
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
    token_pair session_;
};

TEST_F(system_token_kinds, G12_every_place_that_takes_a_token_is_tried) {
    std::set<std::string> tried;
    for (const auto& one : takers) {
        tried.insert(one.operation);
    }
    auto described = described_takers(client_);
    described.insert("Bearer");
    EXPECT_EQ(tried, described) << "say in the table what a new place does with the other kinds";
}

TEST_F(system_token_kinds, G12_no_kind_is_taken_for_another) {
    const auto tokens = one_of_each();
    for (const auto& place : takers) {
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            if (static_cast<kind>(i) == place.takes) {
                continue;
            }
            const auto answer = place.send(client_, tokens[i]);
            const std::string what = std::string(kind_names[i]) + " token to " + place.operation;
            if (answer.status == 422) {  // longer than a token of that member may be
                EXPECT_TRUE(is_problem(answer, 422, "validation_failed")) << what;
                EXPECT_GT(tokens[i].size(), 512U) << what;
            } else if (place.status < 300) {
                EXPECT_EQ(answer.status, place.status) << what;
            } else {
                EXPECT_TRUE(is_problem(answer, place.status, place.code)) << what;
            }
        }
    }
    // Nothing was used up or ended by all that: each is good where it belongs.
    for (const auto& place : takers) {
        const auto& token = tokens[static_cast<std::size_t>(place.takes)];
        const bool leaves = std::string(place.operation).find("logout") != std::string::npos;
        const bool retries = std::string(place.operation).find("retry") != std::string::npos;
        if (leaves || place.takes == kind::reset) {
            continue;  // they end the session: below
        }
        const auto answer = place.send(client_, token);
        if (retries) {
            EXPECT_TRUE(is_problem(answer, 409, "not_failed"));
        } else {
            EXPECT_EQ(answer.status, 200) << place.operation << answer.text();
        }
    }
    EXPECT_EQ(takers[4].send(client_, tokens[3]).status, 204) << "the reset token";
    EXPECT_FALSE(accepted(client_, session_));
}

}  // namespace
}  // namespace insula::test
