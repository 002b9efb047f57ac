#include "authenticate.hpp"

#include "insula/observe/log.hpp"

namespace insula::api {
namespace {

constexpr std::string_view bearer = "bearer ";

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

runtime::awaitable<result<user_context>> authenticate(services& with, http::request& r) {
    const auto token = bearer_token(r);
    if (!token) {
        co_return token.error();
    }
    const auto checked = with.tokens.check(*token, with.identity.clock.now());
    if (!checked) {
        observe::debug("token refused",
                       {{"why", token::name(checked.error())}, {"request_id", r.request_id}});
        co_return invalid_token();
    }
    user_context context{{with, r}, **checked, nullptr};
    if (with.limiter != nullptr) {
        const auto& session = context.who.session.value().bytes;
        if (const auto rate = within_rate(
                with, "session", {reinterpret_cast<const char*>(session.data()), session.size()});
            !rate) {
            co_return rate.error();
        }
    }
    if (context.who.tenant) {
        context.tenant = with.identity.tenants.known(*context.who.tenant);
        if (!context.tenant) {
            auto found = co_await with.identity.tenants.find(*context.who.tenant, r.deadline);
            if (!found) {
                co_return pg::to_error(found.error());
            }
            if (!*found) {
                co_return invalid_token();
            }
            context.tenant = std::move(*found);
        }
    }
    if (!agrees_with_header(r, context.tenant.get())) {
        co_return error(errc::tenant_mismatch,
                        "X-Tenant-Slug is not the tenant of the access token.");
    }
    co_return context;
}

}  // namespace insula::api
