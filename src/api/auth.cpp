#include "authenticate.hpp"
#include "handlers.hpp"
#include "schemas.hpp"
#include "token_answer.hpp"

#include "insula/identity/login.hpp"
#include "insula/identity/mail_tokens.hpp"

namespace insula::api {
namespace {

struct token_form {
    opaque_token token;
};
BOOST_DESCRIBE_STRUCT(token_form, (), (token))

struct email_form {
    email_address email;
};
BOOST_DESCRIBE_STRUCT(email_form, (), (email))

/// The slug of body and header: either, or both alike.
result<> merge_slug(const http::request& r, std::optional<std::string>& slug) {
    const auto count = r.header_count("X-Tenant-Slug");
    if (count == 0) {
        return {};
    }
    const auto header = *r.header("X-Tenant-Slug");
    if (count > 1 || (slug && *slug != header)) {
        return error::validation("/tenant_slug", "mismatch",
                                 "tenant_slug and the X-Tenant-Slug header differ");
    }
    if (!valid_utf8(header)) {
        return error::validation("header/X-Tenant-Slug", "invalid_utf8", "must be a slug");
    }
    slug = std::string(header);
    return {};
}

}  // namespace

answer log_in(anonymous_context& c) {
    auto form = body<identity::login_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    if (auto merged = merge_slug(c.request, form->tenant_slug); !merged) {
        co_return merged.error();
    }
    if (auto rate = within_rate(c.app, "login", "account " + form->email.canonical()); !rate) {
        co_return rate.error();
    }
    const auto issued = co_await identity::log_in(c.app.identity, c.app.tokens, *form, c.caller());
    if (!issued) {
        co_return issued.error();
    }
    co_return answer_tokens(*issued);
}

answer verify_email(anonymous_context& c) {
    auto form = body<token_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    if (auto done = co_await identity::verify_email(c.app.identity, form->token, c.caller());
        !done) {
        co_return done.error();
    }
    co_return http::response::json(200, R"({"verified":true})");
}

answer resend_verification(anonymous_context& c) {
    auto form = body<email_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    if (auto rate = within_rate(c.app, "resend", "account " + form->email.canonical()); !rate) {
        co_return rate.error();
    }
    if (auto done = co_await identity::resend_verification(c.app.identity, form->email, c.caller());
        !done) {
        co_return done.error();
    }
    co_return http::response(202, {}, {});
}

namespace schema {

boost::json::object login_form() {
    return schema_of<identity::login_form>();
}
boost::json::object token_form() {
    return schema_of<api::token_form>();
}
boost::json::object verified() {
    return of({{"verified", boolean()}});
}
boost::json::object email_form() {
    return schema_of<api::email_form>();
}

}  // namespace schema

}  // namespace insula::api
