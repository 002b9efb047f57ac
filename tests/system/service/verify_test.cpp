// `insula verify-isolation` as an operator runs it, on a database that serves at the same time.
//
// INSULA_TEST_VERIFY_TENANTS (60; scripts/test --long: 1000) is how many tenants it must examine
// within ten seconds.

#include "deployment.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

class system_verify : public testing::Test {
protected:
    finished verify(const std::vector<std::string>& more = {}) {
        std::vector<std::string> all{"verify-isolation"};
        all.insert(all.end(), more.begin(), more.end());
        return run_insula(all, here.variables());
    }
    std::string expand(std::string sql) {
        const std::string word = "{prefix}";
        for (auto at = sql.find(word); at != std::string::npos; at = sql.find(word)) {
            sql.replace(at, word.size(), here.database().role_prefix());
        }
        return sql;
    }
    void as_admin(const std::string& sql) { here.database().query_admin(expand(sql)); }
    std::string temporary_tenants() {
        return here.database().value_admin(
            "select count(*) from control.tenant where name = 'insula verify-isolation'");
    }
    std::string roles_and_schemas() {
        return here.database().value_admin(
            expand("select concat((select count(*) from pg_namespace where nspname ~ '^t_'), ' ',"
                   " (select count(*) from pg_auth_members m join pg_roles g on g.oid = m.roleid"
                   "  where g.rolname = '{prefix}_tenant'))"));
    }

    deployment& here = shared_deployment();
};

TEST_F(system_verify, G07_a_sound_database_is_isolated_and_says_what_was_looked_at) {
    (void)here.make_person("sound");
    const auto before = roles_and_schemas();
    const auto said = verify();
    EXPECT_EQ(said.code, 0) << said.out << said.err;
    EXPECT_NE(said.out.find("Isolated: "), std::string::npos) << said.out;
    EXPECT_EQ(said.out.find("FAIL"), std::string::npos) << said.out;
    const auto report = json::parse(verify({"--json"}).out);
    EXPECT_EQ(text_of(report, "/isolated"), "true");
    EXPECT_EQ(text_of(report, "/dangers"), "0");
    EXPECT_EQ(text_of(report, "/trouble"), "null");
    std::int64_t looked_at = 0;
    for (const auto& check : report.at("checks").as_array()) {
        looked_at += check.at("looked_at").as_int64();
        EXPECT_NE(said.out.find(text_of(check, "/name")), std::string::npos);
    }
    EXPECT_GT(looked_at, 500);
    EXPECT_EQ(temporary_tenants(), "0");
    EXPECT_EQ(roles_and_schemas(), before);
}

TEST_F(system_verify, G07_a_fault_is_named_with_what_mends_it_and_the_exit_code_says_so) {
    as_admin("grant create on schema public to public");
    const auto said = verify();
    const auto report = json::parse(verify({"--json", "--read-only"}).out);
    as_admin("revoke create on schema public from public");
    EXPECT_EQ(said.code, 1) << said.out << said.err;
    EXPECT_NE(said.out.find("schema public"), std::string::npos) << said.out;
    EXPECT_NE(said.out.find("mend: revoke create on schema public from public"), std::string::npos)
        << said.out;
    EXPECT_NE(said.out.find("NOT isolated"), std::string::npos) << said.out;
    EXPECT_EQ(text_of(report, "/isolated"), "false");
    EXPECT_EQ(text_of(report, "/dangers"), "1");
    EXPECT_EQ(verify().code, 0);
}

TEST_F(system_verify, read_only_makes_nothing) {
    // Nobody can write this table meanwhile: whoever tried would wait.
    auto holder = sql_connection(here.database().admin_conninfo());
    holder.query("begin; lock table control.tenant in share mode");
    child_process run(insula_binary(), {"verify-isolation", "--read-only"}, here.variables());
    EXPECT_EQ(run.wait(30s), 0) << run.out() << run.err();
    EXPECT_EQ(run.out().find("probe_"), std::string::npos) << run.out();
    holder.query("rollback");
}

