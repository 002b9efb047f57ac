#include "insula/identity/invites.hpp"

#include "authenticate.hpp"
#include "cursor.hpp"
#include "handlers.hpp"
#include "idempotency.hpp"
#include "query_parameters.hpp"
#include "roles.hpp"
#include "schemas.hpp"

#include "insula/identity/mail_tokens.hpp"

namespace insula::api {
namespace {

struct invite_form {
    email_address email;
    tenant_role role{};
};
BOOST_DESCRIBE_STRUCT(invite_form, (), (email, role))

struct invite_token_form {
    opaque_token token;
};
BOOST_DESCRIBE_STRUCT(invite_token_form, (), (token))

void write_invite(json_writer& out, const identity::invite& invite) {
    out.begin_object()
        .member("id", invite.id)
        .member("email", invite.email)
        .member("role", token::name(invite.role))
        .member("invited_by", invite.invited_by)
        .member("created_at", invite.created_at)
        .member("expires_at", invite.expires_at)
        .end_object();
}

creation_answer answer_created(const identity::invite_form& form, user_id inviter,
                               const identity::created_invite& made) {
    creation_answer first{
        .status = 201, .location = "/api/v1/invites/" + made.id.str(), .body = {}};
    json_writer out(first.body);
    out.begin_object()
        .member("id", made.id)
        .member("email", form.email)
        .member("role", token::name(form.role))
        .member("invited_by", inviter);
    out.key("created_at").raw(created_at_mark);
    out.key("expires_at").raw(time_mark(identity::lifetime_of(identity::accept_invite_purpose)));
    out.end_object();
    return first;
}

error no_such_invite() {
    return {errc::not_found, "There is no pending invitation with this id in your tenant."};
}

/// So many mails to one address and in all, whoever of the tenant has them sent.
result<> within_mails(admin_context& c, std::string_view email_canonical) {
    const auto tenant = c.who.tenant->str();
    if (auto to_one =
            within_rate(c.app, "resend", "invite " + tenant + " " + std::string(email_canonical));
        !to_one) {
        return to_one;
    }
    return within_rate(c.app, "invite", tenant);
}

}  // namespace

answer create_invite(admin_context& c) {
    auto key = idempotency_of(c);
    if (!key) {
        co_return key.error();
    }
    auto wanted = body<invite_form>(c.request);
    if (!wanted) {
        co_return wanted.error();
    }
    const auto again = co_await repeated(c, *key);
    if (!again) {
        co_return again.error();
    }
    if (!*again) {
        if (auto rate = within_mails(c, wanted->email.canonical()); !rate) {
            co_return rate.error();
        }
    }
    const identity::invite_form form{std::move(wanted->email), to_role(wanted->role)};
    identity::once_only<identity::created_invite> once;
    if (*key) {
        once = {&**key, [&](const auto& made) {
                    return answer_created(form, c.who.subject, made).stored();
                }};
    }
    const auto made =
        co_await identity::create_invite(c.app.identity, c.who, form, c.caller(), std::move(once));
    if (*key && (*key)->answered()) {
        co_return co_await give_again(static_cast<anonymous_context&>(c), **key);
    }
    if (!made) {
        co_return made.error();
    }
    co_return answer_created(form, c.who.subject, *made).at(made->created_at);
}

answer list_invites(admin_context& c) {
    if (auto known = only_parameters(c.request, {"limit", "cursor"}); !known) {
        co_return known.error();
    }
    const auto limit = limit_parameter(c.request);
    if (!limit) {
        co_return limit.error();
    }
    const cursor_codec cursors(c.app.identity.keys, "invites", *c.who.tenant);
    const auto after = cursors.read(c.request);
    if (!after) {
        co_return after.error();
    }
    std::optional<identity::invite_position> behind;
    if (*after) {
        behind = {(*after)->created_at, invite_id((*after)->id)};
    }
    const auto found = co_await identity::list_invites(c.app.identity, c.who, behind, *limit + 1,
                                                       c.request.deadline);
    if (!found) {
        co_return found.error();
    }
    co_return answer_page(*found, *limit, write_invite, [&](const identity::invite& last) {
        return cursors.write({last.created_at, last.id.value()});
    });
}

answer read_invite(admin_context& c) {
    const auto id = invite_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_invite();
    }
    const auto invite =
        co_await identity::read_invite(c.app.identity, c.who, *id, c.request.deadline);
    if (!invite) {
        co_return invite.error();
    }
    std::string text;
    json_writer out(text);
    write_invite(out, *invite);
    co_return http::response::json(200, std::move(text));
}

