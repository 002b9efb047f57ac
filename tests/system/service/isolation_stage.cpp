#include "isolation_stage.hpp"

#include <algorithm>
#include <random>
#include <regex>

namespace insula::test {
namespace {

std::string random_hex(std::size_t digits) {
    static std::mt19937_64 source{std::random_device{}()};
    std::string out;
    while (out.size() < digits) {
        out += "0123456789abcdef"[source() % 16];
    }
    return out;
}

/// A UUIDv7 that nobody has made.
std::string nobodys_id() {
    const auto hex = random_hex(32);
    return "0190" + hex.substr(4, 4) + "-" + hex.substr(8, 4) + "-7" + hex.substr(13, 3) + "-8" +
           hex.substr(17, 3) + "-" + hex.substr(20, 12);
}

/// As long as `like`, of the letters of base64url.
std::string nobodys_token(std::string_view like) {
    return random_hex(like.size());
}

/// Another character where a digit or letter is, from the middle on.
std::string tampered(std::string text) {
    auto& c = text.at(text.size() / 2);
    c = c == 'A' ? 'B' : 'A';
    return text;
}

std::string slug_of(char first, std::string_view hex) {
    return first + std::string(hex);
}

}  // namespace

std::string_view name_of(caller who) {
    switch (who) {
        case caller::nobody:
            return "nobody";
        case caller::member:
            return "a member of A";
        case caller::both:
            return "a member of A and of B";
        case caller::admin:
            return "an admin of A";
        case caller::owner:
            return "an owner of A";
        case caller::assumed:
            return "an operator as the owner of A";
        case caller::operator_:
            break;
    }
    return "an operator";
}

isolation_stage& isolation_stage::shared() {
    static isolation_stage one;
    return one;
}

isolation_stage::isolation_stage()
    : where_(std::make_unique<deployment>(environment{{"INSULA_LOG", "debug"}})) {
    operator_ = where_->operator_auth();
    build_b();
    build_a();
    build_b_ends();
    settle();
    know_values();
    a_rows = std::make_unique<rows_about>(
        *where_,
        std::vector{owner.who.tenant_id, owner.who.slug, owner.who.user_id, admin.who.user_id,
                    member.who.user_id},
        std::vector{owner.who.schema()});
    b_rows = std::make_unique<rows_about>(
        *where_,
        std::vector{b_owner.who.tenant_id, b_owner.who.slug, b_owner.who.user_id, b_owner.who.email,
                    b_admin.who.user_id, b_admin.who.email, b_member.who.user_id,
                    b_member.who.email, b_unverified.tenant_id, b_unverified.user_id,
                    b_unverified.slug, b_unverified.email},
        std::vector{b_owner.who.schema(), b_unverified.schema()});
}

std::string isolation_stage::plant(std::string_view what) {
    canaries_.push_back({std::string(what), random_hex(32)});
    return canaries_.back().value;
}

http_answer isolation_stage::must(http_answer answer, int status, std::string_view what) const {
    if (answer.status != status) {
        throw std::runtime_error(std::string(what) + " answered " + answer.text());
    }
    return answer;
}

http_fields isolation_stage::credentials(caller who) const {
    switch (who) {
        case caller::nobody:
            return {};
        case caller::member:
            return member.tokens.auth();
        case caller::both:
            return both.tokens.auth();
        case caller::admin:
            return admin.tokens.auth();
        case caller::owner:
            return owner.tokens.auth();
        case caller::assumed:
            return {{"Authorization", "Bearer " + assumed_}};
        case caller::operator_:
            break;
    }
    return operator_;
}

void isolation_stage::settle() {
    wait_until("the tasks to be done", [this] {
        return where_->database().value_admin(
                   "select count(*) from queue.run where state in (0, 1)") == "0";
    });
}

std::string isolation_stage::seen_in(std::string_view text, std::string_view sent) const {
    std::string seen;
    for (const auto& one : canaries_) {
        if (text.find(one.value) != std::string_view::npos &&
            sent.find(one.value) == std::string_view::npos) {
            seen += (seen.empty() ? "" : ", ") + one.what;
        }
    }
    if (b_rows != nullptr) {
        for (const auto& id : b_rows->words()) {
            if (text.find(id) != std::string_view::npos &&
                sent.find(id) == std::string_view::npos) {
                seen += (seen.empty() ? "" : ", ") + id;
            }
        }
    }
    return seen;
}

/// What B's people send with every request: a user agent and a request's id, each a canary.
http_fields isolation_stage::as_b(const signed_in& who) {
    auto fields = who.tokens.access.empty() ? http_fields{} : who.tokens.auth();
    const auto planted = [this](std::string_view what, bool logged) {
        const auto found = std::ranges::find(canaries_, what, &canary::what);
        if (found != canaries_.end()) {
            return found->value;
        }
        const auto value = plant(what);
        canaries_.back().logged = logged;
        return value;
    };
    fields.emplace_back("User-Agent", planted("a user agent", false));
    fields.emplace_back("X-Request-ID", planted("a request's id", true));
    return fields;
}

signed_in isolation_stage::register_tenant(bool of_b, std::string& registration) {
    const auto text = [&](std::string_view what) { return of_b ? plant(what) : random_hex(32); };
    auto to = client();
    signed_in made;
    made.who.slug = slug_of(of_b ? 'b' : 'a', text("a tenant's slug"));
    made.who.email = text("a mail address") + "@example.org";
    const json::object form{{"email", made.who.email},
                            {"password", of_b ? secrets_.at(0).second : std::string(good_password)},
                            {"full_name", text("a person's name")},
                            {"tenant_name", text("a tenant's first name")},
                            {"tenant_slug", made.who.slug}};
    auto fields = of_b ? as_b({}) : http_fields{};
    fields.emplace_back("Idempotency-Key", text("an idempotency key"));
    const auto registered =
        parse(must(post_json(to, "/api/v1/auth/register", form, fields), 202, "register"));
    made.who.user_id = text_of(registered, "/user/id");
    made.who.tenant_id = text_of(registered, "/tenant/id");
    registration = text_of(registered, "/registration_id");
    const auto status = get(to, text_of(registered, "/status_url") + "?wait=30");
    if (text_of(parse(must(status, 200, "registration")), "/status") != "ready") {
        throw std::runtime_error("not ready: " + status.text());
    }
    return made;
}

void isolation_stage::log_in(signed_in& one, bool of_b) {
    one.tokens = open_session(one.who, of_b);
    one.who.token = one.tokens.access;
}

token_pair isolation_stage::open_session(const person& who, bool of_b) {
    auto to = client();
    auto pair = tokens_of(
        post_json(to, "/api/v1/auth/login",
                  {{"email", who.email},
                   {"password", of_b ? secrets_.at(0).second : std::string(good_password)},
                   {"tenant_slug", who.slug}},
                  of_b ? as_b({}) : http_fields{}));
    if (of_b) {
        secrets_.emplace_back("an access token", pair.access);
        secrets_.emplace_back("a refresh token", pair.refresh);
    }
    return pair;
}

std::string isolation_stage::invite(const signed_in& by, const std::string& email,
                                    std::string* token, bool of_b) {
    auto to = client();
    const auto known = where_->mailed_tokens(email);
    auto fields = of_b ? as_b(by) : by.tokens.auth();
    if (of_b) {
        fields.emplace_back("Idempotency-Key", plant("a key of an invitation"));
    }
    const auto made =
        must(post_json(to, "/api/v1/invites", {{"email", email}, {"role", "member"}}, fields), 201,
             "invite");
    if (token != nullptr) {
        *token = where_->wait_for_mail(email, known);
    }
    return text_of(parse(made), "/id");
}

signed_in isolation_stage::join(const signed_in& inviter, std::string_view role, bool of_b) {
    auto to = client();
    signed_in made;
    made.who = inviter.who;
    made.who.email = (of_b ? plant("a member's mail address") : random_hex(32)) + "@example.org";
    std::string token;
    (void)invite(inviter, made.who.email, &token, of_b);
    const auto joined =
        must(post_json(to, "/api/v1/invites/accept",
                       {{"token", token},
                        {"password", of_b ? secrets_.at(0).second : std::string(good_password)},
                        {"full_name", of_b ? plant("a member's name") : random_hex(32)}},
                       of_b ? as_b({}) : http_fields{}),
             200, "accept");
    made.who.user_id = text_of(parse(joined), "/user_id");
    if (role != "member") {
        must(patch_json(to, "/api/v1/members/" + made.who.user_id, {{"role", role}},
                        inviter.tokens.auth()),
             200, "role");
    }
    log_in(made, of_b);
    return made;
}

std::string isolation_stage::mail_token_after(std::string_view route, const std::string& email) {
    auto to = client();
    const auto known = where_->mailed_tokens(email);
    must(post_json(to, route, {{"email", email}}), 202, route);
    return where_->wait_for_mail(email, known);
}

/// B as it lives: its tenant renamed, so that its versions are none of A's; projects, sessions.
void isolation_stage::build_b() {
    secrets_.emplace_back("a password", "pass " + random_hex(32));
    auto to = client();
    b_owner = register_tenant(true, b_registration_);
    must(post_json(to, "/api/v1/auth/verify-email",
                   {{"token", where_->wait_for_mail(b_owner.who.email)}}),
         200, "verify-email");
    log_in(b_owner, true);
    for (const char* what : {"a tenant's second name", "a tenant's name"}) {
        must(patch_json(to, "/api/v1/tenants/" + b_owner.who.slug, {{"name", plant(what)}},
                        as_b(b_owner)),
             200, what);
        must(patch_json(to, "/api/v1/users/me", {{"full_name", plant("a person's new name")}},
                        as_b(b_owner)),
             200, "users/me");
    }
    for (const char* what : {"another project's name", "a project's first name"}) {
        auto fields = as_b(b_owner);
        fields.emplace_back("Idempotency-Key", plant(what + std::string(", the key of it")));
        b_project_ = text_of(
            parse(must(
                post_json(to, "/api/v1/projects",
                          {{"name", plant(what)}, {"description", plant("a description")}}, fields),
                201, what)),
            "/id");
    }
    for (const char* what : {"a project's second name", "a project's name"}) {
        must(patch_json(to, "/api/v1/projects/" + b_project_, {{"name", plant(what)}},
                        as_b(b_owner)),
             200, what);
    }
    build_b_people();
}

void isolation_stage::build_b_people() {
    auto to = client();
    b_admin = join(b_owner, "admin", true);
    b_member = join(b_owner, "member", true);
    for (const char* role : {"admin", "member"}) {
        must(patch_json(to, "/api/v1/members/" + b_member.who.user_id, {{"role", role}},
                        as_b(b_owner)),
             200, role);
    }
    log_in(b_member, true);
    (void)open_session(b_owner.who, true);  // a second page of its sessions
    (void)invite(b_owner, plant("an invited mail address") + "@example.org", nullptr, true);
    b_invite_ = invite(b_owner, plant("another invited mail address") + "@example.org",
                       &live_invite_token, true);
    // A second page of the owner's tenants.
    auto fields = as_b(b_owner);
    fields.emplace_back("Idempotency-Key", plant("a key of a tenant"));
    const auto second =
        parse(must(post_json(to, "/api/v1/tenants",
                             {{"name", plant("a further tenant's name")},
                              {"slug", slug_of('b', plant("a further tenant's slug"))}},
                             fields),
                   202, "tenants"));
    must(get(to, text_of(second, "/status_url") + "?wait=30"), 200, "registration");
    // What operators do is noted in B's log, with a reason.
    const auto assumed = parse(must(post_json(to, "/api/v1/admin/assume-identity",
                                              {{"user_id", b_member.who.user_id},
                                               {"tenant_id", b_owner.who.tenant_id},
                                               {"reason", plant("an operator's reason")}},
                                              operator_),
                                    200, "assume-identity"));
    must(post_json(to, "/api/v1/admin/assume-identity/end", json::object(),
                   {{"Authorization", "Bearer " + text_of(assumed, "/access_token")}}),
         204, "assume-identity/end");
}

/// What is over, of B: a session, an invitation, tokens of mails that newer ones took the place of.
void isolation_stage::build_b_ends() {
    auto to = client();
    const auto over = open_session(b_owner.who, true);
    must(post_json(to, "/api/v1/auth/logout", {{"refresh_token", over.refresh}}, as_b({})), 204,
         "logout");
    auto& refresh = things_[thing::refresh_token];
    refresh.foreign = over.refresh;

    auto& invited = things_[thing::invite_token];
    const auto withdrawn =
        invite(b_owner, plant("a withdrawn mail address") + "@example.org", &invited.foreign, true);
    must(to.send("DELETE", "/api/v1/invites/" + withdrawn, as_b(b_owner)), 204, "withdraw");

    auto& reset = things_[thing::reset_token];
    reset.foreign = mail_token_after("/api/v1/auth/forgot-password", b_member.who.email);
    live_reset_token = mail_token_after("/api/v1/auth/forgot-password", b_member.who.email);

    std::string ignored;
    b_unverified = register_tenant(true, ignored).who;
    auto& verification = things_[thing::verification_token];
    verification.foreign = where_->wait_for_mail(b_unverified.email);
    live_verification_token =
        mail_token_after("/api/v1/auth/resend-verification", b_unverified.email);
    for (auto* one : {&refresh, &invited, &reset, &verification}) {
        secrets_.emplace_back("a token that is over", one->foreign);
        one->missing = nobodys_token(one->foreign);
        if (one->own.empty()) {
            one->own = nobodys_token(one->foreign);
        }
    }
    for (const auto& token : {live_invite_token, live_reset_token, live_verification_token}) {
        secrets_.emplace_back("a token of a mail", token);
    }
}

void isolation_stage::build_a() {
    auto to = client();
    owner = register_tenant(false, a_registration_);
    must(post_json(to, "/api/v1/auth/verify-email",
                   {{"token", where_->wait_for_mail(owner.who.email)}}),
         200, "verify-email");
    log_in(owner, false);
    (void)open_session(owner.who, false);
    admin = join(owner, "admin", false);
    member = join(owner, "member", false);
    a_project_ = make_project(to, owner.who, random_hex(32));
    a_invite_ = invite(owner, random_hex(32) + "@example.org", nullptr, false);
    auto& withdrawn = things_[thing::invite_token].own;
    must(to.send(
             "DELETE",
             "/api/v1/invites/" + invite(owner, random_hex(32) + "@example.org", &withdrawn, false),
             owner.tokens.auth()),
         204, "withdraw");
    // Somebody who is in both: in B first.
    both = join(b_owner, "member", false);
    both_in_b = both.tokens;
    std::string token;
    (void)invite(owner, both.who.email, &token, false);
    must(post_json(to, "/api/v1/invites/accept", {{"token", token}}, both.tokens.auth()), 200,
         "accept");
    both.who.tenant_id = owner.who.tenant_id;
    both.who.slug = owner.who.slug;
    log_in(both, false);
    // The admin of A was a member of B, and is none any more.
    (void)invite(b_owner, admin.who.email, &token, true);
    must(post_json(to, "/api/v1/invites/accept", {{"token", token}}, admin.tokens.auth()), 200,
         "accept");
    must(to.send("DELETE", "/api/v1/members/" + admin.who.user_id, as_b(b_owner)), 204, "remove");
    assumed_ = text_of(parse(must(post_json(to, "/api/v1/admin/assume-identity",
                                            {{"user_id", owner.who.user_id},
                                             {"tenant_id", owner.who.tenant_id},
                                             {"reason", "to try what may be done"}},
                                            operator_),
                                  200, "assume-identity")),
                       "/access_token");
}

void isolation_stage::make_own_live() {
    std::string ignored;
    const auto another = open_session(owner.who, false);
    things_[thing::session].own = another.session;
    things_[thing::refresh_token].own = open_session(owner.who, false).refresh;
    (void)invite(owner, random_hex(32) + "@example.org", &things_[thing::invite_token].own, false);
    things_[thing::reset_token].own =
        mail_token_after("/api/v1/auth/forgot-password", member.who.email);
    const auto unverified = register_tenant(false, ignored).who;
    things_[thing::verification_token].own = where_->wait_for_mail(unverified.email);
}

void isolation_stage::know_values() {
    const auto run_of = [this](const person& who) {
        return where_->database().value_admin(
            "select run_id from control.registration where tenant_id = '" + who.tenant_id + "'");
    };
    things_[thing::project] = {a_project_, b_project_, nobodys_id()};
    things_[thing::slug] = {owner.who.slug, b_owner.who.slug, slug_of('b', random_hex(32))};
    things_[thing::tenant] = {owner.who.tenant_id, b_owner.who.tenant_id, nobodys_id()};
    things_[thing::user] = {member.who.user_id, b_member.who.user_id, nobodys_id()};
    things_[thing::session] = {owner.tokens.session, b_owner.tokens.session, nobodys_id()};
    things_[thing::invite] = {a_invite_, b_invite_, nobodys_id()};
    things_[thing::task] = {run_of(owner.who), run_of(b_owner.who), nobodys_id()};
    things_[thing::email] = {owner.who.email, b_owner.who.email, random_hex(32) + "@example.org"};
    things_[thing::registration] = {a_registration_, b_registration_,
                                    nobodys_token(b_registration_)};
    const auto key = std::ranges::find(canaries_, "an idempotency key", &canary::what);
    things_[thing::idempotency_key] = {random_hex(32), key->value, random_hex(32)};
}

three isolation_stage::values(const operation_of_document& operation, const place& where) {
    if (where.names != thing::cursor && where.names != thing::entity_tag) {
        return things_.at(where.names);
    }
    auto& known = found_[operation.name + " " + where.where];
    if (!known.foreign.empty()) {
        return known;
    }
    const auto path_with = [&](std::string three::* which) {
        auto path = operation.path;
        for (const auto& one : fitting_of(operation.name).places) {
            if (one.where.starts_with("path/")) {
                const auto part = "{" + one.where.substr(5) + "}";
                path.replace(path.find(part), part.size(),
                             one.names == thing::none ? one.sample : things_.at(one.names).*which);
            }
        }
        return path;
    };
    const auto path = path_with(&three::foreign);
    auto to = client();
    const auto as = operation.operators ? operator_ : b_credentials();
    if (where.names == thing::cursor) {
        known.foreign =
            text_of(parse(must(get(to, path + "?limit=1", as), 200, path)), "/next_cursor");
        if (known.foreign == "null") {
            throw std::runtime_error("B needs a second page of " + path);
        }
        known.missing = tampered(known.foreign);
    } else {
        known.foreign = *must(get(to, path, as), 200, path).field("ETag");
        known.missing = "\"v77" + known.foreign.substr(3);
    }
    known.own = known.foreign;
    if (where.names == thing::entity_tag && !operation.operators) {
        known.own =
            *must(get(to, path_with(&three::own), owner.tokens.auth()), 200, "own").field("ETag");
    }
    return known;
}

std::string alike(const http_answer& answer, const std::string& sent) {
    static const std::regex made(
        "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|"
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|taken over [0-9]+");
    auto text = comparable(answer);
    if (!sent.empty()) {
        for (auto at = text.find(sent); at != std::string::npos; at = text.find(sent)) {
            text.replace(at, sent.size(), "<what was sent>");
        }
    }
    return std::regex_replace(text, made, "<made>");
}

}  // namespace insula::test