TEST_F(system_verify, a_run_that_is_interrupted_or_killed_leaves_nothing_for_long) {
    const auto before = roles_and_schemas();
    for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
        SCOPED_TRACE(signal);
        child_process run(insula_binary(), {"verify-isolation"}, here.variables());
        wait_until("the temporary tenants", [&] { return temporary_tenants() == "2"; });
        run.signal(SIGSTOP);
        run.signal(signal);
        run.signal(SIGCONT);
        const int code = run.wait(60s);
        if (signal == SIGKILL) {
            EXPECT_EQ(code, -SIGKILL);
        } else {
            EXPECT_EQ(code, 1) << run.out() << run.err();
            EXPECT_NE(run.err().find("Interrupted"), std::string::npos) << run.err();
            EXPECT_EQ(temporary_tenants(), "0") << run.out() << run.err();
        }
    }
    const auto said = verify();
    EXPECT_EQ(said.code, 0) << said.out << said.err;
    EXPECT_EQ(temporary_tenants(), "0");
    EXPECT_EQ(roles_and_schemas(), before);
}

TEST_F(system_verify, whoever_is_served_meanwhile_notices_nothing) {
    const auto who = here.make_person("served");
    std::atomic<bool> enough = false;
    std::atomic<int> answered = 0;
    std::vector<std::string> strange;
    std::thread traffic([&] {
        auto client = here.server().client();
        for (int i = 0; !enough; ++i) {
            auto made = post_json(client, "/api/v1/projects", {{"name", "p" + std::to_string(i)}},
                                  who.auth());
            auto listed = get(client, "/api/v1/projects?limit=1", who.auth());
            if (made.status != 201 || listed.status != 200) {
                strange.push_back(made.text() + listed.text());
            }
            ++answered;
        }
    });
    wait_until("traffic", [&] { return answered > 10; });
    const auto said = verify();
    const auto newcomer = here.make_person("meanwhile");
    enough = true;
    traffic.join();
    EXPECT_EQ(said.code, 0) << said.out << said.err;
    EXPECT_TRUE(strange.empty()) << strange.front();
    EXPECT_FALSE(newcomer.token.empty());
}

TEST_F(system_verify, what_keeps_it_from_looking_is_said_in_a_sentence) {
    auto variables = here.variables();
    auto& url = variables["INSULA_DATABASE_URL"];
    url = url.substr(0, url.rfind("dbname=")) + "dbname=nowhere";
    auto said = run_insula({"verify-isolation"}, variables);
    EXPECT_EQ(said.code, 1);
    EXPECT_NE(said.err.find("Run insula bootstrap"), std::string::npos) << said.err;
    variables = here.variables();
    variables.erase("INSULA_DATABASE_URL");
    said = run_insula({"verify-isolation"}, variables);
    EXPECT_EQ(said.code, 3) << said.err;
    EXPECT_EQ(verify({"--wrong"}).code, 2);
    as_admin("alter schema control rename to hidden");
    said = verify();
    as_admin("alter schema hidden rename to control");
    EXPECT_EQ(said.code, 1);
    EXPECT_NE(said.err.find("insula migrate"), std::string::npos) << said.err;
}

TEST_F(system_verify, many_tenants_are_examined_in_seconds) {
    const char* wanted = std::getenv("INSULA_TEST_VERIFY_TENANTS");
    const int count = wanted != nullptr ? std::atoi(wanted) : 60;
    deployment many;
    sql_connection worker(many.database().conninfo(many.database().role_prefix() + "_worker"));
    for (int i = 0; i < count; ++i) {
        const auto id = worker.query(
            "insert into control.tenant (id, slug, name, cell) select g, 'm-' || replace(g::text,"
            " '-', ''), 'x', " +
            std::to_string(i % 2) + " from gen_random_uuid() g returning id")[0][0];
        worker.query(
            "begin; select provision.create_tenant('" + id + "', " + std::to_string(i % 2) +
            "); update control.tenant set status = 'ready' where id = '" + id + "'; commit");
    }
    const auto began = std::chrono::steady_clock::now();
    const auto said = run_insula({"verify-isolation", "--json"}, many.variables());
    const auto took = std::chrono::steady_clock::now() - began;
    EXPECT_EQ(said.code, 0) << said.out << said.err;
    EXPECT_LT(took, 10s);
    RecordProperty("tenants", count);
    RecordProperty("milliseconds", static_cast<int>(took / 1ms));
}

}  // namespace
}  // namespace insula::test
