// `insula verify-isolation` with findings that an operator has judged, and ended in every way.

#include "deployment.hpp"

#include <csignal>
#include <fstream>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

class system_verify_more : public testing::Test {
protected:
    finished verify(const std::vector<std::string>& more = {}) {
        std::vector<std::string> all{"verify-isolation"};
        all.insert(all.end(), more.begin(), more.end());
        return run_insula(all, here.variables());
    }
    std::string accepting(const std::string& text) {
        const auto path = folder.path() + "/accepted";
        std::ofstream(path) << text;
        return path;
    }
    std::string temporary_tenants() {
        return here.database().value_admin(
            "select count(*) from control.tenant where name = 'insula verify-isolation'");
    }

    temporary_folder folder;
    deployment& here = shared_deployment();
};

TEST_F(system_verify_more, what_an_operator_has_accepted_fails_nothing_and_hides_nothing_else) {
    auto& database = here.database();
    database.query_admin(
        "create schema reference; create table reference.countries (i integer);"
        "grant select on reference.countries to public;"
        "grant usage on schema reference to public");
    const std::string table =
        "other_relations | table reference.countries | public has SELECT on it: what it shows, "
        "every tenant may see";
    const std::string schema =
        "other_relations | schema reference | public has USAGE on it, and it is none of ours: what "
        "is made in it, every tenant may find";
    const auto path = accepting("# the list of countries is for all\n\n" + table + "\n  " + schema +
                                "  \nroles | role joe | it has CREATEROLE\n");
    const auto without = verify({"--read-only"});
    const auto with = verify({"--read-only", "--accept", path});
    const auto report = json::parse(verify({"--read-only", "--json", "--accept", path}).out);
    database.query_admin("grant insert on reference.countries to public");
    const auto more = verify({"--read-only", "--accept", path});
    database.query_admin("drop schema reference cascade");

    EXPECT_EQ(without.code, 1) << without.out;
    EXPECT_EQ(with.code, 0) << with.out << with.err;
    EXPECT_NE(with.out.find("accepted: table reference.countries: public has SELECT"),
              std::string::npos)
        << with.out;
    EXPECT_NE(with.err.find("Accepted, but not found: roles | role joe"), std::string::npos)
        << with.err;
    EXPECT_EQ(text_of(report, "/isolated"), "true");
    EXPECT_EQ(text_of(report, "/accepted"), "2");
    EXPECT_EQ(text_of(report, "/dangers"), "0");
    EXPECT_EQ(more.code, 1) << more.out;
    EXPECT_NE(more.out.find("public has INSERT"), std::string::npos) << more.out;

    auto wrong = verify({"--read-only", "--accept", accepting("other_relations, everything\n")});
    EXPECT_EQ(wrong.code, 3);
    EXPECT_NE(wrong.err.find("line 1"), std::string::npos) << wrong.err;
    wrong = verify({"--read-only", "--accept", "/nowhere"});
    EXPECT_EQ(wrong.code, 3);
    EXPECT_NE(wrong.err.find("/nowhere"), std::string::npos) << wrong.err;
}

TEST_F(system_verify_more, it_ends_at_once_where_there_is_nothing_to_remove) {
    auto holder = sql_connection(here.database().admin_conninfo());
    holder.query("begin; lock table control.tenant in access exclusive mode");
    for (const auto& arguments : {std::vector<std::string>{"verify-isolation", "--read-only"},
                                  std::vector<std::string>{"verify-isolation"}}) {
        child_process run(insula_binary(), arguments, here.variables());
        wait_until("it waits for the table", [&] {
            return here.database().value_admin(
                       "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and"
                       " query like '%tenant_role as materialized%'") != "0";
        });
        run.signal(SIGINT);
        EXPECT_EQ(run.wait(5s), -SIGINT) << run.out() << run.err();
    }
    holder.query("rollback");
    EXPECT_EQ(temporary_tenants(), "0");
}

TEST_F(system_verify_more, it_cleans_up_when_its_terminal_or_its_reader_has_gone) {
    {
        child_process run(insula_binary(), {"verify-isolation"}, here.variables());
        wait_until("the temporary tenants", [&] { return temporary_tenants() == "2"; });
        run.signal(SIGHUP);
        EXPECT_EQ(run.wait(60s), 1) << run.out() << run.err();
        EXPECT_NE(run.err().find("Interrupted"), std::string::npos) << run.err();
        EXPECT_EQ(temporary_tenants(), "0");
    }
    // A reader that goes after the first line, as head does.
    child_process run(
        "/bin/sh",
        {"-c", "{ " + insula_binary() + " verify-isolation; echo code $? >&2; } | head -n 1"},
        here.variables());
    EXPECT_EQ(run.wait(60s), 0) << run.err();
    EXPECT_NE(run.err().find("code 0"), std::string::npos) << run.err();
    EXPECT_EQ(temporary_tenants(), "0");
}

}  // namespace
}  // namespace insula::test
