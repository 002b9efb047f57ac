#include "insula/app/embedded_postgres.hpp"

#include "app/embedded_postgres_files.hpp"
#include "app/embedded_postgres_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <libpq-fe.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <thread>

namespace insula::app {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using detail::expected;

namespace {

constexpr auto shutdown_patience = 30s;

using clock = std::chrono::steady_clock;

// The folder of the private socket is the password of the superuser; all others prove theirs as in
// production.
constexpr std::string_view access_rules =
    "# Written by insula.\n"
    "local all postgres trust\n"
    "local all all      scram-sha-256\n";

}  // namespace

struct embedded_postgres::state {
    embedded_postgres_options options;
    fs::path data;
    fs::path postgres;
    fs::path cluster;
    fs::path log;
    fs::path sockets;
    std::string conninfo;
    detail::descriptor lock;
    detail::descriptor log_file;
    detail::descriptor cluster_folder;  // held while handed over
    detail::installation programs;
    detail::surroundings how;
    std::uintmax_t log_start = 0;
    mutable pid_t server = -1;

    void say(std::string_view line) const {
        if (options.progress) {
            options.progress(line);
        }
    }
    std::string name_for_server(const fs::path& path) const {
        return how.folder >= 0 ? detail::handed_over_folder : path.string();
    }

