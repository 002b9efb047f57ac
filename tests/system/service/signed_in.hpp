// Somebody with the tokens of a session, and what the tests of sessions do with them.
#pragma once

#include "deployment.hpp"

namespace insula::test {

/// What log-in, refresh and switch-tenant answer.
struct token_pair {
    std::string access;
    std::string refresh;
    int expires_in = 0;
    int refresh_expires_in = 0;
    std::string tenant_slug;  ///< empty: none
    std::string role;
    std::string session;  ///< sid of the access token
    json::object claims;

    http_fields auth() const { return {{"Authorization", "Bearer " + access}}; }
};

/// Throws unless it is 200.
token_pair tokens_of(const http_answer& answer);
token_pair log_in_as(http_client& client, const person& who);
http_answer refresh_with(http_client& client, std::string_view refresh_token,
                         http_fields more = {});

/// One value about a session: `select <expression> from control.session where id = …`.
std::string of_session(deployment& where, std::string_view session, const std::string& expression);
/// How often that was audited about one entity.
int audited(deployment& where, std::string_view action, std::string_view entity);
/// Makes a person a member of somebody else's tenant, by SQL.
void add_member(deployment& where, const person& member, const person& of, std::string_view role);

/// True when the access token is taken for reads and writes; false when both are refused as
/// invalid.
bool accepted(http_client& client, const token_pair& tokens);

/// Until the process has heard that the tenant is ready again.
void wait_until_open(http_client& client, const http_fields& auth);

}  // namespace insula::test
