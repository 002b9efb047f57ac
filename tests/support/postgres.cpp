#include "support/postgres.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <thread>

namespace insula::test {

namespace {

struct result_closer {
    void operator()(PGresult* result) const { PQclear(result); }
};
using result_ptr = std::unique_ptr<PGresult, result_closer>;

std::string random_hex(std::size_t bytes) {
    std::array<std::uint8_t, 16> raw{};
    if (::getrandom(raw.data(), bytes, 0) != static_cast<ssize_t>(bytes)) {
        throw std::runtime_error("getrandom failed");
    }
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i) {
        text += digits[raw[i] >> 4];
        text += digits[raw[i] & 15];
    }
    return text;
}

rows rows_of(PGconn* connection, result_ptr result) {
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
        const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
        throw query_failed(state == nullptr ? "" : state, PQerrorMessage(connection));
    }
    rows all;
    for (int r = 0; r < PQntuples(result.get()); ++r) {
        row& one = all.emplace_back();
        for (int c = 0; c < PQnfields(result.get()); ++c) {
            one.emplace_back(PQgetisnull(result.get(), r, c) != 0 ? std::string(null_text)
                                                                  : PQgetvalue(result.get(), r, c));
        }
    }
    return all;
}

}  // namespace

sql_connection::sql_connection(const std::string& conninfo)
    : connection_(PQconnectdb(conninfo.c_str())) {
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
        throw query_failed("", PQerrorMessage(connection_.get()));
    }
    PQsetNoticeReceiver(connection_.get(), [](void*, const PGresult*) {}, nullptr);
}

rows sql_connection::query(const std::string& sql) {
    return rows_of(connection_.get(), result_ptr(PQexec(connection_.get(), sql.c_str())));
}

rows sql_connection::query(const std::string& sql,
                           const std::vector<std::optional<std::string>>& params) {
    std::vector<const char*> values;
    values.reserve(params.size());
    for (const auto& param : params) {
        values.push_back(param ? param->c_str() : nullptr);
    }
    return rows_of(
        connection_.get(),
        result_ptr(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(params.size()),
                                nullptr, values.data(), nullptr, nullptr, 0)));
}

std::string sql_connection::outcome(const std::string& sql) {
    try {
        query(sql);
        return "00000";
    } catch (const query_failed& failure) {
        if (failure.sqlstate().empty()) {
            throw;
        }
        return failure.sqlstate();
    }
}

int sql_connection::backend_pid() const {
    return PQbackendPID(connection_.get());
}

cluster::cluster(std::string socket_folder, int port)
    : socket_folder_(std::move(socket_folder)), port_(port) {}

