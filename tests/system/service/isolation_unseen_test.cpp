// G04: every text that B has is a canary of 128 random bits. None is in an answer to A, in the log
// at its lowest level, in the metrics, or in a mail to anybody else; and no secret is in any log.
#include "isolation_probes.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace insula::test {
namespace {

/// Texts that no tenant fills; everything else must have a canary in it.
const std::map<std::string, std::string> of_nobody{
    {"control.tenant.status", "one of some words"},
    {"control.tenant.restore_status", "one of some words"},
    {"control.tenant.failure_code", "ours"},
    {"control.tenant.failure_detail", "ours: tried below"},
    {"control.account.password_hash", "a hash"},
    {"control.membership.role", "one of some words"},
    {"control.membership.status", "one of some words"},
    {"control.audit_log.action", "one of some words"},
    {"control.audit_log.entity_type", "one of some words"},
    {"control.audit_log.entity_id", "ids that we made"},
    {"control.audit_log.ip", "an address of a machine"},
    {"control.audit_log.status", "one of some words"},
    {"control.session.ip", "an address of a machine"},
    {"control.session.end_reason", "one of some words"},
    {"control.mail_token.purpose", "one of some words"},
    {"control.invite.role", "one of some words"},
    {"control.feed_change.kind", "one of some words"},
    {"control.feed_change.value", "a number, a state or a key's id"},
    {"control.signing_key.", "of the installation"},
    {"control.tenant_migration.", "of the installation"},
    {"control.migration.", "of the installation"},
    {"queue.migration.", "of the installation"},
    {"queue.run.", "of a task: what it was about is in queue.history when it is done"},
    {"queue.history.kind", "one of some words"},
    {"queue.history.lock_key", "ids that we made"},
    {"queue.history.error_", "ours: tried below"},
    {"queue.step.", "ids and names that we made"},
    {"queue.failed_attempt.", "ours: tried below"},
    {"queue.idempotency.", "ids and names that we made"},
    {"queue.key_lock.", "ids that we made"},
    {"queue.worker.", "of the installation"},
    {"queue.recurring.", "of the installation"},
};

std::string contents(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    return std::move(all).str();
}

class isolation_unseen : public testing::Test {
protected:
    static isolation_stage& stage() { return isolation_stage::shared(); }

