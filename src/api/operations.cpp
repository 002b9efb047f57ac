#include "handlers.hpp"

#include "insula/token/jwks.hpp"

namespace insula::api {
namespace {

constexpr std::string_view html = "text/html; charset=utf-8";

// `insula dev` stands in for the front end: the page posts the token of its own address, so that
// opening the link of a mail (or a mail scanner's GET) changes nothing by itself.
constexpr std::string_view verify_page = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Verify your e-mail address</title>
<meta name="viewport" content="width=device-width"></head>
<body style="font-family: sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem">
<h1>Verify your e-mail address</h1>
<p><button id="verify">Verify</button></p><p id="answer" role="status"></p>
<script>
document.getElementById('verify').onclick = async () => {
  const token = new URLSearchParams(location.search).get('token') || '';
  const answer = await fetch('/api/v1/auth/verify-email', {method: 'POST',
    headers: {'Content-Type': 'application/json'}, body: JSON.stringify({token})});
  const body = await answer.json();
  document.getElementById('answer').textContent =
    answer.ok ? 'Verified. You can log in now.' : (body.detail || body.title);
};
</script></body></html>
)";

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
    co_return http::response::json(problems.empty() ? 200 : 503, ready_json(problems));
}

answer metrics_text(anonymous_context& c) {
    co_return http::response(200, "text/plain; version=0.0.4; charset=utf-8",
                             c.app.metrics.serialize());
}

answer openapi(anonymous_context& c) {
    co_return http::response::json(200, openapi_json(c.app)).cache_control("public, max-age=300");
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

answer verify_email_page(anonymous_context& c) {
    if (!c.app.mail_pages) {
        co_return error(errc::not_found, "There is nothing here.");
    }
    co_return http::response::fixed(200, html, verify_page)
        .content_security_policy(
            "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'; frame-ancestors 'none'");
}

}  // namespace insula::api
