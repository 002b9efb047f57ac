#include "disk.hpp"
#include "troubles.hpp"

#include <dirent.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace insula::test {
namespace {

constexpr auto beyond_requests = 1600ms;

pid_t postmaster(patient& who) {
    std::ifstream file(who.server().socket_folder() + "/data/postmaster.pid");
    pid_t pid = -1;
    file >> pid;
    return pid;
}

/// The server and all its processes.
void signal_all(patient& who, int number) {
    const auto first = postmaster(who);
    ::kill(first, number);
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const pid_t pid = std::atoi(entry.path().filename().c_str());
        if (pid <= 0) {
            continue;
        }
        std::ifstream stat(entry.path() / "stat");
        std::string text((std::istreambuf_iterator<char>(stat)), {});
        std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 1)));
        std::string state;
        pid_t parent = 0;
        if (rest >> state >> parent && parent == first) {
            ::kill(pid, number);
        }
    }
}

void restart(patient& who) {
    who.server().stop_server();
    who.server().start_server();
}

void as_administrator(patient& who, const std::string& sql) {
    sql_connection(who.database().admin_conninfo()).query(sql);
}

/// For as long as the trouble lasts.
std::vector<std::unique_ptr<sql_connection>>& held() {
    static std::vector<std::unique_ptr<sql_connection>> all;
    return all;
}

void hold(patient& who, const std::string& sql) {
    held().push_back(std::make_unique<sql_connection>(who.database().admin_conninfo()));
    held().back()->query(sql);
}

void let_go(patient&) {
    held().clear();
}

trouble stopped() {
    return {.name = "stopped",
            .begin = [](patient& who) { who.server().stop_server(); },
            .end = [](patient& who) { who.server().start_server(); },
            .lasts = beyond_requests,
            .total = true};
}

trouble stopped_at_once() {
    return {.name = "stopped_at_once",
            .begin =
                [](patient& who) {
                    ::kill(postmaster(who), SIGQUIT);
                    who.server().stop_server();
                },
            .end = [](patient& who) { who.server().start_server(); },
            .lasts = 300ms,
            .total = true};
}

trouble restarted() {
    return {.name = "restarted", .begin = restart, .end = [](patient&) {}};
}

trouble killed() {
    return {.name = "killed",
            .begin = [](patient& who) { who.server().kill_server(); },
            .end = [](patient& who) { who.server().start_server(); },
            .lasts = 300ms,
            .total = true};
}

// PostgreSQL takes this for a crash: it ends every session and recovers.
trouble backend_killed() {
    return {.name = "backend_killed",
            .begin =
                [](patient& who) {
                    ::kill(std::atoi(who.value("select min(pid) from pg_stat_activity where"
                                               " application_name like 'insula cell_%'")
                                         .c_str()),
                           SIGKILL);
                },
            .end =
                [](patient& who) {
                    wait_until("the server to have recovered", [&] {
                        try {
                            sql_connection(who.database().admin_conninfo()).query("select 1");
                            return true;
                        } catch (const query_failed&) {
                            return false;
                        }
                    });
                },
            .lasts = 50ms};
}

trouble sessions_ended() {
    return {.name = "sessions_ended",
            .begin =
                [](patient& who) {
                    as_administrator(who,
                                     "select pg_terminate_backend(pid) from pg_stat_activity where"
                                     " application_name like 'insula %'");
                },
            .end = [](patient&) {}};
}

trouble frozen() {
    return {.name = "frozen",
            .begin = [](patient& who) { signal_all(who, SIGSTOP); },
            .end = [](patient& who) { signal_all(who, SIGCONT); },
            .lasts = beyond_requests,
            .total = true,
            .seen_by = sign::none,
            .for_nobody = false};
}

// Others have them all; what the service has open is ended, so that it needs new ones.
trouble out_of_connections() {
    return {
        .name = "out_of_connections",
        .begin =
            [](patient& who) {
                as_administrator(
                    who, "alter role " + who.database().role_prefix() + "_app connection limit 0");
                for (int k = 0; k < 2; ++k) {
                    as_administrator(who, "alter role " + who.database().role_prefix() + "_cell_" +
                                              std::to_string(k) + " connection limit 0");
                }
                as_administrator(who, "alter role " + who.database().role_prefix() +
                                          "_worker connection limit 0");
                sessions_ended().begin(who);
            },
        .end =
            [](patient& who) {
                for (const char* login : {"_app", "_cell_0", "_cell_1", "_worker"}) {
                    as_administrator(who, "alter role " + who.database().role_prefix() + login +
                                              " connection limit -1");
                }
            },
        .lasts = beyond_requests,
        .total = true};
}

trouble read_only() {
    return {.name = "read_only",
            .begin =
                [](patient& who) {
                    as_administrator(who, "alter database " + who.database().name() +
                                              " set default_transaction_read_only = on");
                    sessions_ended().begin(who);
                },
            .end =
                [](patient& who) {
                    sql_connection admin(who.database().admin_conninfo());
                    admin.query("set default_transaction_read_only = off");
                    admin.query("alter database " + who.database().name() +
                                " reset default_transaction_read_only");
                },
            .lasts = 800ms,
            .total = true};
}

