#include "insula/identity/members.hpp"

#include "cursor.hpp"
#include "etag.hpp"
#include "handlers.hpp"
#include "query_parameters.hpp"
#include "roles.hpp"
#include "schemas.hpp"

namespace insula::api {
namespace {

struct member_patch {
    tenant_role role{};
};
BOOST_DESCRIBE_STRUCT(member_patch, (), (role))

void write_member(json_writer& out, const identity::member& member) {
    out.begin_object()
        .member("user_id", member.user)
        .member("email", member.email)
        .member("full_name", member.full_name)
        .member("role", token::name(member.role))
        .member("created_at", member.created_at)
        .end_object();
}

http::response answer_member(const http::request& r, const identity::member& member) {
    std::string text;
    json_writer out(text);
    write_member(out, member);
    return answer_tagged(r, member.version, std::move(text));
}

error no_such_member() {
    return {errc::not_found, "There is no member with this id in your tenant."};
}

/// Whom the path names, and what If-Match demands.
result<identity::member_change> change_of(const http::request& r) {
    auto condition = read_if_match(r);
    if (!condition) {
        return condition.error();
    }
    const auto id = user_id::parse(r.params[0]);
    if (!id) {
        return no_such_member();
    }
    identity::member_change what{.member = *id};
    if (*condition && !(*condition)->any) {
        what.if_versions = std::move((*condition)->versions);
    }
    return what;
}

}  // namespace

answer list_members(member_context& c) {
    if (auto known = only_parameters(c.request, {"limit", "cursor"}); !known) {
        co_return known.error();
    }
    const auto limit = limit_parameter(c.request);
    if (!limit) {
        co_return limit.error();
    }
    const cursor_codec cursors(c.app.identity.keys, "members", *c.who.tenant);
    const auto after = cursors.read(c.request);
    if (!after) {
        co_return after.error();
    }
    std::optional<identity::member_position> behind;
    if (*after) {
        behind = {(*after)->created_at, user_id((*after)->id)};
    }
    const auto found = co_await identity::list_members(c.app.identity, c.who, behind, *limit + 1,
                                                       c.request.deadline);
    if (!found) {
        co_return found.error();
    }
    co_return answer_page(*found, *limit, write_member, [&](const identity::member& last) {
        return cursors.write({last.created_at, last.user.value()});
    });
}

answer read_member(member_context& c) {
    const auto id = user_id::parse(c.request.params[0]);
    if (!id) {
        co_return no_such_member();
    }
    const auto member =
        co_await identity::read_member(c.app.identity, c.who, *id, c.request.deadline);
    if (!member) {
        co_return member.error();
    }
    co_return answer_member(c.request, *member);
}

answer change_member(admin_context& c) {
    const auto patch = body<member_patch>(c.request);
    if (!patch) {
        co_return patch.error();
    }
    auto what = change_of(c.request);
    if (!what) {
        co_return what.error();
    }
    const auto changed = co_await identity::change_member_role(
        c.app.identity, c.who, std::move(*what), to_role(patch->role), c.caller());
    if (!changed) {
        co_return changed.error();
    }
    co_return answer_member(c.request, *changed);
}

// For members, because everybody may leave; sending somebody else away takes an admin, which the
// database judges.
answer remove_member(member_context& c) {
    auto what = change_of(c.request);
    if (!what) {
        co_return what.error();
    }
    const auto removed =
        co_await identity::remove_member(c.app.identity, c.who, std::move(*what), c.caller());
    if (!removed) {
        co_return removed.error();
    }
    co_return http::response::no_content();
}

namespace schema {

boost::json::object role() {
    return one_of({"owner", "admin", "member"});
}
boost::json::object member_patch() {
    return schema_of<api::member_patch>();
}
boost::json::object member() {
    return of({{"user_id", uuid()},
               {"email", text()},
               {"full_name", text()},
               {"role", role()},
               {"created_at", time()}});
}
boost::json::object member_page() {
    return page_of(member());
}

}  // namespace schema

}  // namespace insula::api
