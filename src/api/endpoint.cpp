#include "endpoint.hpp"

#include "authenticate.hpp"

#include <algorithm>

namespace insula::api {
namespace {

constexpr std::size_t user_agent_bytes_max = 256;
constexpr int limit_default = 50;
constexpr int limit_max = 100;

}  // namespace

identity::caller anonymous_context::caller() const {
    std::string agent(utf8_prefix(request.header("User-Agent").value_or(""), user_agent_bytes_max));
    if (!valid_utf8(agent)) {
        agent.clear();  // a text column takes nothing else
    }
    return {std::string(request.client), std::string(request.request_id), std::move(agent),
            request.deadline};
}

namespace detail {

answer call_anonymous(services& with, http::request& r, answer (*handler)(anonymous_context&)) {
    anonymous_context context{with, r};
    co_return co_await handler(context);
}

answer call_user(services& with, http::request& r, const operation& about,
                 answer (*handler)(user_context&)) {
    auto context = co_await authenticate(with, r, about.any_tenant_state);
    if (!context) {
        co_return context.error();
    }
    co_return co_await handler(*context);
}

namespace {

/// Something failed that cannot fail while the session and its tenant are what the token says: with
/// a tenant goes its role, and a deletion that is under way takes its tables. The control plane
/// knows; nullopt: the token is good, so the failure is ours. Costs nothing unless it had failed.
runtime::awaitable<std::optional<error>> refused_by_now(services& with, const user_context& who) {
    pg::unit work;
    identity::add_assert_session(work, who.who);
    const auto asserted = co_await with.identity.control.run(std::move(work), who.request.deadline);
    if (asserted) {
        co_return std::nullopt;
    }
    auto refusal = tenancy::to_error(asserted.error());
    if (refusal == errc::internal || refusal == errc::overloaded) {
        co_return std::nullopt;
    }
    with.identity.tenants.forget(who.tenant->id);  // looked up again, should it still be asked for
    co_return refusal;
}

/// At least that role in the token's tenant, and the tenant's cell is one of this process's.
template <class Context>
answer call_with_role(services& with, http::request& r, const operation& about, token::role least,
                      answer (*handler)(Context&)) {
    auto user = co_await authenticate(with, r, about.any_tenant_state);
    if (!user) {
        co_return user.error();
    }
    if (!user->tenant || user->who.role < token::role::member) {
        co_return error(errc::forbidden, "This needs a token of a tenant: log in with its slug.");
    }
    if (user->who.role < least) {
        co_return error(errc::forbidden, "This needs the role " + std::string(token::name(least)) +
                                             " in the tenant; yours is " +
                                             std::string(token::name(user->who.role)) + ".");
    }
    if (!with.cells.has(user->tenant->cell)) {
        co_return error(errc::overloaded, "The tenant is served by other processes; try again.",
                        "cell " + std::to_string(user->tenant->cell) +
                            " is beyond this process's INSULA_CELLS");
    }
    tenancy::tenant_scope scope(with.cells, user->tenant, user->who, std::string(r.client),
                                std::string(r.request_id), r.deadline);
    member_context whole{std::move(*user), std::move(scope)};
    Context context{std::move(whole)};
    auto answered = co_await handler(context);
    if (!answered && answered.error() == errc::internal) {
        if (auto refusal = co_await refused_by_now(with, context)) {
            co_return *refusal;
        }
    }
    co_return answered;
}

}  // namespace

answer call_member(services& with, http::request& r, const operation& about,
                   answer (*handler)(member_context&)) {
    return call_with_role(with, r, about, token::role::member, handler);
}

answer call_admin(services& with, http::request& r, const operation& about,
                  answer (*handler)(admin_context&)) {
    return call_with_role(with, r, about, token::role::admin, handler);
}

answer call_owner(services& with, http::request& r, const operation& about,
                  answer (*handler)(owner_context&)) {
    return call_with_role(with, r, about, token::role::owner, handler);
}

answer call_operator(services& with, http::request& r, const operation& about,
                     answer (*handler)(operator_context&)) {
    auto user = co_await authenticate(with, r, about.any_tenant_state);
    if (!user) {
        co_return user.error();
    }
    if (user->who.tenant || user->who.actor) {
        co_return error(errc::forbidden,
                        "This is for platform operators: log in as one, without a tenant_slug.");
    }
    operator_context context{std::move(*user)};
    co_return co_await handler(context);
}

}  // namespace detail

result<> not_assumed(const user_context& c) {
    if (c.who.actor) {
        return error(errc::forbidden,
                     "Not with an assumed identity: passwords and sessions are the person's own.");
    }
    return {};
}

result<int> limit_parameter(const http::request& r) {
    const auto text = r.query.find("limit");
    if (!text) {
        return limit_default;
    }
    const auto value = decode_integer_parameter(*text, "query/limit", 1, limit_max);
    if (!value) {
        return value.error();
    }
    return static_cast<int>(*value);
}

result<> only_parameters(const http::request& r, std::initializer_list<std::string_view> names) {
    std::vector<field_error> wrong;
    for (std::size_t i = 0; i < r.query.size(); ++i) {
        if (std::ranges::find(names, r.query.name(i)) == names.end()) {
            wrong.push_back({"query/" + std::string(r.query.name(i)), "unknown_parameter",
                             "this route has no such parameter"});
        }
    }
    if (!wrong.empty()) {
        return error::validation(std::move(wrong));
    }
    return {};
}

}  // namespace insula::api
