#include "token_answer.hpp"

#include "handlers.hpp"
#include "schemas.hpp"

#include "insula/core/json_writer.hpp"

namespace insula::api {

std::string to_json(const identity::issued_tokens& issued) {
    std::string text;
    json_writer out(text);
    out.begin_object().member("access_token", issued.access_token);
    if (issued.refresh_token) {
        out.member("refresh_token", issued.refresh_token->view());
    }
    out.member("token_type", "Bearer").member("expires_in", issued.expires_in.count());
    if (issued.refresh_token) {
        out.member("refresh_expires_in", issued.refresh_expires_in.count());
    }
    out.key("tenant");
    if (issued.tenant) {
        out.begin_object()
            .member("id", issued.tenant->id)
            .member("slug", issued.tenant->slug)
            .member("name", issued.tenant->name)
            .member("role", token::name(issued.tenant->role))
            .end_object();
    } else {
        out.null();
    }
    out.end_object();
    return text;
}

http::response answer_tokens(const identity::issued_tokens& issued) {
    return http::response::json(200, to_json(issued));
}

namespace schema {

boost::json::object tokens() {
    return of({{"access_token", text()},
               {"refresh_token", text()},
               {"token_type", one_of({"Bearer"})},
               {"expires_in", integer()},
               {"refresh_expires_in", integer()},
               {"tenant", nullable(of({{"id", uuid()},
                                       {"slug", text()},
                                       {"name", text()},
                                       {"role", one_of({"owner", "admin", "member"})}}))}});
}

}  // namespace schema
}  // namespace insula::api