    expected<void> open();
    expected<void> end_leftovers();
    expected<void> make_cluster();
    expected<void> launch();
    expected<void> await_ready();
    expected<void> make_database();
    expected<void> hand_over(const fs::path& folder);
    std::vector<std::string> server_arguments() const;
    bool ended() const;
    void stop();
};

expected<void> embedded_postgres::state::open() {
    auto folder = detail::data_folder(options.data_directory);
    if (!folder) {
        return folder.error();
    }
    data = *folder;
    auto held = detail::lock_data_folder(data);
    if (!held) {
        return held.error();
    }
    lock = std::move(*held);
    postgres = data / "postgres";
    cluster = postgres / "cluster";
    log = postgres / "server.log";
    // As root the folder stays root's, so that PostgreSQL's user cannot exchange what root writes
    // there.
    if (::mkdir(postgres.c_str(), 0700) == 0) {
        ::chmod(postgres.c_str(), ::geteuid() == 0 ? 0711 : 0700);
    } else if (errno != EEXIST) {
        return detail::system_problem(fmt::format("Cannot make {}", postgres.string()));
    }
    auto chosen = detail::choose_installation(cluster, options.binaries);
    if (!chosen) {
        return chosen.error();
    }
    programs = *chosen;
    auto account = detail::choose_account(cluster);
    if (!account) {
        return account.error();
    }
    how = *account;
    auto file = detail::open_log(log);
    if (!file) {
        return file.error();
    }
    log_file = std::move(*file);
    std::error_code missing;
    log_start = fs::file_size(log, missing);
    return {};
}

// We hold the lock, so no living insula owns what runs there: it was left by one that was killed.
expected<void> embedded_postgres::state::end_leftovers() {
    if (!detail::servers_of(cluster).empty()) {
        say("Ending the PostgreSQL that a killed insula left");
        if (!detail::end_strangers(cluster, shutdown_patience)) {
            return embedded_postgres_problem{fmt::format(
                "A PostgreSQL server still runs on {} and cannot be ended; end process {} first.",
                cluster.string(), detail::read_postmaster_file(cluster).pid)};
        }
    }
    // PostgreSQL refuses to start when the number in the file is that of any living process of its
    // user.
    const pid_t named = detail::read_postmaster_file(cluster).pid;
    if (named > 0 && ::kill(named, 0) == 0) {
        std::error_code ignored;
        fs::remove(cluster / "postmaster.pid", ignored);
    }
    return {};
}

// Where PostgreSQL's user cannot come by the path, it gets the open folder instead.
expected<void> embedded_postgres::state::hand_over(const fs::path& folder) {
    how.folder = -1;
    if (detail::can_enter(folder, how)) {
        return {};
    }
    cluster_folder = detail::descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    how.folder = cluster_folder.get();
    if (how.folder < 0 || !detail::can_enter("/proc/self/fd/" + std::to_string(how.folder), how)) {
        return embedded_postgres_problem{
            fmt::format("PostgreSQL's user cannot enter {}: allow it to pass the folders above "
                        "(chmod o+x), or choose another "
                        "directory with --data-dir.",
                        folder.string())};
    }
    return {};
}

// Made under another name and then renamed: an interrupted first start leaves nothing that looks
// finished.
expected<void> embedded_postgres::state::make_cluster() {
    std::error_code failed;
    if (fs::exists(cluster / "PG_VERSION", failed)) {
        return {};
    }
    if (fs::exists(cluster, failed)) {
        return embedded_postgres_problem{
            fmt::format("{} is not a PostgreSQL cluster; move it away, or choose another directory "
                        "with --data-dir.",
                        cluster.string())};
    }
    say(fmt::format("Creating a private PostgreSQL {} in {} (first start only)", programs.major,
                    postgres.string()));
    const fs::path fresh = postgres / "cluster.new";
    fs::remove_all(fresh, failed);
    if (::mkdir(fresh.c_str(), 0700) != 0 ||
        (how.runs_as && ::chown(fresh.c_str(), how.runs_as->uid, how.runs_as->gid) != 0)) {
        return detail::system_problem(fmt::format("Cannot make {}", fresh.string()));
    }
    if (auto handed = hand_over(fresh); !handed) {
        return handed;
    }
    const auto made = detail::run(
        {(programs.folder / "initdb").string(), "-D", name_for_server(fresh), "--username=postgres",
         "--encoding=UTF8", "--locale=C", "--auth=trust", "--no-instructions"},
        how);
    if (!made.success) {
        return embedded_postgres_problem{fmt::format(
            "PostgreSQL could not create its cluster in {}:\n{}", postgres.string(), made.output)};
    }
    std::ofstream rules(fresh / "pg_hba.conf", std::ios::trunc);
    rules << access_rules;
    rules.close();
    fs::rename(fresh, cluster, failed);
    if (!rules || failed) {
        return embedded_postgres_problem{fmt::format("Cannot write in {}", postgres.string())};
    }
    return {};
}

std::vector<std::string> embedded_postgres::state::server_arguments() const {
    std::vector<std::string> args{(programs.folder / "postgres").string(), "-D",
                                  name_for_server(cluster)};
    // On the command line rather than in a file: a newer insula brings its own to an old directory.
    for (const std::string& setting : {
             std::string("listen_addresses="),
             fmt::format("port={}", port()),
             "unix_socket_directories=" + sockets.string(),
             std::string("unix_socket_permissions=0700"),
             fmt::format("max_connections={}", options.connections_max),
             std::string("shared_buffers=128MB"),
             // A schema per tenant means many files; syncing them one by one makes crash recovery
             // slow.
             std::string("recovery_init_sync_method=syncfs"),
             // Dropping a tenant's schema locks each of its tables.
             std::string("max_locks_per_transaction=256"),
             std::string("max_wal_senders=0"),
             std::string("jit=off"),
             std::string("log_destination=stderr"),
             std::string("logging_collector=off"),
             std::string("log_checkpoints=off"),
             std::string("log_line_prefix=%m [%p] %q%u@%d "),
             std::string("log_timezone=UTC"),
             std::string("timezone=UTC"),
             std::string("password_encryption=scram-sha-256"),
             std::string("cluster_name=insula"),
         }) {
        args.emplace_back("-c");
        args.push_back(setting);
    }
    return args;
}

expected<void> embedded_postgres::state::launch() {
    if (auto handed = hand_over(cluster); !handed) {
        return handed;
    }
    auto folder = detail::socket_folder(postgres, how);
    if (!folder) {
        return folder.error();
    }
    sockets = *folder;
    conninfo = fmt::format("host={} port={} dbname=insula user=postgres", sockets.string(), port());
    server = detail::spawn(server_arguments(), how, log_file.get(), SIGINT);
    if (server < 0) {
        return detail::system_problem("Cannot start PostgreSQL");
    }
    return {};
}

bool embedded_postgres::state::ended() const {
    if (server > 0 && ::waitpid(server, nullptr, WNOHANG) != 0) {
        server = -1;
    }
    return server <= 0;
}

expected<void> embedded_postgres::state::await_ready() {
    const auto begin = clock::now();
    auto next_word = begin + 3s;
    for (;;) {
        const auto file = detail::read_postmaster_file(cluster);
        if (file.pid == server && file.ready) {
            return {};
        }
        if (ended()) {
            return embedded_postgres_problem{
                fmt::format("The private PostgreSQL did not start. The end of {}:{}", log.string(),
                            detail::log_tail(log, log_start))};
        }
        if (detail::asked_to_stop()) {
            return embedded_postgres_problem{"Interrupted while PostgreSQL was starting."};
        }
        const auto now = clock::now();
        if (now - begin > options.start_limit) {
            return embedded_postgres_problem{fmt::format(
                "The private PostgreSQL was not ready within {} s. The end of {}:{}",
                options.start_limit.count(), log.string(), detail::log_tail(log, log_start))};
        }
        if (now > next_word) {
            say("PostgreSQL is still starting (it recovers what the last run left)");
            next_word = now + 10s;
        }
        std::this_thread::sleep_for(5ms);
    }
}

expected<void> embedded_postgres::state::make_database() {
    const auto info =
        fmt::format("host={} port={} dbname=postgres user=postgres", sockets.string(), port());
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(info.c_str()),
                                                                  &PQfinish);
    for (const char* sql : {"select 1 from pg_database where datname = 'insula'",
                            "create database insula template template0 encoding 'UTF8'"}) {
        const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql),
                                                                   &PQclear);
        if (PQntuples(result.get()) == 1) {
            return {};
        }
        const auto status = PQresultStatus(result.get());
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
            return embedded_postgres_problem{
                fmt::format("The private PostgreSQL has no database insula: {}",
                            PQerrorMessage(connection.get()))};
        }
    }
    return {};
}

