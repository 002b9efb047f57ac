// What the README shows, by a client whose every type comes from /openapi.json: that this compiles says that the
// document is complete, that it runs says that it is true. Wants INSULA_URL and INSULA_MAIL_DIR.
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Problem = components["schemas"]["Problem"];
type Tokens = components["schemas"]["Tokens"];

const url = process.env["INSULA_URL"] ?? "http://127.0.0.1:8080";
const mail_folder = process.env["INSULA_MAIL_DIR"] ?? ".insula/mail";
const password = "correct horse battery staple 42";
const unique = Date.now().toString(36);

function expect(is_so: boolean, what: string, answer?: unknown): asserts is_so {
  if (!is_so) throw new Error(`${what}: ${JSON.stringify(answer)}`);
}

/** A client that sends an access token, or none. */
const as = (tokens?: Tokens) =>
  createClient<paths>({
    baseUrl: url,
    headers: tokens ? { Authorization: `Bearer ${tokens.access_token}` } : {},
  });

/** The answer's data, or an end of the tour that says why there is none. */
function good<T>(answer: { data?: T; error?: unknown; response: Response }, status: number): T {
  expect(answer.response.status === status, `${answer.response.url} answered ${answer.response.status}`, answer.error);
  return answer.data as T;
}

/** The code of a problem; which codes there can be the compiler knows. */
function refused<C extends Problem["code"]>(
  answer: { error?: Problem & { code?: C }; response: Response }, code: C): void {
  expect(answer.error?.code === code, `${answer.response.url} did not answer ${code}`, answer.error);
  expect(answer.error.request_id === answer.response.headers.get("X-Request-ID"), "the request's id");
}

const seen = new Set<string>();

/** The token of the newest mail to an address; waits for it. */
async function mailed(to: string, subject_of: string): Promise<string> {
  for (const until = Date.now() + 30_000; Date.now() < until; await pause(20)) {
    for (const name of await readdir(mail_folder)) {
      if (!name.endsWith(".eml") || seen.has(name)) continue;
      const mail = await readFile(join(mail_folder, name), "utf8");
      const token = /token=([A-Za-z0-9_-]{43})/.exec(mail)?.[1];
      if (mail.includes(`<${to}>`) && mail.includes(`/${subject_of}?`) && token) {
        seen.add(name);
        return token;
      }
    }
  }
  throw new Error(`no mail to ${to} with a link to /${subject_of}`);
}

const ada = `ada-${unique}@example.org`;
const grace = `grace-${unique}@example.org`;
const engines = `engines-${unique}`;
const compilers = `compilers-${unique}`;
const anonymous = as();

async function log_in(email: string, secret: string, tenant_slug?: string): Promise<Tokens> {
  return good(await anonymous.POST("/api/v1/auth/login",
    { body: { email, password: secret, ...(tenant_slug ? { tenant_slug } : {}) } }), 200);
}

async function until_ready(registration_id: string): Promise<void> {
  const status = good(await anonymous.GET("/api/v1/registrations/{registration_id}",
    { params: { path: { registration_id }, query: { wait: 30 } } }), 200);
  expect(status.status === "ready", "the registration", status);
}

async function register(): Promise<Tokens> {
  const form = {
    email: ada, password, full_name: "Ada Lovelace", tenant_name: "Analytical Engines", tenant_slug: engines,
  };
  const registered = await anonymous.POST("/api/v1/auth/register", { body: form });
  const { registration_id, status_url } = good(registered, 202);
  expect(registered.response.headers.get("Location") === status_url, "Location", status_url);
  refused(await anonymous.POST("/api/v1/auth/register", { body: form }), "email_taken");
  refused(await anonymous.POST("/api/v1/auth/register", { body: { ...form, email: grace } }), "slug_taken");
  await until_ready(registration_id);
  refused(await anonymous.POST("/api/v1/auth/login", { body: { email: ada, password } }), "email_not_verified");
  good(await anonymous.POST("/api/v1/auth/verify-email", { body: { token: await mailed(ada, "verify-email") } }), 200);
  return log_in(ada, password);
}

async function projects(tokens: Tokens): Promise<void> {
  const api = as(tokens);
  const params = { header: { "Idempotency-Key": `first-${unique}` } };
  const body = { name: "Difference Engine", description: "An engine that differs" };
  const made = await api.POST("/api/v1/projects", { params, body });
  const project = good(made, 201);
  const again = good(await api.POST("/api/v1/projects", { params, body }), 201);
  expect(again.id === project.id, "a repeat with the same key gets the first answer", again);
  refused(await api.POST("/api/v1/projects", { body }), "name_taken");

  const path = { id: project.id };
  const etag = made.response.headers.get("ETag") ?? "";
  const unchanged = await api.GET("/api/v1/projects/{id}", { params: { path, header: { "If-None-Match": etag } } });
  expect(unchanged.response.status === 304, "If-None-Match", unchanged.response.status);
  const changed = good(await api.PATCH("/api/v1/projects/{id}",
    { params: { path, header: { "If-Match": etag } }, body: { description: null } }), 200);
  expect(changed.name === project.name && changed.description === null, "null clears, absent leaves", changed);
  refused(await api.PATCH("/api/v1/projects/{id}",
    { params: { path, header: { "If-Match": etag } }, body: { name: "Too late" } }), "precondition_failed");

  good(await api.POST("/api/v1/projects", { body: { name: "Analytical Engine" } }), 201);
  const names: string[] = [];
  for (let cursor: string | null | undefined = undefined; cursor !== null;) {
    const page: components["schemas"]["ProjectPage"] = good(await api.GET("/api/v1/projects",
      { params: { query: { limit: 1, ...(cursor ? { cursor } : {}) } } }), 200);
    names.push(...page.items.map((one) => one.name));
    cursor = page.next_cursor;
  }
  expect(names.join() === "Analytical Engine,Difference Engine", "newest first, page by page", names);
}

