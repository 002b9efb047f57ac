#include "authenticate.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/json.hpp"
#include "insula/observe/log.hpp"

namespace insula::api {
namespace {

using tenancy::verdict;

constexpr std::string_view bearer = "bearer ";

constexpr pg::statement assert_key{"api.assert_key", "select control.assert_key($1)"};

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1; the scheme's case does not matter,
/// RFC 9110 11.1).
result<std::string_view> bearer_token(const http::request& r) {
    const auto field = r.header("Authorization");
    if (!field) {
        return error(errc::unauthenticated,
                     "Send an access token: Authorization: Bearer <access_token>.");
    }
    if (r.header_count("Authorization") != 1 || field->size() <= bearer.size()) {
        return error(errc::invalid_token,
                     "The Authorization header must be one, Bearer and one token.");
    }
    for (std::size_t i = 0; i < bearer.size(); ++i) {
        const char c = (*field)[i];
        if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c) != bearer[i]) {
            return error(errc::invalid_token,
                         "The Authorization header must be one, Bearer and one token.");
        }
    }
    return field->substr(bearer.size());
}

/// A header may agree with the token's tenant, never choose one; whether the other tenant exists is
/// not told.
bool agrees_with_header(const http::request& r, const tenancy::tenant_entry* tenant) {
    const auto count = r.header_count("X-Tenant-Slug");
    return count == 0 ||
           (count == 1 && tenant != nullptr && *r.header("X-Tenant-Slug") == tenant->slug);
}

error invalid_token() {
    return {errc::invalid_token,
            "The access token is not valid (any more): refresh it, or log in again."};
}

/// The refusal in the words of tenancy::to_error().
error not_ready(verdict found) {
    pg::pg_error as;
    as.state = found == verdict::suspended          ? tenancy::write_to_suspended
               : found == verdict::pending_deletion ? tenancy::write_to_pending_deletion
                                                    : tenancy::write_to_not_ready;
    return tenancy::to_error(as);
}

result<> within_session_rate(services& with, const token::claims& who) {
    const auto& session = who.session.value().bytes;
    return within_rate(with, "session",
                       {reinterpret_cast<const char*>(session.data()), session.size()});
}

/// A tenant that this process has not heard of.
runtime::awaitable<result<>> meet_tenant(services& with, user_context& context) {
    auto found = co_await with.identity.tenants.find(*context.who.tenant, context.request.deadline);
    if (!found) {
        co_return pg::to_error(found.error());
    }
    if (!*found) {
        co_return invalid_token();
    }
    context.tenant = std::move(*found);
    co_return result<>();
}

/// The `kid` of a token that was verified, so its header is what it must be.
std::string kid_of(std::string_view token) {
    const auto header = base64url_decode(token.substr(0, token.find('.')));
    const auto tree = parse_json(as_text(header.value()));
    return std::string(tree->at("kid").as_string());
}

/// What memory would say, from the control plane: good, or the tenant's state; else an error.
runtime::awaitable<result<verdict>> ask_database(services& with, const token::claims& who,
                                                 std::string_view token, runtime::deadline until) {
    pg::unit work;
    work.add(assert_key, kid_of(token));
    identity::add_assert_session(work, who);
    const auto asserted = co_await with.identity.control.run(std::move(work), until);
    if (asserted) {
        co_return verdict::good;
    }
    const auto state = asserted.error().state;
    if (state == tenancy::write_to_suspended) {
        co_return verdict::suspended;
    }
    if (state == tenancy::write_to_pending_deletion) {
        co_return verdict::pending_deletion;
    }
    if (state == tenancy::write_to_not_ready) {
        co_return verdict::not_ready;
    }
    co_return state == tenancy::session_over ? invalid_token()
                                             : tenancy::to_error(asserted.error());
}

}  // namespace

result<> within_rate(services& with, std::string_view rate_class, std::string_view key) {
    if (with.limiter == nullptr) {
        return {};
    }
    if (const auto wait = with.limiter->check(rate_class, key)) {
        return error(errc::rate_limited, "Too many requests; try again later.")
            .with_retry_after(std::chrono::seconds(*wait));
    }
    return {};
}

runtime::awaitable<result<user_context>> authenticate(services& with, http::request& r,
                                                      bool any_tenant_state) {
    // Silence first: what keys and memory say after that is as fresh as it was then, or fresher.
    const bool silent = with.identity.revoked.silent();
    const auto token = bearer_token(r);
    if (!token) {
        co_return token.error();
    }
    // A token that another process signed a moment ago may name a key that this one has not heard
    // of yet: that is looked up, together with everybody else's, before it is refused.
    auto checked = with.tokens.check(*token, with.identity.clock.now());
    if (!checked && checked.error() == token::refusal::unknown_key &&
        co_await with.identity.revoked.look_again(r.deadline)) {
        checked = with.tokens.check(*token, with.identity.clock.now());
    }
    if (!checked) {
        observe::debug("token refused",
                       {{"why", token::name(checked.error())}, {"request_id", r.request_id}});
        co_return invalid_token();
    }
    user_context context{{with, r}, **checked, nullptr};
    auto found = with.identity.revoked.check(context.who);
    if (found == verdict::over) {
        co_return invalid_token();
    }
    if (auto rate = within_session_rate(with, context.who); !rate) {
        co_return rate.error();
    }
    if (context.who.tenant) {
        context.tenant = with.identity.tenants.known(*context.who.tenant);
        if (!context.tenant) {
            if (auto met = co_await meet_tenant(with, context); !met) {
                co_return met.error();
            }
        }
    }
    if (!agrees_with_header(r, context.tenant.get())) {
        co_return error(errc::tenant_mismatch,
                        "X-Tenant-Slug is not the tenant of the access token.");
    }
    if (silent) {
        const auto asked = co_await ask_database(with, context.who, *token, r.deadline);
        if (!asked) {
            co_return asked.error();
        }
        found = *asked;
    }
    if (found != verdict::good && !any_tenant_state) {
        co_return not_ready(found);
    }
    co_return context;
}

}  // namespace insula::api