void embedded_postgres::state::stop() {
    if (!ended()) {
        detail::end_child(server, shutdown_patience);
        server = -1;
    }
    if (!sockets.empty()) {
        detail::remove_private_socket_folder(postgres);
        sockets.clear();
    }
    lock = detail::descriptor();
}

boost::system::result<embedded_postgres, embedded_postgres_problem> embedded_postgres::start(
    embedded_postgres_options options) {
    auto made = std::make_unique<state>();
    made->options = std::move(options);
    for (const auto step : {&state::open, &state::end_leftovers, &state::make_cluster,
                            &state::launch, &state::await_ready, &state::make_database}) {
        if (auto done = (*made.*step)(); !done) {
            made->stop();
            return done.error();
        }
    }
    return embedded_postgres(std::move(made));
}

embedded_postgres::embedded_postgres(std::unique_ptr<state> made) : state_(std::move(made)) {}
embedded_postgres::embedded_postgres(embedded_postgres&&) noexcept = default;

embedded_postgres& embedded_postgres::operator=(embedded_postgres&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}

embedded_postgres::~embedded_postgres() {
    stop();
}

const std::string& embedded_postgres::admin_conninfo() const {
    return state_->conninfo;
}
const fs::path& embedded_postgres::socket_folder() const {
    return state_->sockets;
}
pid_t embedded_postgres::server_pid() const {
    return state_->server;
}
bool embedded_postgres::alive() const {
    return state_ && !state_->ended();
}

void embedded_postgres::stop() {
    if (state_) {
        state_->stop();
    }
}

}  // namespace insula::app
