#include "signed_in.hpp"

#include <array>

namespace insula::test {
namespace {

/// The middle segment of a JWS, which needs no key to be read.
json::object claims_of(const std::string& access) {
    const auto from = access.find('.') + 1;
    const auto text = access.substr(from, access.rfind('.') - from);
    std::string plain;
    unsigned bits = 0;
    int count = 0;
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (const char c : text) {
        bits = (bits << 6) | static_cast<unsigned>(alphabet.find(c));
        count += 6;
        if (count >= 8) {
            count -= 8;
            plain += static_cast<char>((bits >> count) & 0xffU);
        }
    }
    return json::parse(plain).as_object();
}

}  // namespace

token_pair tokens_of(const http_answer& answer) {
    if (answer.status != 200) {
        throw std::runtime_error("no tokens: " + answer.text());
    }
    const auto body = parse(answer);
    token_pair pair;
    pair.access = text_of(body, "/access_token");
    pair.refresh = text_of(body, "/refresh_token");
    pair.expires_in = static_cast<int>(body.at("expires_in").as_int64());
    pair.refresh_expires_in = static_cast<int>(body.at("refresh_expires_in").as_int64());
    if (!body.at("tenant").is_null()) {
        pair.tenant_slug = text_of(body, "/tenant/slug");
        pair.role = text_of(body, "/tenant/role");
    }
    pair.claims = claims_of(pair.access);
    pair.session = std::string(pair.claims.at("sid").as_string());
    return pair;
}

token_pair log_in_as(http_client& client, const person& who) {
    return tokens_of(
        post_json(client, "/api/v1/auth/login",
                  {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}}));
}

http_answer refresh_with(http_client& client, std::string_view refresh_token, http_fields more) {
    return post_json(client, "/api/v1/auth/refresh", {{"refresh_token", refresh_token}},
                     std::move(more));
}

std::string of_session(deployment& where, std::string_view session, const std::string& expression) {
    return where.database()
        .query_admin("select " + expression + " from control.session where id = $1",
                     {std::string(session)})
        .at(0)
        .at(0);
}

int audited(deployment& where, std::string_view action, std::string_view entity) {
    return std::stoi(where.database()
                         .query_admin("select count(*) from control.audit_log where action = $1 and"
                                      " entity_id = $2",
                                      {std::string(action), std::string(entity)})
                         .at(0)
                         .at(0));
}

void add_member(deployment& where, const person& member, const person& of, std::string_view role) {
    where.database().query_admin(
        "insert into control.membership (tenant_id, user_id, role, status)"
        " values ($1, $2, $3, 'active')",
        {of.tenant_id, member.user_id, std::string(role)});
}

bool accepted(http_client& client, const token_pair& tokens) {
    const auto read = get(client, "/api/v1/users/me", tokens.auth());
    const auto written =
        patch_json(client, "/api/v1/users/me", {{"full_name", "Somebody"}}, tokens.auth());
    if (read.status == 200 && written.status == 200) {
        return true;
    }
    EXPECT_TRUE(is_problem(read, 401, "invalid_token"));
    EXPECT_TRUE(is_problem(written, 401, "invalid_token"));
    return false;
}

void wait_until_open(http_client& client, const http_fields& auth) {
    wait_until("the tenant to be open again",
               [&] { return get(client, "/api/v1/projects", auth).status == 200; });
}

}  // namespace insula::test
