#include "life.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>

namespace insula::test {
namespace {

void replace_all(std::string& text, const std::string& what, const std::string& by) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
        text.replace(at, what.size(), by);
    }
}

void pause_between_looks() {
    std::this_thread::sleep_for(3ms);
}

/// What a child process does: the engine alone, until it dies.
TEST(life_child, DISABLED_engine) {
    const char* conninfo = std::getenv("INSULA_LIFE_CHILD");
    ASSERT_NE(conninfo, nullptr) << "only started by the other tests";
    running_loop loop;
    observe::metrics metrics;
    pg::connection_budget budget{16};
    pg::pool worker(loop.get(), {.name = "worker", .conninfo = conninfo}, budget, metrics);
    const secret_bytes key(32);
    const identity::secret_keys keys(key);
    no_mail mail(metrics);
    const mail::templates templates("");
    const workflows::services services{keys, mail, templates, "https://insula.test", {}};
    const auto registry = workflows::all(services);
    queue::engine engine(loop.get(), worker, budget, registry, quick_engine(), metrics);
    runtime::post(loop.get(), [&engine] { engine.start(); });
    for (;;) {
        ::pause();
    }
}

}  // namespace

queue::engine_options quick_engine(unsigned workers) {
    queue::engine_options options;
    options.workers = workers;
    options.lease = short_lease;
    options.poll = 50ms;
    options.unknown_kind_delay = 100ms;
    return options;
}

life_process::life_process(const installed_database& database, queue::engine_options options,
                           std::chrono::seconds grace)
    : pools_(loop_.get(), database),
      keys_(database.key()),
      mail_(pools_.metrics),
      services_{keys_, mail_, templates_, "https://insula.test", {}},
      registry_(workflows::all(services_)),
      directory_(pools_.control),
      revoked_(loop_.get(), {.conninfo = database.conninfo(database.roles().app())}, pools_.budget,
               pools_.metrics) {
    engine_ = std::make_unique<queue::engine>(loop_.get(), pools_.worker, pools_.budget, registry_,
                                              std::move(options), pools_.metrics);
    context_ = std::make_unique<identity::context>(identity::context{.control = pools_.control,
                                                                     .hashing = hashing_,
                                                                     .hasher = hasher_,
                                                                     .tasks = *engine_,
                                                                     .tenants = directory_,
                                                                     .revoked = revoked_,
                                                                     .keys = keys_,
                                                                     .clock = system_clock_source(),
                                                                     .cells = installed_cells,
                                                                     .deletion_grace = grace});
    runtime::post(loop_.get(), [this] { engine_->start(); });
}

life_process::~life_process() {
    try {
        if (!loop_.await(engine_->drain(runtime::deadline::after(10s)))) {
            ADD_FAILURE() << "the engine did not drain";
        }
        loop_.await(pools_.close());
    } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
    }
}

life_child::life_child(const installed_database& database, const std::string& fault) {
    const std::string conninfo = database.conninfo(database.roles().worker());
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::setenv("INSULA_LIFE_CHILD", conninfo.c_str(), 1);
        ::setenv("INSULA_FAULT", fault.c_str(), 1);
        ::execl("/proc/self/exe", "integration_workflows", "--gtest_also_run_disabled_tests",
                "--gtest_filter=life_child.DISABLED_engine", nullptr);
        ::_exit(127);
    }
}

life_child::~life_child() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
}

int life_child::died_of(std::chrono::milliseconds within) {
    const auto until = std::chrono::steady_clock::now() + within;
    int end = 0;
    while (::waitpid(pid_, &end, WNOHANG) == 0) {
        if (std::chrono::steady_clock::now() > until) {
            return 0;
        }
        pause_between_looks();
    }
    pid_ = -1;
    return WIFSIGNALED(end) ? WTERMSIG(end) : 0;
}

identity::registration_form form_for(const std::string& slug_text, const std::string& email) {
    return {.email = *email_address::parse(email),
            .password = *password_text::parse("correct horse battery staple 42"),
            .full_name = *person_name::parse("Ada Lovelace"),
            .tenant_name = *insula::tenant_name::parse("Analytical Engines"),
            .tenant_slug = *slug::parse(slug_text)};
}

identity::caller nobody() {
    return {.ip = {}, .request_id = {}, .user_agent = {}, .until = runtime::deadline::after(20s)};
}

std::string life::status(tenant_id tenant) {
    return sql("select status from control.tenant where id = '" + tenant.str() + "'");
}

testing::AssertionResult life::becomes(const std::string& question, const std::string& wanted,
                                       std::chrono::milliseconds within) {
    const auto until = std::chrono::steady_clock::now() + within;
    for (;;) {
        const auto got = sql(question);
        if (got == wanted) {
            return testing::AssertionSuccess();
        }
        if (std::chrono::steady_clock::now() > until) {
            auto failed = testing::AssertionFailure();
            failed << question << "\nanswers " << got << ", not " << wanted;
            for (const auto& r : database.raw().query_admin(
                     "select kind, state, direction, step, attempt, error_code, error_internal,"
                     " undo_error from queue.run")) {
                failed << "\n" << testing::PrintToString(r);
            }
            return failed;
        }
        pause_between_looks();
    }
}

testing::AssertionResult life::gets(tenant_id tenant, const std::string& wanted,
                                    std::chrono::milliseconds within) {
    return becomes("select status from control.tenant where id = '" + tenant.str() + "'", wanted,
                   within);
}

