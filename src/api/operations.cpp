#include "docs_style.hpp"
#include "handlers.hpp"

#include "insula/token/jwks.hpp"

namespace insula::api {
namespace {

std::string ready_json(const std::vector<std::string>& problems) {
    std::string text;
    json_writer out(text);
    out.begin_object().member("status", problems.empty() ? "ready" : "not_ready");
    out.key("problems").begin_array();
    for (const auto& problem : problems) {
        out.value(problem);
    }
    out.end_array().end_object();
    return text;
}

}  // namespace

answer livez(anonymous_context&) {
    co_return http::response::fixed(200, "application/json", R"({"status":"alive"})");
}

answer readyz(anonymous_context& c) {
    const auto problems = co_await c.app.readiness(c.request.deadline);
    auto ready = http::response::json(problems.empty() ? 200 : 503, ready_json(problems));
    if (!problems.empty()) {
        ready.set("Retry-After", "1");
    }
    co_return ready;
}

answer metrics_text(anonymous_context& c) {
    co_return http::response(200, "text/plain; version=0.0.4; charset=utf-8",
                             c.app.metrics.serialize());
}

answer openapi(anonymous_context& c) {
    co_return http::response::json(200, c.app.openapi).cache_control("public, max-age=300");
}

answer docs(anonymous_context& c) {
    co_return http::response(200, "text/html; charset=utf-8", c.app.docs)
        .cache_control("public, max-age=300")
        .content_security_policy(docs_policy());
}

answer jwks(anonymous_context& c) {
    co_return http::response(200, "application/jwk-set+json", token::jwks_json(c.app.tokens.keys()))
        .cache_control("public, max-age=300");
}

answer openid_configuration(anonymous_context& c) {
    co_return http::response::json(
        200, token::openid_configuration_json(c.app.public_url, c.app.tokens.keys()))
        .cache_control("public, max-age=300");
}

}  // namespace insula::api
