#include "people.hpp"

namespace insula::test {
namespace {

void must_be(const http_answer& answer, int status, const char* what) {
    if (answer.status != status) {
        throw std::runtime_error(std::string(what) + " answered " + answer.text());
    }
}

person logged_in(http_client& client, person who) {
    const auto answer = log_in(client, who);
    must_be(answer, 200, "login");
    who.token = text_of(parse(answer), "/access_token");
    return who;
}

}  // namespace

http_answer invite(http_client& client, const person& by, std::string_view email,
                   std::string_view role, http_fields more) {
    return post_json(client, "/api/v1/invites", {{"email", email}, {"role", role}},
                     by.auth_with(std::move(more)));
}

std::string invited(http_client& client, const person& by, std::string_view email,
                    std::string_view role) {
    const auto answer = invite(client, by, email, role);
    must_be(answer, 201, "invite");
    return text_of(parse(answer), "/id");
}

http_answer accept(http_client& client, std::string_view token, json::object more,
                   http_fields fields) {
    more["token"] = token;
    return post_json(client, "/api/v1/invites/accept", more, std::move(fields));
}

http_answer accept_as_new(http_client& client, std::string_view token, std::string_view full_name) {
    return accept(client, token, {{"password", good_password}, {"full_name", full_name}});
}

person make_member(deployment& where, const person& by, std::string_view role,
                   std::string_view stem) {
    auto client = where.server().client();
    person who = by;
    who.email = where.fresh_slug(stem) + "@example.org";
    (void)invited(client, by, who.email, role);
    const auto joined = accept_as_new(client, where.wait_for_mail(who.email));
    must_be(joined, 200, "accept");
    who.user_id = text_of(parse(joined), "/user_id");
    return logged_in(client, who);
}

person join_another(deployment& where, const person& by, const person& who, std::string_view role) {
    auto client = where.server().client();
    const auto known = where.mailed_tokens(who.email);
    (void)invited(client, by, who.email, role);
    must_be(accept(client, where.wait_for_mail(who.email, known), {}, who.auth()), 200, "accept");
    person there = who;
    there.slug = by.slug;
    there.tenant_id = by.tenant_id;
    return logged_in(client, there);
}

http_answer log_in(http_client& client, const person& who) {
    return post_json(
        client, "/api/v1/auth/login",
        {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}});
}

person assumed(deployment& where, const person& who) {
    auto client = where.server().client();
    const auto answer = post_json(client, "/api/v1/admin/assume-identity",
                                  {{"user_id", who.user_id},
                                   {"tenant_id", who.tenant_id},
                                   {"reason", "a question of a customer"}},
                                  where.operator_auth());
    must_be(answer, 200, "assume-identity");
    person as = who;
    as.token = text_of(parse(answer), "/access_token");
    return as;
}

http_answer set_role(http_client& client, const person& by, const person& of, std::string_view role,
                     http_fields more) {
    return patch_json(client, "/api/v1/members/" + of.user_id, {{"role", role}},
                      by.auth_with(std::move(more)));
}

http_answer remove(http_client& client, const person& by, const person& whom) {
    return client.send("DELETE", "/api/v1/members/" + whom.user_id, by.auth());
}

http_answer look(http_client& client, const person& who) {
    return get(client, "/api/v1/projects", who.auth());
}

std::string membership(deployment& where, const person& of) {
    return where.database().value_admin(
        "select role || ' ' || status from control.membership where tenant_id = '" + of.tenant_id +
        "' and user_id = '" + of.user_id + "'");
}

std::string audited(deployment& where, const person& of, std::string_view action) {
    return where.database().value_admin(
        "select count(*) from control.audit_log where tenant_id = '" + of.tenant_id +
        "' and action = '" + std::string(action) + "'");
}

}  // namespace insula::test
