#include "insula/identity/passwords.hpp"

#include "authenticate.hpp"
#include "handlers.hpp"
#include "schemas.hpp"

namespace insula::api {
namespace {

struct forgot_form {
    email_address email;
};
BOOST_DESCRIBE_STRUCT(forgot_form, (), (email))

}  // namespace

answer forgot_password(anonymous_context& c) {
    const auto form = body<forgot_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    if (auto rate = within_rate(c.app, "forgot", "account " + form->email.canonical()); !rate) {
        co_return rate.error();
    }
    if (auto done = co_await identity::forgot_password(c.app.identity, form->email, c.caller());
        !done) {
        co_return done.error();
    }
    co_return http::response(202, {}, {});
}

answer reset_password(anonymous_context& c) {
    const auto form = body<identity::reset_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    if (auto done = co_await identity::reset_password(c.app.identity, *form, c.caller()); !done) {
        co_return done.error();
    }
    co_return http::response::no_content();
}

answer change_password(user_context& c) {
    if (auto own = not_assumed(c); !own) {
        co_return own.error();
    }
    const auto form = body<identity::change_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    // As many guesses as at log-in, whatever the number of sessions.
    if (auto rate = within_rate(c.app, "login", "user " + c.who.subject.str()); !rate) {
        co_return rate.error();
    }
    if (auto done = co_await identity::change_password(c.app.identity, c.who, *form, c.caller());
        !done) {
        co_return done.error();
    }
    co_return http::response::no_content();
}

namespace schema {

boost::json::object forgot_form() {
    return schema_of<api::forgot_form>();
}
boost::json::object reset_form() {
    return schema_of<identity::reset_form>();
}
boost::json::object change_form() {
    return schema_of<identity::change_form>();
}

}  // namespace schema

}  // namespace insula::api
