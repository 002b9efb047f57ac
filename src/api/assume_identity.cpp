// An operator acts as a member of a tenant: docs/operations.md, "Assumed identities".

#include "handlers.hpp"
#include "schemas.hpp"
#include "token_answer.hpp"

#include "insula/identity/assumed.hpp"

namespace insula::api {

answer assume_identity(operator_context& c) {
    const auto form = body<identity::assume_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    const auto issued =
        co_await identity::assume_identity(c.app.identity, c.app.tokens, c.who, *form, c.caller());
    if (!issued) {
        co_return issued.error();
    }
    co_return answer_tokens(*issued);
}

answer end_assumed_identity(user_context& c) {
    if (!c.who.actor) {
        co_return error(errc::forbidden,
                        "This ends an assumed identity, and yours is your own: to end your "
                        "session, POST /api/v1/auth/logout.");
    }
    if (auto ended = co_await identity::end_assumed_identity(c.app.identity, c.who, c.caller());
        !ended) {
        co_return ended.error();
    }
    co_return http::response(204, {}, {});
}

namespace schema {

boost::json::object assume_form() {
    return schema_of<identity::assume_form>();
}
boost::json::object assumed_tokens() {
    return of({{"access_token", text()},
               {"token_type", one_of({"Bearer"})},
               {"expires_in", integer()},
               {"tenant", of({{"id", uuid()},
                              {"slug", text()},
                              {"name", text()},
                              {"role", one_of({"owner", "admin", "member"})}})}});
}

}  // namespace schema

}  // namespace insula::api