std::unique_ptr<cluster> cluster::start() {
    std::array<int, 2> lifeline{};
    std::array<int, 2> reports{};
    if (::pipe2(lifeline.data(), O_CLOEXEC) != 0 || ::pipe2(reports.data(), O_CLOEXEC) != 0) {
        throw std::runtime_error("no pipe for the PostgreSQL keeper");
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, lifeline[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, reports[1], STDOUT_FILENO);
    std::string program = INSULA_POSTGRES_KEEPER;
    std::array<char*, 2> argv{program.data(), nullptr};
    auto made = std::unique_ptr<cluster>(new cluster);
    const int failed =
        ::posix_spawn(&made->keeper_pid_, program.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(lifeline[0]);
    ::close(reports[1]);
    made->lifeline_ = lifeline[1];
    made->reports_ = reports[0];
    if (failed != 0) {
        made->keeper_pid_ = -1;
        throw std::runtime_error("cannot start " + program + "; build the target postgres_keeper");
    }
    const std::string report = made->read_report();
    const auto last = report.rfind(' ');
    if (!report.starts_with("ready ") || last == std::string::npos) {
        throw std::runtime_error("no PostgreSQL for the tests: " + report);
    }
    made->socket_folder_ = report.substr(6, last - 6);
    made->port_ = std::atoi(report.c_str() + last + 1);
    return made;
}

cluster::~cluster() {
    if (lifeline_ >= 0) {
        ::close(lifeline_);
    }
    if (keeper_pid_ > 0) {
        ::waitpid(keeper_pid_, nullptr, 0);
    }
    if (reports_ >= 0) {
        ::close(reports_);
    }
}

std::string cluster::read_report() {
    std::string line;
    for (char c = 0; ::read(reports_, &c, 1) == 1 && c != '\n';) {
        line += c;
    }
    return line;
}

void cluster::command(std::string_view line) {
    if (lifeline_ < 0) {
        throw std::logic_error("this cluster is shared; use cluster::start() for one of your own");
    }
    const std::string text = std::string(line) + "\n";
    if (::write(lifeline_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        throw std::runtime_error("the PostgreSQL keeper is gone");
    }
    if (const std::string answer = read_report(); answer != "done") {
        throw std::runtime_error("PostgreSQL keeper, " + std::string(line) + ": " + answer);
    }
}

void cluster::kill_server() {
    command("kill");
}
void cluster::stop_server() {
    command("stop");
}
void cluster::start_server() {
    command("start");
}

std::string cluster::conninfo(std::string_view database, std::string_view role) const {
    std::string text = "host=" + socket_folder_ + " port=" + std::to_string(port_) + " dbname=";
    text.append(database).append(" user=").append(role);
    return text;
}

std::string cluster::admin_conninfo(std::string_view database) const {
    return conninfo(database, "postgres");
}

cluster& shared_cluster() {
    // A static object: its destructor stops the server at exit; the keeper covers every other end.
    static const std::unique_ptr<cluster> shared = [] {
        const char* given = std::getenv("INSULA_TEST_POSTGRES");
        if (given == nullptr || *given == '\0') {
            return cluster::start();
        }
        const std::string text = given;
        const auto colon = text.rfind(':');
        if (colon == std::string::npos) {
            throw std::runtime_error("INSULA_TEST_POSTGRES must be <socket folder>:<port>");
        }
        return std::make_unique<cluster>(text.substr(0, colon),
                                         std::atoi(text.c_str() + colon + 1));
    }();
    return *shared;
}

test_database::test_database(creation what, cluster& where) : cluster_(where) {
    const std::string unique = random_hex(5);
    name_ = "insula_test_" + unique;
    prefix_ = "it" + unique;
    if (what == creation::create) {
        // template0, which nobody can be connected to, so that programs in parallel do not meet.
        sql_connection(cluster_.admin_conninfo())
            .query("create database " + name_ + " template template0");
    }
}

test_database::~test_database() {
    try {
        admin_.reset();
        sql_connection cleaner(cluster_.admin_conninfo());
        cleaner.query("drop database if exists " + name_ + " with (force)");
        // Several programs drop roles at once; PostgreSQL answers "tuple concurrently updated"
        // (XX000) at times.
        const std::string drop_roles =
            "do $$ declare names text; begin"
            "  select string_agg(quote_ident(r.rolname), ', ') into names from pg_roles r"
            "   where r.rolname like '" +
            prefix_ +
            "\\_%' or exists (select from pg_auth_members m"
            "     join pg_roles g on g.oid = m.roleid where m.member = r.oid and g.rolname = '" +
            prefix_ +
            "_tenant');"
            "  if names is not null then execute 'drop role ' || names; end if; end $$";
        for (int attempt = 0; attempt < 20 && cleaner.outcome(drop_roles) != "00000"; ++attempt) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    } catch (const std::exception&) {
        // The server is gone, as in tests that stop it: so are database and roles.
        return;
    }
}

sql_connection& test_database::admin() {
    if (!admin_ ||
        PQstatus(admin_->native()) != CONNECTION_OK) {  // the test may have killed the server
        admin_ = std::make_unique<sql_connection>(admin_conninfo());
    }
    return *admin_;
}

rows test_database::query_admin(const std::string& sql) {
    return admin().query(sql);
}

rows test_database::query_admin(const std::string& sql,
                                const std::vector<std::optional<std::string>>& params) {
    return admin().query(sql, params);
}

std::string test_database::value_admin(const std::string& sql) {
    const rows found = query_admin(sql);
    if (found.size() != 1 || found.front().empty()) {
        throw std::runtime_error(std::to_string(found.size()) + " rows instead of one: " + sql);
    }
    return found.front().front();
}

temporary_folder::temporary_folder() : path_("/tmp/insula-test-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) {
        throw std::runtime_error("cannot make a folder below /tmp");
    }
}

temporary_folder::~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace insula::test
