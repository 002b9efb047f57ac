// The private PostgreSQL of `insula dev`: starting, stopping, and what it survives.
#include "insula/app/embedded_postgres.hpp"

#include "app/embedded_postgres_files.hpp"
#include "app/embedded_postgres_process.hpp"
#include "support/postgres.hpp"

#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>

namespace insula::app {
namespace {

namespace fs = std::filesystem;
using test::sql_connection;
using test::temporary_folder;

boost::system::result<embedded_postgres, embedded_postgres_problem> start_in(const fs::path& data) {
    embedded_postgres_options options;
    options.data_directory = data;
    return embedded_postgres::start(options);
}

std::string problem_of(const fs::path& data) {
    auto started = start_in(data);
    return started ? "started" : started.error().sentence;
}

fs::path cluster_in(const fs::path& data) {
    return data / "postgres" / "cluster";
}

bool serves(pid_t process, const fs::path& data) {
    const auto all = detail::servers_of(cluster_in(data));
    return std::find(all.begin(), all.end(), process) != all.end();
}

// A folder that PostgreSQL's user can reach by its path (temporary folders are 0700).
struct open_folder : temporary_folder {
    open_folder() { ::chmod(path().c_str(), 0755); }
    fs::path data() const { return fs::path(path()) / "data"; }
};

// Runs the function in a child process and gives its exit code, 1 for an exception.
int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        int code = 1;
        try {
            code = body();
        } catch (const std::exception& failure) {
            std::fprintf(stderr, "in child: %s\n", failure.what());
        }
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(embedded_postgres, first_start_makes_a_usable_database_and_the_second_finds_its_data) {
    const open_folder folder;
    {
        auto first = start_in(folder.data()).value();
        EXPECT_TRUE(first.alive());
        EXPECT_TRUE(first.socket_folder().string().starts_with(folder.path()));
        sql_connection admin(first.admin_conninfo());
        EXPECT_EQ(admin.query("select current_user, current_database()"),
                  (test::rows{{"postgres", "insula"}}));
        EXPECT_EQ(admin.query("show server_encoding"), (test::rows{{"UTF8"}}));
        EXPECT_EQ(admin.query("show listen_addresses"), (test::rows{{""}}));
        EXPECT_EQ(admin.query("show fsync"), (test::rows{{"on"}}));
        admin.query("create table kept(x text); insert into kept values ('still here')");
        // An interrupt from the terminal goes to our process group, not to the server's.
        EXPECT_NE(::getpgid(first.server_pid()), ::getpgrp());
    }
    EXPECT_TRUE(detail::servers_of(cluster_in(folder.data())).empty());
    auto second = start_in(folder.data()).value();
    EXPECT_EQ(sql_connection(second.admin_conninfo()).query("select x from kept"),
              (test::rows{{"still here"}}));
}

TEST(embedded_postgres, only_the_administrator_comes_in_without_a_password) {
    const open_folder folder;
    auto server = start_in(folder.data()).value();
    sql_connection admin(server.admin_conninfo());
    admin.query("create role app login password 'right'");
    const std::string app = "host=" + server.socket_folder().string() + " dbname=insula user=app";
    EXPECT_NO_THROW(sql_connection(app + " password=right"));
    EXPECT_THROW(sql_connection(app + " password=wrong"), test::query_failed);
    EXPECT_THROW(sql_connection{app}, test::query_failed);
    struct stat sockets{};
    ASSERT_EQ(::stat(server.socket_folder().c_str(), &sockets), 0);
    EXPECT_EQ(sockets.st_mode & 0777U, 0700U);
}

TEST(embedded_postgres, stop_leaves_no_process_no_socket_and_a_free_directory) {
    const temporary_folder folder;
    const fs::path data = fs::path(folder.path()) / "data";
    auto server = start_in(data).value();
    const fs::path sockets = server.socket_folder();
    EXPECT_TRUE(fs::exists(sockets / ".s.PGSQL.5432"));
    server.stop();
    server.stop();
    EXPECT_FALSE(server.alive());
    EXPECT_TRUE(detail::servers_of(cluster_in(data)).empty());
    EXPECT_FALSE(fs::exists(sockets / ".s.PGSQL.5432"));
    EXPECT_FALSE(fs::exists(cluster_in(data) / "postmaster.pid"));
    EXPECT_EQ(problem_of(data), "started");
}

TEST(embedded_postgres, a_directory_in_use_is_refused_with_a_sentence) {
    const open_folder folder;
    auto first = start_in(folder.data()).value();
    const std::string sentence = problem_of(folder.data());
    EXPECT_NE(
        sentence.find("is in use by another insula (process " + std::to_string(::getpid()) + ")"),
        std::string::npos)
        << sentence;
    EXPECT_TRUE(first.alive());
    EXPECT_NO_THROW(sql_connection(first.admin_conninfo()));
}

// Starts in a child that is then killed; gives the server's process.
pid_t killed_owner(const fs::path& data) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    const pid_t owner = ::fork();
    if (owner == 0) {
        auto server = start_in(data).value();
        sql_connection(server.admin_conninfo())
            .query("create table kept(x int); insert into kept values (7)");
        const pid_t process = server.server_pid();
        EXPECT_EQ(::write(ends[1], &process, sizeof process), static_cast<ssize_t>(sizeof process));
        for (;;) {
            ::pause();
        }
    }
    pid_t process = 0;
    EXPECT_EQ(::read(ends[0], &process, sizeof process), static_cast<ssize_t>(sizeof process));
    ::close(ends[0]);
    ::close(ends[1]);
    ::kill(owner, SIGKILL);
    ::waitpid(owner, nullptr, 0);
    return process;
}

TEST(embedded_postgres, killing_the_owner_ends_the_server_and_the_next_start_has_the_data) {
    const open_folder folder;
    const pid_t left = killed_owner(folder.data());
    auto server = start_in(folder.data()).value();
    EXPECT_NE(server.server_pid(), left);
    EXPECT_FALSE(serves(left, folder.data()));
    EXPECT_EQ(sql_connection(server.admin_conninfo()).query("select x from kept"),
              (test::rows{{"7"}}));
}

TEST(embedded_postgres, a_crash_of_owner_and_server_is_recovered_from) {
    const open_folder folder;
    {
        auto server = start_in(folder.data()).value();
        sql_connection(server.admin_conninfo())
            .query("create table kept(x int); insert into kept values (7)");
        for (const pid_t process : detail::servers_of(cluster_in(folder.data()))) {
            ::kill(process, SIGKILL);
        }
    }
    auto server = start_in(folder.data()).value();
    EXPECT_EQ(sql_connection(server.admin_conninfo()).query("select x from kept"),
              (test::rows{{"7"}}));
}

TEST(embedded_postgres, a_server_that_somebody_left_running_is_ended) {
    const open_folder folder;
    start_in(folder.data()).value().stop();
    const auto how = detail::choose_account(cluster_in(folder.data())).value();
    const auto programs = detail::installations({}).front();
    const std::string log = (cluster_in(folder.data()) / "log").string();
    ASSERT_TRUE(detail::run({(programs.folder / "pg_ctl").string(), "-D",
                             cluster_in(folder.data()).string(), "-w", "-l", log, "-o",
                             "-k . -c listen_addresses=''", "start"},
                            how)
                    .success);
    const pid_t left = detail::read_postmaster_file(cluster_in(folder.data())).pid;
    ASSERT_GT(left, 0);
    auto server = start_in(folder.data()).value();
    EXPECT_FALSE(serves(left, folder.data()));
    EXPECT_NO_THROW(sql_connection(server.admin_conninfo()));
}

TEST(embedded_postgres, a_stale_pid_file_that_names_a_living_process_does_not_hinder) {
    const open_folder folder;
    start_in(folder.data()).value().stop();
    std::ofstream(cluster_in(folder.data()) / "postmaster.pid")
        << ::getpid() << "\n"
        << cluster_in(folder.data()).string() << "\n0\n5432\n\n\n\n\n";
    EXPECT_EQ(problem_of(folder.data()), "started");
}

TEST(embedded_postgres, a_path_too_long_or_odd_for_a_socket_gets_a_private_folder) {
    for (const std::string& name :
         {std::string(120, 'd'), std::string("it's a \"folder\", with all")}) {
        const open_folder folder;
        const fs::path data = fs::path(folder.path()) / name;
        fs::path sockets;
        {
            auto server = start_in(data).value();
            sockets = server.socket_folder();
            EXPECT_TRUE(sockets.string().starts_with("/tmp/insula-")) << sockets;
            EXPECT_NO_THROW(sql_connection(server.admin_conninfo()));
            std::ifstream file(cluster_in(data) / "postmaster.pid");
            std::string line;
            for (int number = 0; number < 5; ++number) {
                std::getline(file, line);
            }
            EXPECT_EQ(line, sockets.string());
        }
        EXPECT_FALSE(fs::exists(sockets));
    }
}

TEST(embedded_postgres, an_ordinary_user_needs_nothing_else) {
    const temporary_folder folder;
    const passwd* nobody = ::getpwnam("nobody");
    ASSERT_NE(nobody, nullptr);
    const bool root = ::geteuid() == 0;
    if (root) {
        ASSERT_EQ(::chown(folder.path().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
    }
    const fs::path data = fs::path(folder.path()) / "data";
    const int code = in_child([&] {
        if (root && (::setgid(nobody->pw_gid) != 0 || ::setuid(nobody->pw_uid) != 0)) {
            return 2;
        }
        auto server = start_in(data).value();
        sql_connection(server.admin_conninfo()).query("create table by_user(x int)");
        return 0;
    });
    EXPECT_EQ(code, 0);
    // As root the same directory goes on under its owner.
    auto server = start_in(data).value();
    EXPECT_EQ(sql_connection(server.admin_conninfo()).outcome("select * from by_user"), "00000");
}

TEST(embedded_postgres, a_stop_signal_during_the_start_ends_it) {
    const open_folder folder;
    const int code = in_child([&] {
        sigset_t stop;
        sigemptyset(&stop);
        sigaddset(&stop, SIGTERM);
        sigprocmask(SIG_BLOCK, &stop, nullptr);
        ::raise(SIGTERM);
        const std::string sentence = problem_of(folder.data());
        return sentence.starts_with("Interrupted") ? 0 : 2;
    });
    EXPECT_EQ(code, 0);
    EXPECT_TRUE(detail::servers_of(cluster_in(folder.data())).empty());
    EXPECT_EQ(problem_of(folder.data()), "started");
}

TEST(embedded_postgres, data_of_another_major_version_is_refused_with_a_sentence) {
    const open_folder folder;
    start_in(folder.data()).value().stop();
    std::ofstream(cluster_in(folder.data()) / "PG_VERSION", std::ios::trunc) << "14\n";
    const std::string sentence = problem_of(folder.data());
    EXPECT_NE(sentence.find("was written by PostgreSQL 14"), std::string::npos) << sentence;
}

TEST(embedded_postgres, what_hinders_the_start_is_said_in_a_sentence) {
    const open_folder folder;
    embedded_postgres_options options;
    options.data_directory = folder.data();
    options.binaries = "/nonexistent";
    EXPECT_EQ(embedded_postgres::start(options).error().sentence,
              "No PostgreSQL 15 or later in /nonexistent; install it (Debian: apt-get install "
              "postgresql), or use "
              "`insula serve` with INSULA_DATABASE_URL.");
    std::ofstream(folder.path() + "/file") << "x";
    EXPECT_NE(problem_of(folder.path() + "/file").find("is not a folder"), std::string::npos);
    start_in(folder.data()).value().stop();
    fs::remove(cluster_in(folder.data()) / "global" / "pg_control");
    const std::string sentence = problem_of(folder.data());
    EXPECT_NE(sentence.find("server.log"), std::string::npos) << sentence;
    EXPECT_NE(sentence.find("pg_control"), std::string::npos) << sentence;
}

TEST(embedded_postgres, a_first_start_cut_short_is_begun_again) {
    const open_folder folder;
    fs::create_directories(folder.data() / "postgres" / "cluster.new" / "base");
    EXPECT_EQ(problem_of(folder.data()), "started");
    EXPECT_FALSE(fs::exists(folder.data() / "postgres" / "cluster.new"));
}

}  // namespace
}  // namespace insula::app