answer withdraw_invite(admin_context& c) {
    const auto id = invite_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_invite();
    }
    if (auto done = co_await identity::withdraw_invite(c.app.identity, c.who, *id, c.caller());
        !done) {
        co_return done.error();
    }
    co_return http::response::no_content();
}

answer resend_invite(admin_context& c) {
    const auto id = invite_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_invite();
    }
    const auto within = [&c](std::string_view email) { return within_mails(c, email); };
    if (auto done = co_await identity::renew_invite(c.app.identity, c.who, *id, within, c.caller());
        !done) {
        co_return done.error();
    }
    co_return http::response(202, {}, {});
}

answer preview_invite(anonymous_context& c) {
    const auto form = body<invite_token_form>(c.request);
    if (!form) {
        co_return form.error();
    }
    const auto found =
        co_await identity::preview_invite(c.app.identity, form->token, c.request.deadline);
    if (!found) {
        co_return found.error();
    }
    std::string text;
    json_writer(text)
        .begin_object()
        .member("email", found->email)
        .member("tenant_name", found->tenant_name)
        .member("role", token::name(found->role))
        .member("expires_at", found->expires_at)
        .member("needs_account", found->needs_account)
        .end_object();
    co_return http::response::json(200, std::move(text));
}

answer accept_invite(anonymous_context& c) {
    const auto form = body<identity::acceptance>(c.request);
    if (!form) {
        co_return form.error();
    }
    std::optional<user_context> who;
    if (c.request.header("Authorization")) {
        // In whatever state the tenant is that the person comes from.
        auto known = co_await authenticate(c.app, c.request, true);
        if (!known) {
            co_return known.error();
        }
        if (auto own = not_assumed(*known); !own) {
            co_return own.error();
        }
        if (!known->tenant) {
            co_return error(errc::forbidden,
                            "An operator's token joins no tenants: log in with the slug of one.");
        }
        who.emplace(std::move(*known));
    }
    const auto joined = co_await identity::accept_invite(
        c.app.identity, *form, who ? &who->who : nullptr,
        [&c](std::string_view email) {
            return within_rate(c.app, "login", "account " + std::string(email));
        },
        c.caller());
    if (!joined) {
        co_return joined.error();
    }
    std::string text;
    json_writer out(text);
    out.begin_object()
        .key("tenant")
        .begin_object()
        .member("id", joined->tenant)
        .member("slug", joined->slug)
        .member("name", joined->name)
        .end_object();
    out.member("user_id", joined->user).end_object();
    co_return http::response::json(200, std::move(text));
}

namespace schema {

boost::json::object invite_form() {
    return schema_of<api::invite_form>();
}
boost::json::object invite() {
    return of({{"id", uuid()},
               {"email", text()},
               {"role", role()},
               {"invited_by", uuid()},
               {"created_at", time()},
               {"expires_at", time()}});
}
boost::json::object invite_page() {
    return page_of(invite());
}
boost::json::object invite_token_form() {
    return schema_of<api::invite_token_form>();
}
boost::json::object invite_preview() {
    return of({{"email", text()},
               {"tenant_name", text()},
               {"role", role()},
               {"expires_at", time()},
               {"needs_account", boolean()}});
}
boost::json::object acceptance() {
    return schema_of<identity::acceptance>();
}
boost::json::object joined() {
    return of({{"tenant", of({{"id", uuid()}, {"slug", text()}, {"name", text()}})},
               {"user_id", uuid()}});
}

}  // namespace schema

}  // namespace insula::api
