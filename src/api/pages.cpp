// The pages that mails link to. `insula dev` stands in for the front end: a page posts the token of
// its own address, so that opening the link of a mail (or a mail scanner's GET) changes nothing by
// itself. One file each, no outside assets, no data of ours inside.
#include "handlers.hpp"

namespace insula::api {
namespace {

constexpr std::string_view html = "text/html; charset=utf-8";

constexpr std::string_view begin = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Insula</title>
<style>
body { font-family: sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem }
label, input { display: block; width: 100%; box-sizing: border-box; margin: .3rem 0 }
input { padding: .4rem; margin-bottom: 1rem }
</style>
<script>
const token = new URLSearchParams(location.search).get('token') || '';
const at = (id) => document.getElementById(id);
// What the service says to programs, here to people.
const in_words = {
  invalid_token_value: 'This link is no good any more: it was used, is too old, or a newer mail '
    + 'has taken its place. Open the newest mail, or ask for another one where you log in.',
  email_taken: 'There is an account with this address by now. Open the link again.',
  rate_limited: 'That was tried too often. Wait a few minutes, then try again.',
};
// What went wrong: field by field, or as a whole.
const reason = (body) => in_words[(body.type || '').split(':').pop()] || (body.errors
  ? body.errors.map((e) => e.pointer.slice(1).replace(/_/g, ' ') + ': ' + e.detail).join('\n')
  : body.detail || body.title);
const post = async (path, form) => {
  try {
    const answer = await fetch(path, {method: 'POST',
      headers: {'Content-Type': 'application/json'}, body: JSON.stringify({token, ...form})});
    const text = await answer.text();
    return {ok: answer.ok, body: text ? JSON.parse(text) : {}};
  } catch (e) {
    return {ok: false, body: {detail: 'The service cannot be reached. Try again in a moment.'}};
  }
};
const send = async (form, path, members, done) => {
  at('send').disabled = true;
  at('answer').textContent = 'One moment …';
  const {ok, body} = await post(path, members);
  at('answer').textContent = ok ? done(body) : reason(body);
  form.hidden = ok;
  if (at('about')) at('about').hidden = ok;
  at('send').disabled = false;
};
// Without a token there is nothing to send: mail programs break long links.
const on_open = (act, ready) => addEventListener('DOMContentLoaded', () => {
  at('form').onsubmit = (event) => { event.preventDefault(); act(event.target); };
  if (!token) {
    at('form').hidden = true;
    at('answer').textContent = 'The link is not complete: copy all of it from the mail.';
  } else if (ready) {
    ready();
  }
});
</script></head><body>
)";

constexpr std::string_view end = R"(<p id="answer" role="status" style="white-space: pre-line"></p>
</body></html>
)";

constexpr std::string_view verify = R"(<h1>Verify your e-mail address</h1>
<form id="form"><p><button id="send">Verify</button></p></form>
<script>
on_open((form) => send(form, '/api/v1/auth/verify-email', {},
  () => 'Verified. You can log in now.'));
</script>
)";

constexpr std::string_view reset = R"(<h1>Choose a new password</h1>
<form id="form">
<label for="password">New password, at least 10 characters</label>
<input id="password" type="password" autocomplete="new-password" required minlength="10">
<p><button id="send">Change the password</button></p>
</form>
<script>
on_open((form) => send(form, '/api/v1/auth/reset-password', {new_password: at('password').value},
  () => 'Your password is changed, and you are logged out everywhere. Log in with the new one now.'));
</script>
)";

constexpr std::string_view accept = R"(<h1>Your invitation</h1>
<p id="about"></p>
<form id="form" hidden>
<div id="name"><label for="full_name">Your name</label>
<input id="full_name" autocomplete="name" maxlength="100"></div>
<label for="password" id="which"></label>
<input id="password" type="password" required>
<p><button id="send">Accept</button></p>
</form>
<script>
let fresh = true;
const look = async () => {
  at('about').textContent = 'One moment …';
  const {ok, body} = await post('/api/v1/invites/preview', {});
  if (!ok) {
    at('about').textContent = reason(body);
    return;
  }
  fresh = body.needs_account;
  at('about').textContent =
    `${body.email} is invited to join ${body.tenant_name} as ${body.role}.`;
  at('name').hidden = !fresh;
  at('full_name').required = fresh;
  at('password').autocomplete = fresh ? 'new-password' : 'current-password';
  at('which').textContent = fresh ? 'Choose a password, at least 10 characters'
    : 'You have an account: your password';
  at('form').hidden = false;
};
on_open((form) => send(form, '/api/v1/invites/accept',
  fresh ? {password: at('password').value, full_name: at('full_name').value}
        : {password: at('password').value},
  (body) => `Welcome to ${body.tenant.name}. Log in with your e-mail address, your password and `
    + `the tenant's slug: ${body.tenant.slug}`), look);
</script>
)";

/// Joined once: the answers refer to it.
template <const std::string_view& Middle>
std::string_view whole() {
    static const std::string text = std::string(begin) + std::string(Middle) + std::string(end);
    return text;
}

result<http::response> page(const services& app, std::string_view text) {
    if (!app.mail_pages) {
        return error(errc::not_found, "There is nothing here.");
    }
    return std::move(http::response::fixed(200, html, text)
                         .content_security_policy(
                             "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; "
                             "script-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
                             "frame-ancestors 'none'"));
}

}  // namespace

answer verify_email_page(anonymous_context& c) {
    co_return page(c.app, whole<verify>());
}

answer reset_password_page(anonymous_context& c) {
    co_return page(c.app, whole<reset>());
}

answer accept_invite_page(anonymous_context& c) {
    co_return page(c.app, whole<accept>());
}

}  // namespace insula::api
