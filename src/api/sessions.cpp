// Refresh, log-out, the caller's own sessions, switching tenants.

#include "insula/identity/sessions.hpp"

#include "authenticate.hpp"
#include "cursor.hpp"
#include "handlers.hpp"
#include "query_parameters.hpp"
#include "schemas.hpp"
#include "token_answer.hpp"

#include "insula/core/json_writer.hpp"

namespace insula::api {
namespace {

struct refresh_form {
    opaque_token refresh_token;
};
BOOST_DESCRIBE_STRUCT(refresh_form, (), (refresh_token))

/// A slug that breaks the rules is simply nobody's.
struct switch_form {
    std::string tenant_slug;
};
BOOST_DESCRIBE_STRUCT(switch_form, (), (tenant_slug))

/// The session as a key of the buckets: whoever has one of its tokens.
std::string bucket_of(const identity::refresh_token& token) {
    return "refresh " + token.session().str();
}

/// Sessions are a person's in all tenants, so their list's cursor is bound to the person.
cursor_codec session_cursors(const user_context& c) {
    return {c.app.identity.keys, "auth/sessions", tenant_id(), c.who.subject.str()};
}

}  // namespace

answer refresh(anonymous_context& c) {
    const auto form = body<refresh_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    const auto presented =
        identity::refresh_token::parse(c.app.identity.keys, form->refresh_token.view());
    if (!presented) {
        co_return error(errc::invalid_refresh_token,
                        "The refresh token is not valid (any more): log in again.");
    }
    if (auto rate = within_rate(c.app, "refresh", bucket_of(*presented)); !rate) {
        co_return rate.error();
    }
    const auto issued =
        co_await identity::refresh(c.app.identity, c.app.tokens, *presented, c.caller());
    if (!issued) {
        co_return issued.error();
    }
    co_return answer_tokens(*issued);
}

answer log_out(anonymous_context& c) {
    const auto form = body<refresh_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    const auto presented =
        identity::refresh_token::parse(c.app.identity.keys, form->refresh_token.view());
    if (presented) {
        if (auto done = co_await identity::log_out(c.app.identity, *presented, c.caller()); !done) {
            co_return done.error();
        }
    }
    co_return http::response::no_content();
}

answer log_out_everywhere(user_context& c) {
    if (auto own = not_assumed(c); !own) {
        co_return own.error();
    }
    if (auto done = co_await identity::log_out_everywhere(c.app.identity, c.who, c.caller());
        !done) {
        co_return done.error();
    }
    co_return http::response::no_content();
}

answer list_sessions(user_context& c) {
    if (auto own = not_assumed(c); !own) {
        co_return own.error();
    }
    if (auto known = only_parameters(c.request, {"limit", "cursor"}); !known) {
        co_return known.error();
    }
    const auto limit = limit_parameter(c.request);
    if (!limit) {
        co_return limit.error();
    }
    const auto cursors = session_cursors(c);
    const auto last = cursors.read(c.request);
    if (!last) {
        co_return last.error();
    }
    std::optional<identity::session_position> after;
    if (*last) {
        after = {(*last)->created_at, session_id((*last)->id)};
    }
    const auto found = co_await identity::list_sessions(
        c.app.identity, c.who.subject, after, *limit + 1,  // one more: is there a next page
        c.request.deadline);
    if (!found) {
        co_return found.error();
    }
    const auto write = [&c](json_writer& out, const identity::session_view& one) {
        out.begin_object()
            .member("id", one.id)
            .member("tenant_slug", one.tenant_slug)
            .member("created_at", one.created_at)
            .member("last_used_at", one.last_used_at)
            .member("ip", one.ip)
            .member("user_agent", one.user_agent)
            .member("current", one.id == c.who.session)
            .end_object();
    };
    co_return answer_page(*found, *limit, write, [&](const identity::session_view& one) {
        return cursors.write({one.created_at, one.id.value()});
    });
}

answer end_session(user_context& c) {
    if (auto own = not_assumed(c); !own) {
        co_return own.error();
    }
    const auto id = session_id::parse(c.request.params[0]);
    if (!id) {
        co_return error(errc::not_found, "You have no such session.");
    }
    if (auto done = co_await identity::end_session(c.app.identity, c.who, *id, c.caller()); !done) {
        co_return done.error();
    }
    co_return http::response::no_content();
}

answer switch_tenant(user_context& c) {
    const auto form = body<switch_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    if (auto own = not_assumed(c); !own) {
        co_return own.error();
    }
    // Each makes a session with buckets of its own, so the person's count.
    if (auto rate = within_rate(c.app, "refresh", "switch " + c.who.subject.str()); !rate) {
        co_return rate.error();
    }
    const auto issued = co_await identity::switch_tenant(c.app.identity, c.app.tokens, c.who,
                                                         form->tenant_slug, c.caller());
    if (!issued) {
        co_return issued.error();
    }
    co_return answer_tokens(*issued);
}

namespace schema {

boost::json::object refresh_form() {
    return schema_of<api::refresh_form>();
}
boost::json::object switch_form() {
    return schema_of<api::switch_form>();
}
boost::json::object session_page() {
    return page_of(of({{"id", uuid()},
                       {"tenant_slug", nullable(text())},
                       {"created_at", time()},
                       {"last_used_at", time()},
                       {"ip", text()},
                       {"user_agent", text()},
                       {"current", boolean()}}));
}

}  // namespace schema
}  // namespace insula::api
