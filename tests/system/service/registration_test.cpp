// Registrations that race, and registrations whose parts fail.
#include "deployment.hpp"

#include <algorithm>
#include <barrier>
#include <thread>

namespace insula::test {
namespace {

constexpr int racers = 64;

/// How much of everything there is that a registration makes.
struct census {
    long tenants = 0, accounts = 0, memberships = 0, registrations = 0, mail_tokens = 0, runs = 0,
         audits = 0, schemas = 0, roles = 0;
    bool operator==(const census&) const = default;
    friend census operator-(const census& a, const census& b) {
        return {a.tenants - b.tenants,
                a.accounts - b.accounts,
                a.memberships - b.memberships,
                a.registrations - b.registrations,
                a.mail_tokens - b.mail_tokens,
                a.runs - b.runs,
                a.audits - b.audits,
                a.schemas - b.schemas,
                a.roles - b.roles};
    }
    friend std::ostream& operator<<(std::ostream& out, const census& c) {
        return out << "tenants " << c.tenants << " accounts " << c.accounts << " memberships "
                   << c.memberships << " registrations " << c.registrations << " mail tokens "
                   << c.mail_tokens << " runs " << c.runs << " audit rows " << c.audits
                   << " schemas " << c.schemas << " roles " << c.roles;
    }
};

census count(deployment& where) {
    const auto found = where.database().query_admin(
        "select (select count(*) from control.tenant), (select count(*) from control.account),"
        " (select count(*) from control.membership), (select count(*) from control.registration),"
        " (select count(*) from control.mail_token),"
        " (select count(*) from queue.run) + (select count(*) from queue.history),"
        " (select count(*) from control.audit_log where action <> 'tenant.create'),"
        " (select count(*) from pg_namespace where nspname ~ '^t_[0-9a-f]{32}$'),"
        " (select count(*) from pg_auth_members a join pg_roles g on g.oid = a.roleid join "
        "pg_roles m on m.oid ="
        "  a.member where g.rolname = '" +
        where.database().role_prefix() + "_tenant' and m.rolname ~ '^t_[0-9a-f]{32}$')");
    const auto& r = found.front();
    return {std::stol(r[0]), std::stol(r[1]), std::stol(r[2]), std::stol(r[3]), std::stol(r[4]),
            std::stol(r[5]), std::stol(r[6]), std::stol(r[7]), std::stol(r[8])};
}

/// What one registration leaves: a mail's and a provisioning's run.
census of_registrations(long n) {
    return {n, n, n, n, n, 2 * n, n, n, n};
}

void await_idle(deployment& where) {
    wait_until("the queue to be empty", [&] {
        return where.database().value_admin("select count(*) from queue.run") == "0";
    });
}

/// All of them at once, half to each process.
std::vector<http_answer> register_at_once(const std::vector<const served*>& processes,
                                          const std::vector<json::object>& forms) {
    std::vector<http_answer> answers(forms.size());
    std::barrier start(static_cast<std::ptrdiff_t>(forms.size()));
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < forms.size(); ++i) {
        threads.emplace_back([&, i] {
            auto client = processes[i % processes.size()]->client();
            (void)get(client, "/livez");  // the connection is there before the race
            start.arrive_and_wait();
            try {
                answers[i] = post_json(client, "/api/v1/auth/register", forms[i]);
            } catch (const std::exception& e) {
                answers[i].body = e.what();
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    return answers;
}

/// Everything a schema's catalogue says of its tables, the schema's own name aside.
std::string fingerprint(deployment& where, const std::string& schema) {
    return where.database().value_admin(
        "with n as (select oid, nspname, nspacl, nspowner from pg_namespace where nspname = '" +
        schema +
        "') select md5(replace(concat("
        "(select concat(nspacl::text, nspowner::regrole::text) from n),"
        "(select string_agg(concat(c.relname, c.relkind, c.relacl::text, "
        "c.relowner::regrole::text, c.reltuples <> -2,"
        " a.attname, a.atttypid::regtype, a.attnotnull, pg_get_expr(d.adbin, d.adrelid)), ';' "
        "order by c.relname, a.attnum)"
        " from pg_class c join n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = "
        "c.oid"
        " left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum),"
        "(select string_agg(indexdef, ';' order by indexname) from pg_indexes where schemaname = "
        "'" +
        schema +
        "'),"
        "(select string_agg(pg_get_constraintdef(k.oid), ';' order by k.conname) from "
        "pg_constraint k join n on n.oid ="
        " k.connamespace),"
        "(select count(*) from pg_proc p join n on n.oid = p.pronamespace),"
        "(select count(*) from pg_type t join n on n.oid = t.typnamespace)), '" +
        schema + "', '{t}'))");
}

class system_registration_race : public testing::Test {
protected:
    static void SetUpTestSuite() {
        where_ = std::make_unique<deployment>();
        second_ = std::make_unique<served>(where_->variables());
        processes_ = {&where_->server(), second_.get()};
    }
    static void TearDownTestSuite() {
        processes_.clear();
        second_.reset();
        where_.reset();
    }

    /// Exactly one 202, for the others that code; and of exactly one registration is there
    /// anything.
    static void expect_one_winner(const std::vector<json::object>& forms, std::string_view code) {
        await_idle(*where_);
        const auto before = count(*where_);
        const auto answers = register_at_once(processes_, forms);
        std::string status_url;
        int accepted = 0;
        for (const auto& answer : answers) {
            if (answer.status == 202) {
                ++accepted;
                status_url = *answer.field("Location");
            } else {
                EXPECT_TRUE(is_problem(answer, 409, code));
            }
        }
        ASSERT_EQ(accepted, 1);
        auto client = where_->server().client();
        EXPECT_EQ(text_of(parse(get(client, status_url + "?wait=30")), "/status"), "ready");
        await_idle(*where_);
        EXPECT_EQ(count(*where_) - before, of_registrations(1));
        EXPECT_EQ(where_->database().value_admin(
                      "select count(*) from control.tenant where status <> 'ready'"),
                  "0");
    }

    static inline std::unique_ptr<deployment> where_;
    static inline std::unique_ptr<served> second_;
    static inline std::vector<const served*> processes_;
};

TEST_F(system_registration_race, G20_concurrent_registration_with_one_slug) {
    std::vector<json::object> forms;
    for (int i = 0; i < racers; ++i) {
        forms.push_back(registration_form("wanted", "racer-" + std::to_string(i) + "@example.org"));
    }
    expect_one_winner(forms, "slug_taken");
}

TEST_F(system_registration_race, G21_concurrent_registration_with_one_mail_address) {
    std::vector<json::object> forms;
    for (int i = 0; i < racers; ++i) {
        // The same identity, however it is typed.
        forms.push_back(
            registration_form("mail-" + std::to_string(i),
                              i % 2 == 0 ? "one.address@example.org" : "One.Address@EXAMPLE.org"));
    }
    expect_one_winner(forms, "email_taken");
}

TEST_F(system_registration_race, G22_concurrent_registration_with_different_slugs) {
    await_idle(*where_);
    const auto before = count(*where_);
    std::vector<json::object> forms;
    for (int i = 0; i < racers; ++i) {
        const auto slug = "different-" + std::to_string(i);
        forms.push_back(registration_form(slug, slug + "@example.org"));
    }
    auto client = where_->server().client();
    std::set<std::string> fingerprints;
    for (const auto& answer : register_at_once(processes_, forms)) {
        ASSERT_EQ(answer.status, 202) << answer.text();
        const auto status = parse(get(client, *answer.field("Location") + "?wait=30"));
        EXPECT_EQ(text_of(status, "/status"), "ready");
        person who;
        who.tenant_id = text_of(status, "/tenant/id");
        fingerprints.insert(fingerprint(*where_, who.schema()));
    }
    EXPECT_EQ(fingerprints.size(), 1U) << "the schemas differ";
    await_idle(*where_);
    EXPECT_EQ(count(*where_) - before, of_registrations(racers));
    EXPECT_EQ(where_->database().value_admin(
                  "select count(*) from control.membership where status <> 'active'"),
              "0");
}

class system_registration : public testing::Test {
protected:
    rows admin(const std::string& sql) { return where_.database().query_admin(sql); }
    http_answer register_now(const std::string& slug) {
        return post_json(client_, "/api/v1/auth/register",
                         registration_form(slug, slug + "@example.org"));
    }
    std::string outcome(const http_answer& accepted) {
        return text_of(parse(get(client_, accepted.field("Location").value_or("") + "?wait=30")),
                       "/status");
    }
    /// A trigger on that table which refuses what a registration does to it.
    void refuse(const std::string& table, const std::string& when) {
        admin(
            "create or replace function public.refuse() returns trigger language plpgsql as"
            " $$ begin raise exception 'refused by the test'; end $$;"
            "grant usage on schema public to public; create trigger test_refuses " +
            when + " execute function public.refuse()");
        refused_ = table;
    }
    void allow() {
        if (!refused_.empty()) {
            admin("drop trigger test_refuses on " + refused_ +
                  "; drop function public.refuse();"
                  "revoke usage on schema public from public");
            refused_.clear();
        }
    }
    void TearDown() override { allow(); }
    /// 500 without a word of what happened inside, and nothing of the registration exists.
    void expect_nothing_left(const std::string& slug) {
        const auto before = count(where_);
        const auto answer = register_now(slug);
        EXPECT_GE(answer.status, 500);
        EXPECT_TRUE(is_problem(answer, answer.status, ""));
        for (const char* inner : {"refused", "queue", "enqueue", "permission", "control."}) {
            EXPECT_EQ(answer.body.find(inner), std::string::npos) << answer.text();
        }
        EXPECT_EQ(count(where_), before);
    }
    /// The same form is good as soon as nothing refuses it: nobody holds its slug or address.
    void expect_free(const std::string& slug) {
        const auto answer = register_now(slug);
        ASSERT_EQ(answer.status, 202) << answer.text();
        EXPECT_EQ(outcome(answer), "ready");
    }

    deployment& where_ = shared_deployment();
    http_client client_ = where_.server().client();
    std::string refused_;
};

TEST_F(system_registration, tenant_provisioning_failure_marks_failed) {
    const std::string function = "provision.create_tenant_schema(uuid)";
    const auto original = where_.database().value_admin("select pg_get_functiondef('" + function +
                                                        "'::regprocedure)");
    const auto slug = where_.fresh_slug("fails");
    await_idle(where_);
    const auto before = count(where_);
    admin(
        "create or replace function provision.create_tenant_schema(tenant uuid) returns integer "
        "language plpgsql"
        " strict security definer set search_path = pg_catalog, pg_temp as $$ begin"
        " execute format('create schema %I', provision.tenant_name(tenant));"
        " raise exception using errcode = 'P0001', message = 'refused by the test'; end $$");
    const auto accepted = register_now(slug);
    const auto status =
        accepted.status == 202 ? get(client_, *accepted.field("Location") + "?wait=30") : accepted;
    admin(original);
    ASSERT_EQ(accepted.status, 202) << accepted.text();

    const auto body = parse(status);
    EXPECT_EQ(text_of(body, "/status"), "failed") << status.text();
    EXPECT_FALSE(text_of(body, "/error/code").empty());
    EXPECT_GE(text_of(body, "/error/detail").size(), 20U) << "no reason that a registrant can read";
    EXPECT_EQ(status.body.find("refused by the test"), std::string::npos)
        << "the database's own words";
    await_idle(where_);
    const auto left = count(where_) - before;
    EXPECT_EQ(left.schemas, 0);
    EXPECT_EQ(left.roles, 0);
    EXPECT_EQ(where_.database().value_admin(
                  "select count(*) from control.membership m join control.tenant t"
                  " on t.id = m.tenant_id where t.status = 'failed' and m.status = 'active'"),
              "0");

    // Slug and address are free again, and the failed registration goes on saying so.
    expect_free(slug);
    EXPECT_EQ(text_of(parse(get(client_, *accepted.field("Location"))), "/status"), "failed");
}

TEST_F(system_registration, provisioning_that_fails_in_passing_is_tried_again) {
    const auto original = where_.database().value_admin(
        "select pg_get_functiondef('provision.create_tenant_schema(uuid)'::regprocedure)");
    // A sequence keeps its value when the transaction rolls back.
    admin(
        "create sequence public.tries; grant usage on schema public to public; grant all on "
        "public.tries to public;"
        "create or replace function provision.create_tenant_schema(tenant uuid) returns integer "
        "language plpgsql"
        " strict security definer set search_path = pg_catalog, pg_temp as $$ begin"
        " execute format('create schema if not exists %I', provision.tenant_name(tenant));"
        " if nextval('public.tries') < 3 then raise exception using errcode = '40001'; end if;"
        " execute format('grant usage on schema %I to %I', provision.tenant_name(tenant),"
        "   provision.tenant_name(tenant));"
        " return provision.apply_tenant_migrations(tenant); end $$");
    const auto accepted = register_now(where_.fresh_slug("passing"));
    const auto status =
        accepted.status == 202 ? get(client_, *accepted.field("Location") + "?wait=30") : accepted;
    const auto tries = where_.database().value_admin("select last_value from public.tries");
    admin(original + "; drop sequence public.tries; revoke usage on schema public from public");
    ASSERT_EQ(accepted.status, 202) << accepted.text();
    EXPECT_EQ(text_of(parse(status), "/status"), "ready") << status.text();
    EXPECT_EQ(tries, "3");
}

TEST_F(system_registration, G40_registration_rolls_back_when_its_workflow_cannot_be_started) {
    const auto slug = where_.fresh_slug("unqueued");
    const auto app = where_.database().role_prefix() + "_app";
    const auto function =
        where_.database().value_admin("select 'queue.enqueue'::regproc::oid::regprocedure::text");
    await_idle(where_);
    admin("revoke execute on function " + function + " from " + app);
    expect_nothing_left(slug);
    admin("grant execute on function " + function + " to " + app);
    admin("alter function " + function + " rename to enqueue_away");
    expect_nothing_left(slug);
    admin("alter function queue.enqueue_away rename to enqueue");
    EXPECT_TRUE(where_.mailed_tokens(slug + "@example.org").empty())
        << "a mail about a registration that is not";
    expect_free(slug);
}

TEST_F(system_registration, G40_registration_rolls_back_whichever_statement_fails) {
    const auto slug = where_.fresh_slug("refused");
    await_idle(where_);
    for (const std::string table :
         {"control.account", "control.tenant", "control.membership", "control.registration",
          "control.mail_token", "control.audit_log"}) {
        SCOPED_TRACE(table);
        refuse(table, "before insert on " + table + " for each statement");
        expect_nothing_left(slug);
        allow();
        refuse(table, "after insert on " + table + " for each row");
        expect_nothing_left(slug);
        allow();
    }
    {
        SCOPED_TRACE("older mail tokens are made void");
        refuse("control.mail_token", "before update on control.mail_token for each statement");
        expect_nothing_left(slug);
        allow();
    }
    expect_free(where_.fresh_slug("kinds"));
    await_idle(where_);
    const auto kinds = where_.database().query_admin(  // those of the registration just made
        "select distinct h.kind from queue.history h where h.created_at >="
        " (select max(created_at) from control.registration)");
    EXPECT_EQ(kinds.size(), 2U) << "provisioning and mail";
    for (const auto& kind : kinds) {
        SCOPED_TRACE("the run " + kind.front());
        refuse("queue.run",
               "before insert on queue.run for each row when (new.kind = '" + kind.front() + "')");
        expect_nothing_left(slug);
        allow();
    }
    expect_free(slug);
}

TEST_F(system_registration, G40_rollback_on_commit_failure) {
    const auto slug = where_.fresh_slug("uncommitted");
    await_idle(where_);
    // A deferred constraint: every statement succeeds, the commit does not.
    admin(
        "create function public.refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'refused by the test'; end $$; grant usage on schema public to "
        "public;"
        "create constraint trigger test_refuses after insert on control.registration deferrable "
        "initially deferred"
        " for each row execute function public.refuse()");
    refused_ = "control.registration";
    expect_nothing_left(slug);
    allow();
    expect_free(slug);
}

}  // namespace
}  // namespace insula::test
