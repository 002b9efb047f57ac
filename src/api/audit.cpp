// The tenant's audit log, as PostgreSQL lets the tenant's role see it: tenant_api.audit_list()
// takes the tenant from the role, so no filter can reach another's rows.

#include "insula/audit/audit.hpp"

#include "cursor.hpp"
#include "handlers.hpp"
#include "query_parameters.hpp"
#include "schemas.hpp"

namespace insula::api {
namespace {

constexpr std::size_t entity_id_size_max = 100;

constexpr pg::statement list_rows{
    "audit.list",
    "select id, user_id, operator_user_id, action, entity_type, entity_id, changes::text, ip,"
    " request_id, status, created_at from tenant_api.audit_list($1, $2, $3, $4, $5, $6,"
    " $7::bigint::integer)"};

/// "project.create": what happened.
struct action_name {
    std::string text;

    static value_result<action_name> parse(std::string_view text) {
        if (!audit::is_action(text)) {
            return value_problem("invalid_action",
                                 "must be an action such as project.create: lower-case letters "
                                 "and underscores, one dot");
        }
        return action_name{std::string(text)};
    }
};

struct narrowed {
    std::optional<std::string> action;
    std::optional<user_id> user;
    std::optional<std::string_view> entity_type;
    std::optional<std::string_view> entity_id;

    /// No part can hold a line feed.
    std::string text() const {
        return action.value_or("") + "\n" + (user ? user->str() : "") + "\n" +
               std::string(entity_type.value_or("")) + "\n" + std::string(entity_id.value_or(""));
    }
};

void write_row(json_writer& out, const pg::row& row) {
    out.begin_object()
        .member("id", row.get<audit_id>(0))
        .member("user_id", row.get<std::optional<user_id>>(1))
        .member("operator_user_id", row.get<std::optional<user_id>>(2))
        .member("action", row.get<std::string_view>(3))
        .member("entity_type", row.get<std::optional<std::string_view>>(4))
        .member("entity_id", row.get<std::optional<std::string_view>>(5));
    out.key("changes");
    if (const auto changes = row.get<std::optional<std::string_view>>(6)) {
        out.raw(*changes);
    } else {
        out.null();
    }
    out.member("ip", row.get<std::optional<std::string_view>>(7))
        .member("request_id", row.get<std::optional<std::string_view>>(8))
        .member("status", row.get<std::string_view>(9))
        .member("created_at", row.get<timestamp>(10))
        .end_object();
}

answer list(admin_context& c, narrowed which) {
    const auto limit = limit_parameter(c.request);
    if (!limit) {
        co_return limit.error();
    }
    const cursor_codec cursors(c.app.identity.keys, "audit", c.scope.tenant(), which.text());
    const auto after = cursors.read(c.request);
    if (!after) {
        co_return after.error();
    }
    std::optional<timestamp> before;
    std::optional<uuid> before_id;
    if (*after) {
        before = (*after)->created_at;
        before_id = (*after)->id;
    }
    auto work = c.scope.read();
    work.add(list_rows, which.action, which.user, which.entity_type, which.entity_id, before,
             before_id, static_cast<std::int64_t>(*limit + 1));  // one more: is there a next page
    const auto answered = co_await c.scope.run(std::move(work));
    if (!answered) {
        co_return tenancy::to_error(answered.error());
    }
    std::vector<pg::row> rows;
    for (const auto row : answered->front()) {
        rows.push_back(row);
    }
    co_return answer_page(rows, *limit, write_row, [&](const pg::row& last) {
        return cursors.write({last.get<timestamp>(10), last.get<uuid>(0)});
    });
}

bool is_entity_type(std::string_view text) {
    return !text.empty() && text.size() <= audit::name_size_max &&
           std::ranges::all_of(text, [](char ch) { return (ch >= 'a' && ch <= 'z') || ch == '_'; });
}

bool is_entity_id(std::string_view text) {
    return !text.empty() && text.size() <= entity_id_size_max &&
           std::ranges::all_of(text, [](char ch) { return ch > ' ' && ch <= '~'; });
}

}  // namespace

answer list_audit(admin_context& c) {
    if (auto known = only_parameters(c.request, {"action", "user_id", "limit", "cursor"}); !known) {
        co_return known.error();
    }
    auto action = value_parameter<action_name>(c.request, "action");
    if (!action) {
        co_return action.error();
    }
    const auto user = id_parameter<user_id>(c.request, "user_id");
    if (!user) {
        co_return user.error();
    }
    narrowed which;
    which.user = *user;
    if (*action) {
        which.action = std::move((*action)->text);
    }
    co_return co_await list(c, std::move(which));
}

answer list_audit_of_entity(admin_context& c) {
    if (auto known = only_parameters(c.request, {"limit", "cursor"}); !known) {
        co_return known.error();
    }
    narrowed which;
    which.entity_type = c.request.params[0];
    which.entity_id = c.request.params[1];
    if (!is_entity_type(*which.entity_type) || !is_entity_id(*which.entity_id)) {
        co_return error(errc::not_found, "Nothing has this type and id.");
    }
    co_return co_await list(c, std::move(which));
}

namespace schema {

boost::json::object audit_page() {
    return page_of(of({{"id", uuid()},
                       {"user_id", nullable(uuid())},
                       {"operator_user_id", nullable(uuid())},
                       {"action", text()},
                       {"entity_type", nullable(text())},
                       {"entity_id", nullable(text())},
                       {"changes", nullable({{"type", "object"}})},
                       {"ip", nullable(text())},
                       {"request_id", nullable(text())},
                       {"status", one_of({"success", "failure"})},
                       {"created_at", time()}}));
}
boost::json::object audit_action() {
    return {{"type", "string"}, {"pattern", "^[a-z_]+[.][a-z_]+$"}, {"maxLength", 100}};
}

}  // namespace schema

}  // namespace insula::api