std::vector<std::string> life::leftovers(tenant_id tenant) {
    const auto id = "'" + tenant.str() + "'";
    const auto name = "'" + tenancy::tenant_name(tenant) + "'";
    const std::pair<const char*, std::string> questions[] = {
        {"role", "select count(*) from pg_roles where rolname = " + name},
        {"schema", "select count(*) from pg_namespace where nspname = " + name},
        {"relation",
         "select count(*) from pg_class c left join pg_namespace n on n.oid = c.relnamespace"
         " where n.oid is null or n.nspname = " +
             name},
        {"grant to nobody",
         "select count(*) from pg_auth_members m left join pg_roles r"
         " on r.oid = m.roleid left join pg_roles w on w.oid = m.member"
         " where r.oid is null or w.oid is null"},
        {"default privilege",
         "select count(*) from pg_default_acl d left join pg_roles r on r.oid ="
         " d.defaclrole where r.oid is null"},
        {"shared dependency of nobody",
         "select count(*) from pg_shdepend d where d.refclassid = 'pg_authid'::regclass"
         " and d.dbid = (select oid from pg_database where datname = current_database())"
         " and not exists (select from pg_authid a where a.oid = d.refobjid)"},
        {"membership", "select count(*) from control.membership where tenant_id = " + id},
        {"registration", "select count(*) from control.registration where tenant_id = " + id},
        {"session",
         "select count(*) from control.session where ended_at is null and tenant_id = " + id},
        {"run", "select count(*) from queue.run where tenant = " + id},
        {"key lock",
         "select count(*) from queue.key_lock where key = 'tenant:" + tenant.str() + "'"}};
    std::vector<std::string> found;
    for (const auto& [what, question] : questions) {
        if (const auto count = sql(question); count != "0") {
            found.push_back(count + " of: " + what);
        }
    }
    return found;
}

rows life::fingerprint(tenant_id tenant) {
    const auto name = tenancy::tenant_name(tenant);
    const auto in_schema = "'" + name + "'::regnamespace";
    auto all = database.raw().query_admin(
        "select 'relation', c.relname::text, c.relkind::text, o.rolname::text, c.relacl::text, "
        "c.relhasindex::"
        "text, c.relpersistence::text from pg_class c join pg_roles o on o.oid = c.relowner"
        " where c.relnamespace = " +
        in_schema +
        " union all select 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),"
        " a.attnotnull::text, pg_get_expr(d.adbin, d.adrelid), a.attnum::text from pg_class c"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum"
        " where c.relnamespace = " +
        in_schema +
        " union all select 'constraint', c.conrelid::regclass::text, c.conname, c.contype::text,"
        " pg_get_constraintdef(c.oid), c.convalidated::text, '' from pg_constraint c"
        " where c.connamespace = " +
        in_schema +
        " union all select 'index', i.tablename, i.indexname, i.indexdef, '', '', '' from "
        "pg_indexes i where i.schemaname = '" +
        name +
        "' union all select 'function', p.proname, pg_get_functiondef(p.oid), p.proacl::text, '',"
        " '', '' from pg_proc p where p.pronamespace = " +
        in_schema +
        " union all select 'schema', '', o.rolname, n.nspacl::text, '', '', '' from pg_namespace n"
        " join pg_roles o on o.oid = n.nspowner where n.nspname = '" +
        name +
        "' union all select 'role', r.rolcanlogin::text, r.rolinherit::text, r.rolsuper::text,"
        " r.rolcreaterole::text, (select string_agg(g.rolname, ',' order by g.rolname) from "
        "pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid),"
        " (select count(*)::text from pg_auth_members m where m.roleid = r.oid) from pg_roles r"
        " where r.rolname = '" +
        name + "' order by 1, 2, 3, 4");
    for (auto& row : all) {
        for (auto& cell : row) {
            replace_all(cell, name, "T");
        }
    }
    return all;
}

identity::registered life::register_one(life_process& in, const std::string& slug_text,
                                        const std::string& email) {
    auto made = in.await(identity::register_tenant(
        in.with(), form_for(slug_text, email.empty() ? slug_text + "@example.org" : email),
        nobody()));
    if (!made) {
        throw std::runtime_error("register: " + made.error().describe());
    }
    return std::move(*made);
}

identity::registered life::make_ready(life_process& in, const std::string& slug_text) {
    auto made = register_one(in, slug_text);
    const auto ready = gets(made.tenant, "ready");
    if (!ready) {
        throw std::runtime_error(ready.message());
    }
    return made;
}

token::claims life::log_in(const identity::registered& who) {
    token::claims claims;
    claims.subject = who.user;
    claims.tenant = who.tenant;
    claims.session = session_id::make();
    claims.session_version = 1;
    claims.role = token::role::owner;
    sql_connection(database.conninfo(database.roles().app()))
        .query(
            "insert into control.session (id, user_id, tenant_id, expires_at)"
            " values ($1, $2, $3, now() + interval '1 day')",
            {claims.session.str(), who.user.str(), who.tenant.str()});
    return claims;
}

token::claims life::make_operator() {
    token::claims claims;
    claims.subject = user_id::make();
    claims.session = session_id::make();
    claims.session_version = 1;
    sql_connection app(database.conninfo(database.roles().app()));
    app.query(
        "insert into control.account (id, email, email_canonical, full_name, password_hash,"
        " operator, email_verified_at) values ($1, $2, $2, 'Operator', 'x', true, now())",
        {claims.subject.str(), claims.subject.str()});
    app.query(
        "insert into control.session (id, user_id, expires_at)"
        " values ($1, $2, now() + interval '1 day')",
        {claims.session.str(), claims.subject.str()});
    return claims;
}

}  // namespace insula::test
