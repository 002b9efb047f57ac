// The test support itself: what other tests rely on without looking.
#include "support/postgres.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace insula::test {
namespace {

using namespace std::chrono_literals;

bool comes_true(auto condition) {
    for (const auto end = std::chrono::steady_clock::now() + 30s; !condition();) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

TEST(test_postgres, each_database_is_fresh_and_leaves_no_role) {
    std::string prefix;
    std::string name;
    {
        test_database one;
        test_database two;
        prefix = one.role_prefix();
        name = one.name();
        EXPECT_NE(one.name(), two.name());
        one.query_admin("create table t(x int); insert into t values (41), (null)");
        EXPECT_EQ(one.query_admin("select x from t where x = $1::int", {"41"}), (rows{{"41"}}));
        EXPECT_EQ(one.value_admin("select count(*) from t where x is null"), "1");
        EXPECT_THROW(two.query_admin("select * from t"), query_failed);
        one.query_admin("create role " + prefix + "_app login; create role " + prefix +
                        "_tenant; create role t_" + prefix + " in role " + prefix + "_tenant");
        sql_connection app(one.conninfo(prefix + "_app"));
        EXPECT_EQ(app.query("select current_user"), (rows{{prefix + "_app"}}));
        EXPECT_EQ(app.outcome("select * from t"), "42501");
        EXPECT_EQ(app.outcome("select 1"), "00000");
    }
    sql_connection admin(shared_cluster().admin_conninfo());
    EXPECT_EQ(admin.query("select count(*) from pg_roles where rolname like '%" + prefix + "%'"),
              (rows{{"0"}}));
    EXPECT_EQ(admin.query("select count(*) from pg_database where datname = '" + name + "'"),
              (rows{{"0"}}));
}

TEST(test_postgres, an_own_cluster_can_crash_and_come_back_with_what_was_committed) {
    const auto own = cluster::start();
    sql_connection(own->admin_conninfo())
        .query("create table kept(x int); insert into kept values (7)");
    own->kill_server();
    EXPECT_THROW(sql_connection(own->admin_conninfo()), query_failed);
    own->start_server();
    EXPECT_EQ(sql_connection(own->admin_conninfo()).query("select x from kept"), (rows{{"7"}}));
    own->stop_server();
    own->start_server();
    EXPECT_EQ(sql_connection(own->admin_conninfo()).query("select x from kept"), (rows{{"7"}}));
}

TEST(test_postgres, a_killed_test_program_leaves_no_server_and_no_folder) {
    temporary_folder notes;
    const std::string note = notes.path() + "/folder";
    const pid_t child = ::fork();
    if (child == 0) {
        // Like a test program of its own, which is then killed.
        const auto own = cluster::start();
        const std::string postmaster = own->socket_folder() + "/data/postmaster.pid";
        std::string pid;
        std::getline(std::ifstream(postmaster) >> std::ws, pid);
        std::ofstream(note + ".part") << own->socket_folder() << ' ' << pid << '\n';
        std::filesystem::rename(note + ".part", note);
        for (;;) {
            ::pause();
        }
    }
    ASSERT_TRUE(comes_true([&] { return std::filesystem::exists(note); }));
    std::string folder;
    int server = 0;
    std::ifstream(note) >> folder >> server;
    ASSERT_GT(server, 0);
    ASSERT_EQ(::kill(server, 0), 0);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_TRUE(comes_true([&] { return ::kill(server, 0) != 0; }));
    EXPECT_TRUE(comes_true([&] { return !std::filesystem::exists(folder); }));
}

}  // namespace
}  // namespace insula::test