async function invite(tokens: Tokens): Promise<Tokens> {
  const api = as(tokens);
  const made = good(await api.POST("/api/v1/invites", { body: { email: grace, role: "member" } }), 201);
  refused(await api.POST("/api/v1/invites", { body: { email: grace, role: "member" } }), "invite_pending");
  expect(made.role === "member" && !("token" in made), "the mail has the token, nothing else", made);
  const token = await mailed(grace, "accept-invite");
  const preview = good(await anonymous.POST("/api/v1/invites/preview", { body: { token } }), 200);
  expect(preview.needs_account && preview.tenant_name === "Analytical Engines", "preview", preview);
  const joined = good(await anonymous.POST("/api/v1/invites/accept",
    { body: { token, password, full_name: "Grace Hopper" } }), 200);
  expect(joined.tenant.slug === engines, "where she is now", joined);
  refused(await anonymous.POST("/api/v1/invites/preview", { body: { token } }), "not_found");

  const hers = await log_in(grace, password);
  expect(hers.tenant?.role === "member", "her role", hers.tenant);
  const all = good(await as(hers).GET("/api/v1/projects"), 200);
  expect(all.items.length === 2, "she sees what her colleague made", all);
  refused(await as(hers).POST("/api/v1/invites", { body: { email: ada, role: "owner" } }), "forbidden");
  return hers;
}

async function second_tenant(hers: Tokens): Promise<void> {
  const made = good(await as(hers).POST("/api/v1/tenants", { body: { name: "Compilers", slug: compilers } }), 202);
  await until_ready(made.registration_id);
  refused(await anonymous.POST("/api/v1/auth/login", { body: { email: grace, password } }), "tenant_required");
  const mine = good(await as(hers).GET("/api/v1/users/me/tenants"), 200);
  expect(mine.items.map((one) => one.slug).sort().join() === [compilers, engines].join(), "her tenants", mine);

  const there = good(await as(hers).POST("/api/v1/auth/switch-tenant", { body: { tenant_slug: compilers } }), 200);
  expect(there.tenant?.role === "owner", "it is hers", there.tenant);
  const none = good(await as(there).GET("/api/v1/projects"), 200);
  expect(none.items.length === 0, "another tenant, other projects", none);
  refused(await as(there).GET("/api/v1/projects", { params: { header: { "X-Tenant-Slug": engines } } }),
    "tenant_mismatch");

  const refreshed = good(await anonymous.POST("/api/v1/auth/refresh",
    { body: { refresh_token: there.refresh_token } }), 200);
  expect(refreshed.refresh_token !== there.refresh_token, "a refresh token is good once", refreshed.tenant);
  good(await anonymous.POST("/api/v1/auth/logout", { body: { refresh_token: refreshed.refresh_token } }), 204);
  refused(await as(refreshed).GET("/api/v1/projects"), "invalid_token");
}

async function forgotten_password(hers: Tokens): Promise<Tokens> {
  good(await anonymous.POST("/api/v1/auth/forgot-password", { body: { email: grace } }), 202);
  const token = await mailed(grace, "reset-password");
  const new_password = "nanoseconds of copper wire 1906";
  good(await anonymous.POST("/api/v1/auth/reset-password", { body: { token, new_password } }), 204);
  refused(await as(hers).GET("/api/v1/users/me"), "invalid_token");
  refused(await anonymous.POST("/api/v1/auth/login", { body: { email: grace, password } }), "invalid_credentials");
  return log_in(grace, new_password, engines);
}

async function remove(tokens: Tokens, hers: Tokens): Promise<void> {
  const api = as(tokens);
  const me = good(await as(hers).GET("/api/v1/users/me"), 200);
  const path = { user_id: me.id };
  const changed = good(await api.PATCH("/api/v1/members/{user_id}",
    { params: { path }, body: { role: "admin" } }), 200);
  expect(changed.role === "admin", "a new role", changed);
  refused(await as(hers).GET("/api/v1/members"), "invalid_token");
  const now = good(await anonymous.POST("/api/v1/auth/refresh", { body: { refresh_token: hers.refresh_token } }), 200);
  expect(now.tenant?.role === "admin", "a refresh brings it", now.tenant);
  refused(await as(now).DELETE("/api/v1/members/{user_id}",
    { params: { path: { user_id: good(await api.GET("/api/v1/users/me"), 200).id } } }), "forbidden");

  good(await api.DELETE("/api/v1/members/{user_id}", { params: { path } }), 204);
  refused(await as(now).GET("/api/v1/members"), "invalid_token");
  const members = good(await api.GET("/api/v1/members"), 200);
  expect(members.items.map((one) => one.role).join() === "owner", "who is left", members);

  const log = good(await api.GET("/api/v1/audit/logs", { params: { query: { action: "member.remove" } } }), 200);
  expect(log.items.length === 1 && log.items[0]?.entity_id === me.id, "the log has it", log);
}

const tokens = await register();
await projects(tokens);
const hers = await invite(tokens);
await second_tenant(hers);
await remove(tokens, await forgotten_password(hers));
console.log("the tour is done");
