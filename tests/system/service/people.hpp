// Members and invitations, as the tests about people make and ask for them.
#pragma once

#include "deployment.hpp"

namespace insula::test {

http_answer invite(http_client& client, const person& by, std::string_view email,
                   std::string_view role, http_fields more = {});
/// The id of a new invitation; throws with the answer that made none.
std::string invited(http_client& client, const person& by, std::string_view email,
                    std::string_view role);
http_answer accept(http_client& client, std::string_view token, json::object more = {},
                   http_fields fields = {});
/// With a new account.
http_answer accept_as_new(http_client& client, std::string_view token,
                          std::string_view full_name = "Grace Hopper");

/// Somebody new who was invited to the tenant of `by`, joined and logged in.
person make_member(deployment& where, const person& by, std::string_view role,
                   std::string_view stem = "member");
/// Somebody who has an account joins the tenant of `by` and logs in there.
person join_another(deployment& where, const person& by, const person& who, std::string_view role);

http_answer log_in(http_client& client, const person& who);
/// The person as an operator who has assumed that identity.
person assumed(deployment& where, const person& who);
http_answer set_role(http_client& client, const person& by, const person& of, std::string_view role,
                     http_fields more = {});
http_answer remove(http_client& client, const person& by, const person& whom);
/// What a request that needs nothing but a good token of a tenant answers.
http_answer look(http_client& client, const person& who);

/// "role status" of a membership.
std::string membership(deployment& where, const person& of);
/// How many audit rows there are of an action in a tenant.
std::string audited(deployment& where, const person& of, std::string_view action);

}  // namespace insula::test
