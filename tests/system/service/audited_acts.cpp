#include "audited_acts.hpp"

namespace insula::test {
namespace {

constexpr std::string_view new_password = "another good pass phrase 77";

http_answer must(http_answer answer, int status, std::string_view what) {
    if (answer.status != status) {
        throw std::runtime_error(std::string(what) + " answered " + answer.text());
    }
    return answer;
}

http_fields join(http_fields all, const http_fields& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

/// One request, always the same.
prepared_act request(stage& s, std::string method, std::string path, json::object body,
                     http_fields auth, int status) {
    prepared_act act;
    act.run = [&s, method = std::move(method), path = std::move(path), body = std::move(body),
               auth = std::move(auth)](const http_fields& more) {
        auto fields = join(auth, more);
        fields.emplace_back("Content-Type", "application/json");
        return s.client().send(method, path, fields,
                               method == "GET" || body.empty() ? "" : json::serialize(body));
    };
    act.status = status;
    return act;
}

prepared_act of(prepared_act act, const person& who) {
    act.user = who.user_id;
    act.tenant = who.tenant_id;
    return act;
}

/// Without the user, for what an operator does to a tenant under its own name.
prepared_act by_operator(prepared_act act, const std::string& tenant) {
    act.user = "none";
    act.tenant = tenant;
    return act;
}

// ---- people and sessions

prepared_act register_somebody(stage& s) {
    const auto slug = s.fresh("registered");
    return request(s, "POST", "/api/v1/auth/register",
                   registration_form(slug, slug + "@example.org"), {}, 202);
}
prepared_act verify_email(stage& s) {
    const auto slug = s.fresh("verifying");
    const auto email = slug + "@example.org";
    const auto made =
        parse(must(post_json(s.client(), "/api/v1/auth/register", registration_form(slug, email)),
                   202, "register"));
    auto act = request(s, "POST", "/api/v1/auth/verify-email",
                       {{"token", s.where().wait_for_mail(email)}}, {}, 200);
    act.user = text_of(made, "/user/id");
    return act;
}
prepared_act log_in(stage& s) {
    const auto& who = s.owner();
    return of(
        request(s, "POST", "/api/v1/auth/login",
                {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}}, {},
                200),
        who);
}
prepared_act fail_to_log_in(stage& s) {
    const auto& who = s.owner();
    return of(request(s, "POST", "/api/v1/auth/login",
                      {{"email", who.email},
                       {"password", "not the pass phrase 1"},
                       {"tenant_slug", who.slug}},
                      {}, 401),
              who);
}
prepared_act fail_without_a_slug(stage& s) {
    const auto& who = s.owner();
    return of(request(s, "POST", "/api/v1/auth/login",
                      {{"email", who.email}, {"password", "not the pass phrase 1"}}, {}, 401),
              who);
}
prepared_act fail_as_nobody(stage& s) {
    auto act = request(s, "POST", "/api/v1/auth/login",
                       {{"email", "nobody-at-all@example.org"},
                        {"password", "not the pass phrase 1"},
                        {"tenant_slug", s.owner().slug}},
                       {}, 401);
    act.user = "none";
    act.tenant = "none";
    return act;
}
prepared_act log_out(stage& s) {
    const auto tokens = s.log_in(s.owner());
    return of(request(s, "POST", "/api/v1/auth/logout",
                      {{"refresh_token", text_of(tokens, "/refresh_token")}}, {}, 204),
              s.owner());
}
prepared_act log_out_everywhere(stage& s) {
    const auto who = s.make_member();
    return of(request(s, "POST", "/api/v1/auth/logout-all", {}, s.auth_of(who), 204), who);
}
prepared_act end_a_session(stage& s) {
    const auto who = s.make_member();
    const auto session = s.value("select id from control.session where user_id = '" + who.user_id +
                                 "' and ended_at is null and operator_user_id is null limit 1");
    (void)s.log_in(who);
    const auto auth =
        s.assumed()
            ? s.auth_of(who)
            : http_fields{{"Authorization", "Bearer " + text_of(s.log_in(who), "/access_token")}};
    return of(request(s, "DELETE", "/api/v1/auth/sessions/" + session, {}, auth, 204), who);
}
prepared_act switch_tenant(stage& s) {
    return of(request(s, "POST", "/api/v1/auth/switch-tenant", {{"tenant_slug", s.owner().slug}},
                      s.auth(), 200),
              s.owner());
}
prepared_act replay_a_refresh_token(stage& s) {
    const auto next = [&](const std::string& token) {
        return text_of(
            parse(must(post_json(s.client(), "/api/v1/auth/refresh", {{"refresh_token", token}}),
                       200, "refresh")),
            "/refresh_token");
    };
    const auto first = text_of(s.log_in(s.owner()), "/refresh_token");
    (void)next(next(first));
    return of(request(s, "POST", "/api/v1/auth/refresh", {{"refresh_token", first}}, {}, 401),
              s.owner());
}
prepared_act change_password(stage& s) {
    const auto who = s.make_member();
    return of(request(s, "POST", "/api/v1/auth/change-password",
                      {{"current_password", good_password}, {"new_password", new_password}},
                      s.auth_of(who), 204),
              who);
}
prepared_act reset_password(stage& s) {
    const auto who = s.make_member();
    const auto known = s.where().mailed_tokens(who.email);
    must(post_json(s.client(), "/api/v1/auth/forgot-password", {{"email", who.email}}), 202,
         "forgot-password");
    auto act = request(
        s, "POST", "/api/v1/auth/reset-password",
        {{"token", s.where().wait_for_mail(who.email, known)}, {"new_password", new_password}}, {},
        204);
    act.user = who.user_id;
    return act;
}
prepared_act rename_me(stage& s) {
    return of(
        request(s, "PATCH", "/api/v1/users/me", {{"full_name", s.fresh("Renamed")}}, s.auth(), 200),
        s.owner());
}

// ---- tenants

prepared_act make_tenant(stage& s) {
    const auto slug = s.fresh("further");
    auto act =
        request(s, "POST", "/api/v1/tenants", {{"name", "Further"}, {"slug", slug}}, s.auth(), 202);
    act.user = s.owner().user_id;
    return act;
}
prepared_act rename_tenant(stage& s) {
    return of(request(s, "PATCH", "/api/v1/tenants/" + s.owner().slug,
                      {{"name", s.fresh("Renamed")}}, s.auth(), 200),
              s.owner());
}
prepared_act delete_tenant(stage& s) {
    const auto who = s.where().make_person("deleted");
    return of(request(s, "DELETE", "/api/v1/tenants/" + who.slug, {{"confirm", who.slug}},
                      s.auth_of(who), 202),
              who);
}
prepared_act restore_tenant(stage& s) {
    const auto who = s.where().make_person("restored");
    const auto auth = s.auth_of(who);
    if (!s.assumed()) {
        must(delete_json(s.client(), "/api/v1/tenants/" + who.slug, {{"confirm", who.slug}},
                         who.auth()),
             202, "delete");
    }
    return of(request(s, "POST", "/api/v1/tenants/" + who.slug + "/restore", {}, auth, 200), who);
}
std::string any_tenant(const std::string& id, std::string_view what = "") {
    return "/api/v1/admin/tenants/" + id + std::string(what);
}
prepared_act suspend_tenant(stage& s) {
    const auto who = s.where().make_person("suspended");
    return by_operator(
        request(s, "POST", any_tenant(who.tenant_id, "/suspend"), {}, s.operator_auth(), 200),
        who.tenant_id);
}
prepared_act resume_tenant(stage& s) {
    const auto who = s.where().make_person("resumed");
    must(s.client().send("POST", any_tenant(who.tenant_id, "/suspend"), s.operator_auth()), 200,
         "suspend");
    return by_operator(
        request(s, "POST", any_tenant(who.tenant_id, "/resume"), {}, s.operator_auth(), 200),
        who.tenant_id);
}
prepared_act delete_any_tenant(stage& s) {
    const auto who = s.where().make_person("removed");
    return by_operator(request(s, "DELETE", any_tenant(who.tenant_id), {{"confirm", who.slug}},
                               s.operator_auth(), 202),
                       who.tenant_id);
}
prepared_act retry_tenant(stage& s) {
    const auto tenant = text_of(s.failed_registration(), "/tenant/id");
    return by_operator(request(s, "POST", any_tenant(tenant, "/retry"), {}, s.operator_auth(), 202),
                       tenant);
}
prepared_act retry_registration(stage& s) {
    const auto made = s.failed_registration();
    auto act =
        request(s, "POST", "/api/v1/registrations/" + text_of(made, "/registration_id") + "/retry",
                {}, {}, 202);
    act.user = text_of(made, "/user/id");
    act.tenant = text_of(made, "/tenant/id");
    return act;
}

// ---- members and invitations

prepared_act invite_somebody(stage& s) {
    return of(request(s, "POST", "/api/v1/invites",
                      {{"email", s.fresh("invited") + "@example.org"}, {"role", "member"}},
                      s.auth(), 201),
              s.owner());
}
std::string pending_invite(stage& s, const std::string& email) {
    (void)s.invite(email);
    return s.value("select id from control.invite where email = '" + email + "'");
}
prepared_act invite_again(stage& s) {
    const auto id = pending_invite(s, s.fresh("again") + "@example.org");
    return of(request(s, "POST", "/api/v1/invites/" + id + "/resend", {}, s.auth(), 202),
              s.owner());
}
prepared_act withdraw_invite(stage& s) {
    const auto id = pending_invite(s, s.fresh("withdrawn") + "@example.org");
    return of(request(s, "DELETE", "/api/v1/invites/" + id, {}, s.auth(), 204), s.owner());
}
prepared_act accept_invite(stage& s) {
    const auto token = s.invite(s.fresh("joining") + "@example.org");
    auto act = request(
        s, "POST", "/api/v1/invites/accept",
        {{"token", token}, {"password", good_password}, {"full_name", "Grace Hopper"}}, {}, 200);
    act.tenant = s.owner().tenant_id;
    return act;
}
prepared_act accept_as_member(stage& s) {
    const auto who = s.where().make_person("joining");
    const auto token = s.invite(who.email);
    auto act =
        request(s, "POST", "/api/v1/invites/accept", {{"token", token}}, s.auth_of(who), 200);
    act.user = who.user_id;
    act.tenant = s.owner().tenant_id;
    return act;
}
prepared_act change_role(stage& s) {
    const auto who = s.make_member();
    return of(
        request(s, "PATCH", "/api/v1/members/" + who.user_id, {{"role", "admin"}}, s.auth(), 200),
        s.owner());
}
prepared_act remove_member(stage& s) {
    const auto who = s.make_member();
    return of(request(s, "DELETE", "/api/v1/members/" + who.user_id, {}, s.auth(), 204), s.owner());
}

// ---- projects

prepared_act create_project(stage& s) {
    return of(request(s, "POST", "/api/v1/projects", {{"name", s.fresh("project")}}, s.auth(), 201),
              s.owner());
}
std::string some_project(stage& s) {
    return "/api/v1/projects/" + make_project(s.client(), s.owner(), s.fresh("project"));
}
prepared_act change_project(stage& s) {
    return of(request(s, "PATCH", some_project(s), {{"name", s.fresh("renamed")}}, s.auth(), 200),
              s.owner());
}
prepared_act delete_project(stage& s) {
    return of(request(s, "DELETE", some_project(s), {}, s.auth(), 204), s.owner());
}

// ---- operators

prepared_act assume_identity(stage& s) {
    return of(request(s, "POST", "/api/v1/admin/assume-identity",
                      {{"user_id", s.owner().user_id},
                       {"tenant_id", s.owner().tenant_id},
                       {"reason", "ticket 4711"}},
                      s.operator_auth(), 200),
              s.owner());
}
prepared_act end_assumed_identity(stage& s) {
    return of(request(s, "POST", "/api/v1/admin/assume-identity/end", {},
                      {{"Authorization", "Bearer " + s.assume(s.owner())}}, 204),
              s.owner());
}
prepared_act retry_task(stage& s) {
    const auto tenant = text_of(s.failed_registration(), "/tenant/id");
    const auto task =
        s.value("select run_id from control.registration where tenant_id = '" + tenant + "'");
    return by_operator(
        request(s, "POST", "/api/v1/admin/tasks/" + task + "/retry", {}, s.operator_auth(), 202),
        "none");
}
prepared_act cancel_task(stage& s) {
    const auto who = s.where().make_person("cancelled");
    must(delete_json(s.client(), any_tenant(who.tenant_id), {{"confirm", who.slug}},
                     s.operator_auth()),
         202, "delete");
    const auto task =
        s.value("select deletion_run from control.tenant where id = '" + who.tenant_id + "'");
    return by_operator(
        request(s, "POST", "/api/v1/admin/tasks/" + task + "/cancel", {}, s.operator_auth(), 202),
        "none");
}

}  // namespace

const std::vector<audited_act>& audited_acts() {
    using enum act_of;
    static const std::string v1 = "/api/v1";
    static const std::vector<audited_act> all{
        {"user.register", "post", v1 + "/auth/register", anybody, register_somebody},
        {"user.email_verify", "post", v1 + "/auth/verify-email", anybody, verify_email},
        {"user.login", "post", v1 + "/auth/login", anybody, log_in},
        {"user.login_failed", "post", v1 + "/auth/login", anybody, fail_to_log_in, "failure",
         false},
        {"user.login_failed", "post", v1 + "/auth/login", anybody, fail_without_a_slug, "failure",
         false},
        {"user.login_failed", "post", v1 + "/auth/login", anybody, fail_as_nobody, "failure",
         false},
        {"user.login", "post", v1 + "/auth/switch-tenant", own, switch_tenant},
        {"user.logout", "post", v1 + "/auth/logout", anybody, log_out},
        {"user.logout", "post", v1 + "/auth/logout-all", own, log_out_everywhere},
        {"user.logout", "delete", v1 + "/auth/sessions/{id}", own, end_a_session},
        {"token.reuse", "post", v1 + "/auth/refresh", anybody, replay_a_refresh_token, "failure"},
        {"password.change", "post", v1 + "/auth/change-password", own, change_password},
        {"password.reset", "post", v1 + "/auth/reset-password", anybody, reset_password},
        {"user.update", "patch", v1 + "/users/me", member, rename_me},
        {"tenant.create", "post", v1 + "/tenants", own, make_tenant},
        {"tenant.update", "patch", v1 + "/tenants/{slug}", member, rename_tenant},
        {"tenant.delete", "delete", v1 + "/tenants/{slug}", own, delete_tenant},
        {"tenant.restore", "post", v1 + "/tenants/{slug}/restore", own, restore_tenant},
        {"tenant.suspend", "post", v1 + "/admin/tenants/{id}/suspend", operator_, suspend_tenant},
        {"tenant.resume", "post", v1 + "/admin/tenants/{id}/resume", operator_, resume_tenant},
        {"tenant.delete", "delete", v1 + "/admin/tenants/{id}", operator_, delete_any_tenant},
        {"tenant.update", "post", v1 + "/admin/tenants/{id}/retry", operator_, retry_tenant},
        {"tenant.update", "post", v1 + "/registrations/{registration_id}/retry", anybody,
         retry_registration},
        {"member.invite", "post", v1 + "/invites", member, invite_somebody},
        {"member.invite", "post", v1 + "/invites/{id}/resend", member, invite_again},
        {"member.invite", "delete", v1 + "/invites/{id}", member, withdraw_invite},
        {"member.join", "post", v1 + "/invites/accept", anybody, accept_invite},
        {"member.join", "post", v1 + "/invites/accept", own, accept_as_member},
        {"member.role_change", "patch", v1 + "/members/{user_id}", member, change_role},
        {"member.remove", "delete", v1 + "/members/{user_id}", member, remove_member},
        {"project.create", "post", v1 + "/projects", member, create_project},
        {"project.update", "patch", v1 + "/projects/{id}", member, change_project},
        {"project.delete", "delete", v1 + "/projects/{id}", member, delete_project},
        {"identity.assume", "post", v1 + "/admin/assume-identity", operator_, assume_identity},
        {"identity.end", "post", v1 + "/admin/assume-identity/end", act_of::assumed,
         end_assumed_identity},
        {"task.retry", "post", v1 + "/admin/tasks/{id}/retry", operator_, retry_task},
        {"task.cancel", "post", v1 + "/admin/tasks/{id}/cancel", operator_, cancel_task}};
    return all;
}

const std::vector<std::pair<std::string, std::string>>& unaudited_operations() {
    static const std::vector<std::pair<std::string, std::string>> all{
        {"post /api/v1/auth/resend-verification", "asks for a mail"},
        {"post /api/v1/auth/forgot-password", "asks for a mail"},
        {"post /api/v1/invites/preview", "reads"},
        {"post /api/v1/admin/tasks/{id}/skip",
         "task.skip_step: only for a step that is held; the code is that of retry and cancel"}};
    return all;
}

// ---- the stage

stage::stage(deployment& where, bool assumed)
    : where_(where),
      assumed_(assumed),
      client_(where.server().client()),
      operator_(where.operator_auth()),
      operator_id_(where.database().value_admin(
          "select id from control.account where email = 'the-operator@example.org'")),
      owner_(where.make_person("acting")) {}

std::string stage::assume(const person& who) {
    return text_of(parse(must(post_json(client_, "/api/v1/admin/assume-identity",
                                        {{"user_id", who.user_id},
                                         {"tenant_id", who.tenant_id},
                                         {"reason", "to try what may be done"}},
                                        operator_),
                              200, "assume-identity")),
                   "/access_token");
}

http_fields stage::auth_of(const person& who) {
    return assumed_ ? http_fields{{"Authorization", "Bearer " + assume(who)}} : who.auth();
}

json::value stage::log_in(const person& who) {
    return parse(must(
        post_json(client_, "/api/v1/auth/login",
                  {{"email", who.email}, {"password", good_password}, {"tenant_slug", who.slug}}),
        200, "login"));
}

std::string stage::invite(const std::string& email, std::string_view role) {
    const auto known = where_.mailed_tokens(email);
    must(post_json(client_, "/api/v1/invites", {{"email", email}, {"role", role}}, owner_.auth()),
         201, "invite");
    return where_.wait_for_mail(email, known);
}

person stage::make_member(std::string_view role) {
    person who;
    who.email = fresh("member") + "@example.org";
    who.slug = owner_.slug;
    who.tenant_id = owner_.tenant_id;
    const auto joined = must(post_json(client_, "/api/v1/invites/accept",
                                       {{"token", invite(who.email, role)},
                                        {"password", good_password},
                                        {"full_name", "Grace Hopper"}}),
                             200, "accept");
    who.user_id = text_of(parse(joined), "/user_id");
    who.token = text_of(log_in(who), "/access_token");
    return who;
}

json::value stage::failed_registration() {
    auto& database = where_.database();
    const auto original = database.value_admin(
        "select pg_get_functiondef('provision.create_tenant_schema(uuid)'::regprocedure)");
    database.query_admin(
        "create or replace function provision.create_tenant_schema(tenant uuid) returns integer "
        "language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$ "
        "begin raise exception using errcode = 'P0001', message = 'refused by the test'; end $$");
    const auto slug = fresh("failing");
    const auto accepted =
        post_json(client_, "/api/v1/auth/register", registration_form(slug, slug + "@example.org"));
    if (accepted.status == 202) {
        (void)get(client_, *accepted.field("Location") + "?wait=30");
    }
    database.query_admin(original);
    return parse(must(accepted, 202, "register"));
}

}  // namespace insula::test