    static std::string canary_of(std::string_view what) {
        for (const auto& one : stage().canaries()) {
            if (one.what == what) {
                return one.value;
            }
        }
        throw std::runtime_error("no canary is " + std::string(what));
    }
    /// What B's people get wrong, with canaries in each place.
    static void make_mistakes() {
        auto client = stage().client();
        const auto text = canary_of("a project's name");
        const auto slug = stage().b_owner.who.slug;
        const auto auth = stage().b_credentials();
        (void)post_json(client, "/api/v1/projects", {{"name", text}}, auth);
        (void)post_json(client, "/api/v1/projects", {{text, text}, {"name", 7}}, auth);
        (void)post_json(client, "/api/v1/auth/register",
                        registration_form(slug, text + "@example.org"));
        (void)post_json(client, "/api/v1/auth/register",
                        registration_form("a-free-slug", stage().b_owner.who.email));
        (void)post_json(client, "/api/v1/auth/login",
                        {{"email", stage().b_owner.who.email}, {"password", text}});
        auto fields = auth;
        fields.emplace_back("Content-Type", "application/json");
        (void)client.send("POST", "/api/v1/projects", fields, "{\"name\":\"" + text);
        (void)client.send("POST", "/api/v1/projects", fields,
                          "{\"name\":\"" + std::string(300, 'x') + text + "\"}");
        for (const auto& target :
             {"/api/v1/projects?cursor=" + text, "/api/v1/projects?" + text + "=1",
              "/api/v1/projects/" + text, "/api/v1/tenants/" + slug, "/" + text,
              "/api/v1/audit/logs?action=" + text}) {
            (void)get(client, target, auth);
        }
        fields.emplace_back("X-Tenant-Slug", slug + text);
        (void)client.send("GET", "/api/v1/projects", fields);
        (void)get(client, "/api/v1/projects", {{"Authorization", "Bearer " + text}});
        (void)delete_json(client, "/api/v1/tenants/" + slug, {{"confirm", text}}, auth);
    }
    /// A statement of B's fails in PostgreSQL for no reason that we know, with the row in its hand.
    static void fail_in_the_database() {
        auto& database = stage().where().database();
        const auto table = stage().b_owner.who.schema() + ".projects";
        database.query_admin("alter table " + table +
                             " add constraint not_now check (length(name) < 5) not valid");
        auto client = stage().client();
        const auto answer =
            post_json(client, "/api/v1/projects", {{"name", canary_of("a description") + "!"}},
                      stage().b_credentials());
        database.query_admin("alter table " + table + " drop constraint not_now");
        EXPECT_TRUE(is_problem(answer, 500, "internal"));
        EXPECT_EQ(stage().seen_in(answer.text()), "");
    }
    /// A tenant whose names are canaries cannot be set up.
    static void fail_to_set_up() {
        auto& database = stage().where().database();
        const auto original = database.value_admin(
            "select pg_get_functiondef('provision.create_tenant_schema(uuid)'::regprocedure)");
        database.query_admin(
            "create or replace function provision.create_tenant_schema(tenant uuid) returns integer"
            " language plpgsql strict security definer set search_path = pg_catalog, pg_temp as $$ "
            "declare v text; begin select t.slug || t.name into v from control.tenant t where "
            "t.id = tenant; raise exception using errcode = '23514', message = 'refused by the "
            "test', detail = 'Failing row contains ' || v; end $$");
        auto client = stage().client();
        auto form = registration_form("c" + canary_of("a tenant's name"),
                                      canary_of("a project's name") + "@example.org");
        form["full_name"] = canary_of("a person's name");
        form["tenant_name"] = canary_of("a tenant's first name");
        const auto accepted = post_json(client, "/api/v1/auth/register", form);
        EXPECT_EQ(accepted.status, 202) << accepted.text();
        const auto ended = get(client, *accepted.field("Location") + "?wait=30");
        database.query_admin(original);
        EXPECT_EQ(text_of(parse(ended), "/status"), "failed");
    }
};

TEST_F(isolation_unseen, G04_every_text_that_a_tenant_can_fill_has_a_canary) {
    auto& database = stage().where().database();
    std::string any;
    for (const auto& one : stage().canaries()) {
        any += (any.empty() ? "" : "|") + one.value;
    }
    int filled = 0;
    for (const auto& column : database.query_admin(
             "select n.nspname, c.relname, a.attname from pg_attribute a"
             " join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p')"
             " join pg_namespace n on n.oid = c.relnamespace"
             " where a.attnum > 0 and not a.attisdropped and a.atttypid in ('text'::regtype,"
             " 'varchar'::regtype, 'jsonb'::regtype, 'json'::regtype, 'text[]'::regtype)"
             " and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'watch')"
             " and (n.nspname !~ '^t_' or n.nspname = $1)",
             {stage().b_owner.who.schema()})) {
        const auto name = column[0] + "." + column[1] + "." + column[2];
        if (std::ranges::any_of(of_nobody,
                                [&](const auto& one) { return name.starts_with(one.first); })) {
            continue;
        }
        ++filled;
        EXPECT_EQ(database.query_admin("select exists (select from " + column[0] + "." + column[1] +
                                           " x where x." + column[2] + "::text ~ $1)",
                                       {any}),
                  (rows{{"t"}}))
            << name << ": fill it with a canary in isolation_stage.cpp, or say why not above";
    }
    EXPECT_GE(filled, 14);
}

TEST_F(isolation_unseen, G04_canaries_are_seen_nowhere_else) {
    prober all(stage());
    for (const auto& one : all.probes()) {
        if (one.operation.method != "GET" || one.operation.operators || one.where == nullptr ||
            one.who != caller::owner || one.demanded != rule::alike) {
            continue;
        }
        EXPECT_NE(all.send_as_b(one).status, 404) << one.title();
        const auto asked = all.send(one, &three::foreign);
        EXPECT_EQ(stage().seen_in(asked.answer.text(), asked.sent), "") << one.title();
        // The address of B's owner is one that A may have typed itself, to invite it.
        EXPECT_EQ(
            stage().seen_in(all.send(one, &three::own).answer.text(), stage().b_owner.who.email),
            "")
            << one.title();
    }
    make_mistakes();
    fail_in_the_database();
    fail_to_set_up();
    stage().settle();

    auto client = stage().client();
    EXPECT_EQ(stage().seen_in(get(client, "/metrics").body), "");
    const auto log = stage().log() + stage().where().server().process().out();
    for (const char* there : {"\"event\":\"request\"", "\"event\":\"token refused\"",
                              "\"event\":\"request failed\"", "step failed finally"}) {
        EXPECT_NE(log.find(there), std::string::npos) << "not the whole log: no " << there;
    }
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        std::string seen;
        for (const auto& one : stage().canaries()) {
            if (!one.logged && line.find(one.value) != std::string::npos) {
                seen += one.what + "; ";
            }
        }
        EXPECT_EQ(seen, "") << line;
    }
    for (const auto& file : std::filesystem::directory_iterator(stage().where().mail_folder())) {
        const auto mail = contents(file.path());
        const auto at = mail.find("To: ");
        const auto to = mail.substr(at, mail.find("\r\n", at) - at);
        // Of B's people, or invited to B.
        if (stage().seen_in(to).empty() && to.find(stage().admin.who.email) == std::string::npos &&
            to.find(stage().both.who.email) == std::string::npos) {
            EXPECT_EQ(stage().seen_in(mail), "") << mail;
        }
    }
}

TEST_F(isolation_unseen, G04_no_secret_is_in_the_log) {
    make_mistakes();
    const auto log = stage().log() + stage().where().server().process().out();
    auto secrets = stage().secrets();
    secrets.emplace_back("the key-encryption key",
                         stage().where().variables().at("INSULA_KEY_ENCRYPTION_KEY"));
    secrets.emplace_back("a password of A's", good_password);
    secrets.emplace_back("a token of A's", stage().owner.tokens.access);
    secrets.emplace_back("a refresh token of A's", stage().owner.tokens.refresh);
    EXPECT_GE(secrets.size(), 15U);
    for (const auto& [what, value] : secrets) {
        EXPECT_EQ(log.find(value), std::string::npos) << what;
        // An access token without its signature is still somebody's claims.
        if (value.starts_with("eyJ")) {
            const auto claims = value.substr(value.find('.') + 1);
            EXPECT_EQ(log.find(claims.substr(0, claims.find('.'))), std::string::npos) << what;
        }
    }
}

}  // namespace
}  // namespace insula::test
