// What nobody needs any more goes, in batches; what somebody may still ask for stays.
#include "workflows/clean_up.hpp"

#include "life.hpp"

#include "insula/queue/enqueue.hpp"

namespace insula::test {
namespace {

using workflows::clean_up_job;

class clean_up : public life {
protected:
    /// An account that is its own session's, with an interval since its end and until its expiry.
    void add_session(const std::string& ended, const std::string& expires, int count = 1) {
        run("insert into control.session (id, user_id, created_at, expires_at, ended_at)"
            " select gen_random_uuid(), (select id from control.account where email = 'keeper@x'),"
            " now(), now() + '" +
            expires + "'::interval, " +
            (ended.empty() ? "null" : "now() - '" + ended + "'::interval") +
            " from generate_series(1, " + std::to_string(count) + ")");
    }
    void add_account(const std::string& mail, const std::string& released) {
        run("insert into control.account (id, email, email_canonical, full_name, password_hash,"
            " released_at) values (gen_random_uuid(), '" +
            mail + "', '" + mail + "', 'x', 'x', " +
            (released.empty() ? "null" : "now() - '" + released + "'::interval") + ")");
    }
    void add_mail_tokens(const std::string& mail, const std::string& expires,
                         const std::string& used = "null") {
        run("insert into control.mail_token (hash, purpose, user_id, email_canonical, expires_at,"
            " used_at) select sha256(gen_random_uuid()::text::bytea), 'verify_email', id, email,"
            " now() + '" +
            expires + "'::interval, " + used + " from control.account where email = '" + mail +
            "'");
    }
    void add_answers(const std::string& expires, int count) {
        run("insert into control.idempotency_key (scope, key_hash, fingerprint, sealed_answer,"
            " expires_at) select gen_random_uuid(), sha256(n::text::bytea), sha256(''), '',"
            " now() + '" +
            expires + "'::interval from generate_series(1, " + std::to_string(count) + ") n");
    }
    /// Counts the rows of each DELETE that hits a row, with its transaction.
    void watch(const std::string& table) {
        run("create table if not exists public.batch (what text, rows bigint, tx xid8);"
            "create or replace function public.note_batch() returns trigger language plpgsql"
            " security definer set search_path = pg_catalog as $$ begin"
            " insert into public.batch select tg_table_name, count(*), pg_current_xact_id() from"
            " gone having count(*) > 0; return null; end $$;"
            "create trigger test_watch after delete on " +
            table +
            " referencing old table as gone for each statement execute function"
            " public.note_batch()");
    }
    void clean(life_process& in, std::int32_t batch) {
        const auto id = run_id::make();
        pg::unit work;
        queue::add_enqueue(work, id, queue::request_for<clean_up_job>({.batch = batch}));
        ASSERT_TRUE(
            in.await(in.pools().control.run(std::move(work), runtime::deadline::after(10s))));
        in.engine().wake();
        ASSERT_TRUE(becomes(
            "select count(*) from queue.history where id = '" + id.str() + "' and state = 4", "1"));
    }
};

TEST_F(clean_up, what_is_over_goes_and_what_is_alive_stays) {
    add_account("keeper@x", "");
    add_session("", "1 day");            // alive
    add_session("29 days", "1 day");     // ended, but a replay is still to be recognised
    add_session("31 days", "1 day");     // goes
    add_session("", "-29 days");         // ran out
    add_session("", "-31 days");         // goes
    add_session("31 days", "-31 days");  // goes
    add_mail_tokens("keeper@x", "1 hour");
    add_mail_tokens("keeper@x", "-6 days", "now()");
    add_mail_tokens("keeper@x", "-8 days");           // goes
    add_mail_tokens("keeper@x", "-8 days", "now()");  // goes
    add_answers("1 minute", 2);
    run("delete from control.idempotency_key where key_hash = sha256('2')");
    run("update control.idempotency_key set key_hash = sha256('alive')");
    add_answers("-1 minute", 3);                  // go
    add_account("failed-long-ago@x", "31 days");  // goes
    add_account("failed-lately@x", "29 days");
    add_account("failed-with-link@x", "31 days");
    add_mail_tokens("failed-with-link@x", "1 hour");
    life_process one(database);
    clean(one, 1'000);
    EXPECT_EQ(sql("select count(*) from control.session"), "3");
    EXPECT_EQ(sql("select count(*) from control.session where ended_at < now() - interval '30 days'"
                  " or expires_at < now() - interval '30 days'"),
              "0");
    EXPECT_EQ(sql("select count(*) from control.mail_token"), "3");
    EXPECT_EQ(sql("select count(*) from control.mail_token where expires_at <"
                  " now() - interval '7 days'"),
              "0");
    EXPECT_EQ(sql("select string_agg((key_hash = sha256('alive'))::text, ' ')"
                  " from control.idempotency_key"),
              "true");
    EXPECT_EQ(sql("select string_agg(email, ' ' order by email) from control.account"),
              "failed-lately@x failed-with-link@x keeper@x");
}

TEST_F(clean_up, a_living_tenant_loses_nothing_and_one_that_is_gone_its_registrations) {
    life_process one(database);
    const auto kept = make_ready(one, "kept");
    const auto gone = make_ready(one, "gone");
    (void)log_in(kept);
    const auto audit = sql("select count(*) from control.audit_log");
    run("update control.tenant set status = 'pending_deletion', purge_at = now(),"
        " deletion_run = gen_random_uuid() where id = '" +
        gone.tenant.str() + "'");
    run("update control.tenant set status = 'deleting' where id = '" + gone.tenant.str() + "'");
    run("update control.tenant set status = 'gone' where id = '" + gone.tenant.str() + "'");
    clean(one, 1'000);
    EXPECT_EQ(sql("select string_agg(tenant_id::text, ' ') from control.registration"),
              kept.tenant.str());
    EXPECT_EQ(sql("select count(*) from control.session where user_id = '" + kept.user.str() + "'"),
              "1");
    EXPECT_EQ(
        sql("select count(*) from control.mail_token where user_id = '" + kept.user.str() + "'"),
        "1");
    EXPECT_EQ(sql("select count(*) from control.account"), "2");
    EXPECT_EQ(sql("select count(*) from control.tenant where status = 'gone'"), "1") << "its row";
    EXPECT_EQ(sql("select count(*) from control.audit_log"), audit) << "nobody changes history";
}

TEST_F(clean_up, invitations_go_a_week_after_their_time_accepted_or_not) {
    life_process one(database);
    const auto host = make_ready(one, "host");
    const auto add = [&](const char* mail, const char* expires, const char* accepted) {
        run("insert into control.invite (id, tenant_id, email, email_canonical, sent_to, role, "
            "token_hash,"
            " invited_by, expires_at, accepted_at) select gen_random_uuid(), '" +
            host.tenant.str() + "', '" + mail + "', '" + mail + "', '" + mail +
            "', 'member', sha256('" + mail + "'), '" + host.user.str() + "', now() + '" + expires +
            "'::interval, " + accepted);
    };
    add("pending@x", "6 days", "null");
    add("accepted@x", "6 days", "now()");
    add("ran-out@x", "-6 days", "null");
    add("accepted-then@x", "-6 days", "now()");
    add("ran-out-long-ago@x", "-8 days", "null");    // goes
    add("accepted-long-ago@x", "-8 days", "now()");  // goes
    clean(one, 1'000);
    EXPECT_EQ(sql("select string_agg(email, ' ' order by email) from control.invite"),
              "accepted-then@x accepted@x pending@x ran-out@x");
    // A deletion takes what is left.
    run("update control.tenant set status = 'pending_deletion', purge_at = now(),"
        " deletion_run = gen_random_uuid() where id = '" +
        host.tenant.str() + "'");
    run("update control.tenant set status = 'deleting' where id = '" + host.tenant.str() + "'");
    run("select control.finish_deletion('" + host.tenant.str() + "')");
    EXPECT_EQ(sql("select count(*) from control.invite"), "0");
}

TEST_F(clean_up, batches_are_bounded_and_transactions_of_their_own) {
    add_account("keeper@x", "");
    add_session("31 days", "1 day", 25);
    add_answers("-1 minute", 25);
    watch("control.session");
    watch("control.idempotency_key");
    life_process one(database);
    clean(one, 4);
    EXPECT_EQ(sql("select count(*) from control.session"), "0");
    EXPECT_EQ(sql("select count(*) from control.idempotency_key"), "0");
    EXPECT_EQ(sql("select string_agg(what || ' ' || max || ' ' || sum || ' ' || txs, ', ' order by"
                  " what) from (select what, max(rows), sum(rows), count(distinct tx) as txs"
                  "   from public.batch group by what) b"),
              "idempotency_key 4 25 7, session 4 25 7");
}

TEST_F(clean_up, a_session_that_somebody_is_using_is_not_waited_for) {
    add_account("keeper@x", "");
    add_session("31 days", "1 day", 3);
    sql_connection somebody(database.raw().admin_conninfo());
    somebody.query("begin");
    somebody.query("select id from control.session limit 1 for update");
    life_process one(database);
    clean(one, 1'000);
    EXPECT_EQ(sql("select count(*) from control.session"), "1");
    somebody.query("rollback");
}

TEST_F(clean_up, one_firing_for_all_processes) {
    auto options = quick_engine();
    options.recurring = {queue::recurring<clean_up_job>(
        "clean-up", queue::schedule::every(std::chrono::milliseconds(500)), {})};
    life_process one(database, options);
    life_process two(database, options);
    ASSERT_TRUE(becomes("select count(*) >= 5 from queue.history where kind = 'control.clean_up'",
                        "t", 30s));
    // Two processes with a firing each would make two within the same half of a second.
    EXPECT_EQ(sql("select count(*) from (select created_at - lag(created_at) over (order by"
                  " created_at) as gap from queue.history where kind = 'control.clean_up') g"
                  " where gap < interval '200 ms'"),
              "0");
}

TEST_F(clean_up, every_service_has_it_among_its_recurring_tasks) {
    life_process one(database);
    const identity::secret_keys keys(database.key());
    observe::metrics counts;
    no_mail mail(counts);
    const mail::templates templates;
    const auto tasks = workflows::recurring({keys, mail, templates, "https://insula.test", {}});
    EXPECT_THAT(tasks, testing::Contains(testing::Field(&queue::recurring_task::kind,
                                                        std::string(clean_up_job::kind))));
    EXPECT_NE(one.engine().workflows().find(clean_up_job::kind, 1), nullptr);
}

}  // namespace
}  // namespace insula::test