/// A standby for a while, without a primary to follow; then it is promoted.
trouble standby(const std::string& name, bool readable) {
    return {.name = name,
            .begin =
                [readable](patient& who) {
                    as_administrator(who, "alter system set wal_level = replica");
                    as_administrator(who, std::string("alter system set hot_standby = ") +
                                              (readable ? "on" : "off"));
                    restart(who);  // a standby reads only what was written as a replica's
                    who.server().stop_server();
                    const auto data = who.server().socket_folder() + "/data";
                    std::ofstream(data + "/standby.signal") << "";
                    who.server().start_server();
                },
            .end =
                [](patient& who) {
                    const auto data = who.server().socket_folder() + "/data";
                    std::ofstream(data + "/promote") << "";
                    ::kill(postmaster(who), SIGUSR1);
                    wait_until("the promotion", [&] {
                        try {
                            sql_connection asks(who.database().admin_conninfo());
                            return asks.query("select pg_is_in_recovery()").front().front() == "f";
                        } catch (const query_failed&) {
                            return false;
                        }
                    });
                },
            .lasts = beyond_requests,
            .total = true};
}

trouble row_held() {
    return {.name = "hot_row_held",
            .begin =
                [](patient& who) {
                    hold(who,
                         "begin; select from control.tenant for update;"
                         " select from control.session for update");
                },
            .end = let_go,
            .lasts = beyond_requests,
            .seen_by = sign::lock,
            .for_nobody = false};
}

trouble table_held() {
    return {.name = "table_held",
            .begin =
                [](patient& who) {
                    hold(who, "begin; lock table " + who.people().front().schema() +
                                  ".projects in access exclusive mode");
                },
            .end = let_go,
            .lasts = beyond_requests,
            .total = true,
            .seen_by = sign::lock,
            .for_nobody = false};
}

trouble statement_hangs() {
    return {
        .name = "statement_hangs",
        .begin =
            [](patient& who) {
                const auto table = who.people().front().schema() + ".projects";
                as_administrator(who,
                                 "create function public.hang() returns trigger language plpgsql as"
                                 " 'begin perform pg_sleep(60); return new; end';"
                                 " grant execute on function public.hang() to public;"
                                 " create trigger hang before insert on " +
                                     table + " for each row execute function public.hang()");
            },
        .end = [](patient& who) { as_administrator(who, "drop function public.hang() cascade"); },
        .lasts = beyond_requests,
        .total = true,
        .seen_by = sign::none,
        .for_nobody = false};
}

/// Where the database's files, or its log, are for the time of one trouble.
std::unique_ptr<small_disk>& disk() {
    static std::unique_ptr<small_disk> one;
    return one;
}

std::string cannot_mount(patient& who) {
    const auto folder = who.server().socket_folder() + "/try";
    return small_disk(folder, 1, who.server().socket_folder() + "/data").problem();
}

void move_to_small_disk(patient& who) {
    const auto folder = who.server().socket_folder() + "/small";
    disk() = std::make_unique<small_disk>(folder, 256, who.server().socket_folder() + "/data");
    sql_connection admin(who.server().admin_conninfo());
    const auto& name = who.database().name();
    admin.query("create tablespace small location '" + folder + "'");
    admin.query("alter database " + name + " allow_connections off");
    admin.query("select pg_terminate_backend(pid) from pg_stat_activity where datname = '" + name +
                "'");
    admin.query("alter database " + name + " set tablespace small");
    admin.query("alter database " + name + " allow_connections on");
}

/// What is free inside the table is taken by rows that nobody will ever see.
void use_up_free_pages(patient& who) {
    const auto table = who.people().front().schema() + ".projects";
    try {
        as_administrator(who, "begin; insert into " + table +
                                  " (id, name, description) select gen_random_uuid(),"
                                  " gen_random_uuid()::text, repeat('x', 900)"
                                  " from generate_series(1, 1000000)");
    } catch (const query_failed& failure) {
        EXPECT_EQ(failure.sqlstate(), "53100") << failure.what();
        return;
    }
    ADD_FAILURE() << "the disk is not full";
}

// The tables' disk; the log is elsewhere, so that what was committed is not lost.
trouble disk_full() {
    return {.name = "disk_full",
            .begin =
                [](patient& who) {
                    if (!disk()) {
                        move_to_small_disk(who);
                    }
                    disk()->fill();
                    use_up_free_pages(who);
                },
            .end = [](patient&) { disk()->free(); },
            .lasts = beyond_requests,
            .total = true,
            .seen_by = sign::none,
            .for_nobody = false,
            .impossible = cannot_mount};
}

}  // namespace

std::vector<trouble> server_troubles() {
    return {stopped(),
            stopped_at_once(),
            restarted(),
            killed(),
            backend_killed(),
            sessions_ended(),
            frozen(),
            out_of_connections(),
            read_only(),
            row_held(),
            table_held(),
            statement_hangs(),
            standby("hot_standby", true),
            standby("recovering", false),
            disk_full()};
}

}  // namespace insula::test
