#pragma once
// What a row of the route table can hold. An endpoint is made by a factory that is named after its
// policy and takes a handler of that policy's context, so a handler cannot be routed with less than
// it asks for, and a row without a policy does not compile.

#include "insula/api/service.hpp"
#include "insula/core/json.hpp"
#include "insula/core/text.hpp"

#include <span>
#include <string_view>
#include <type_traits>

namespace insula::api {

using answer = runtime::awaitable<result<http::response>>;

/// What a handler gets by policy. Lives on the coroutine's frame until the handler has answered.
struct anonymous_context {
    services& app;
    http::request& request;

    identity::caller caller() const;
};
struct user_context : anonymous_context {
    token::claims who;
    std::shared_ptr<const tenancy::tenant_entry> tenant;  ///< null: an operator without a tenant
};
/// At least that role in the token's tenant. The scope is the only way to its tables.
struct member_context : user_context {
    tenancy::tenant_scope scope;
};
struct admin_context : member_context {};
struct owner_context : member_context {};
/// A token without a tenant: log-in gives those to operators only, and for them alone. Whether the
/// account is still an active operator is asserted in the unit that does the work
/// (identity::add_assert_operator), so that it costs no round trip of its own and is exact.
struct operator_context : user_context {};

/// A parameter in the query, for OpenAPI.
struct parameter {
    std::string_view name;
    std::string_view description;
    boost::json::object (*schema)();
};

/// What OpenAPI says of a route; the status of success and the errors besides the common ones.
struct operation {
    std::string_view id;
    std::string_view tag;
    std::string_view summary;
    unsigned success = 200;
    boost::json::object (*request)() = nullptr;
    boost::json::object (*response)() = nullptr;  ///< null: no body
    std::span<const errc> errors{};
    std::span<const parameter> query{};
    bool etag = false;      ///< answers an ETag
    bool if_match = false;  ///< honours If-Match
    bool creates = false;   ///< honours Idempotency-Key; its handler asks idempotency_of()
    bool location = false;  ///< answers a Location
    std::string_view media = "application/json";  ///< of the response
    boost::json::object (*unready)() = nullptr;   ///< of a 503 that is no problem document
    /// Works while the token's tenant is suspended or about to be deleted, too: /auth/* and what
    /// brings the tenant back.
    bool any_tenant_state = false;
};

struct endpoint {
    http::policy policy;
    answer (*call)(services&, http::request&, const operation&);
    operation about;
};

namespace detail {

answer call_anonymous(services& with, http::request& r, answer (*handler)(anonymous_context&));
answer call_user(services& with, http::request& r, const operation& about,
                 answer (*handler)(user_context&));
answer call_member(services& with, http::request& r, const operation& about,
                   answer (*handler)(member_context&));
answer call_admin(services& with, http::request& r, const operation& about,
                  answer (*handler)(admin_context&));
answer call_owner(services& with, http::request& r, const operation& about,
                  answer (*handler)(owner_context&));
answer call_operator(services& with, http::request& r, const operation& about,
                     answer (*handler)(operator_context&));

}  // namespace detail

template <answer (*Handler)(anonymous_context&)>
consteval endpoint anonymous(operation about) {
    return {http::policy::anonymous,
            [](services& with, http::request& r, const operation&) {
                return detail::call_anonymous(with, r, Handler);
            },
            about};
}
template <answer (*Handler)(user_context&)>
consteval endpoint user(operation about) {
    return {http::policy::user,
            [](services& with, http::request& r, const operation& about) {
                return detail::call_user(with, r, about, Handler);
            },
            about};
}
template <answer (*Handler)(member_context&)>
consteval endpoint member(operation about) {
    return {http::policy::member,
            [](services& with, http::request& r, const operation& about) {
                return detail::call_member(with, r, about, Handler);
            },
            about};
}
template <answer (*Handler)(admin_context&)>
consteval endpoint admin(operation about) {
    return {http::policy::admin,
            [](services& with, http::request& r, const operation& about) {
                return detail::call_admin(with, r, about, Handler);
            },
            about};
}
template <answer (*Handler)(owner_context&)>
consteval endpoint owner(operation about) {
    return {http::policy::owner,
            [](services& with, http::request& r, const operation& about) {
                return detail::call_owner(with, r, about, Handler);
            },
            about};
}
template <answer (*Handler)(operator_context&)>
consteval endpoint operator_(operation about) {
    return {http::policy::operator_,
            [](services& with, http::request& r, const operation& about) {
                return detail::call_operator(with, r, about, Handler);
            },
            about};
}

/// The body as T: malformed_json (400), or validation_failed (422) with every wrong field.
template <class T>
result<T> body(const http::request& r) {
    auto tree = parse_json(r.body);
    if (!tree) {
        return tree.error();
    }
    return decode<T>(*tree);
}

/// forbidden when an operator acts here under an assumed identity: passwords and sessions are the
/// person's own.
result<> not_assumed(const user_context& c);

/// `?limit=`: 1 to 100, 50 by default.
result<int> limit_parameter(const http::request& r);

/// Refuses parameters that the route does not know: a misspelt filter must not answer everything.
result<> only_parameters(const http::request& r, std::initializer_list<std::string_view> names);

}  // namespace insula::api
