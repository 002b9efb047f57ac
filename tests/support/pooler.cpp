#include "support/pooler.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace insula::test {
namespace {

constexpr const char* program = "/usr/sbin/pgbouncer";
constexpr int port = 6432;  // the folder is private, so the number need not be

std::string contents(const std::string& path) {
    std::ifstream in(path);
    std::ostringstream all;
    all << in.rdbuf();
    return std::move(all).str();
}

/// As root it refuses to run; then it runs as PostgreSQL does. Only what may be called after a
/// fork, and the signal last: another user's process forgets it.
[[noreturn]] void become(const passwd* runs_as, const char* settings) {
    if (runs_as != nullptr && (::setgroups(0, nullptr) != 0 || ::setgid(runs_as->pw_gid) != 0 ||
                               ::setuid(runs_as->pw_uid) != 0)) {
        ::_exit(126);
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::dup2(null, STDOUT_FILENO);
    ::dup2(null, STDERR_FILENO);
    ::execl(program, program, "-q", settings, nullptr);
    ::_exit(127);
}

}  // namespace

pooler::pooler(const std::string& mode, cluster& where,
               const std::map<std::string, std::string>& more)
    : where_(where), more_(more) {
    if (!std::filesystem::exists(program)) {
        throw std::runtime_error("no pgbouncer for the tests: scripts/packages --install test");
    }
    ::chmod(folder_.path().c_str(), 0777);
    let_in({}, 0);
    start(mode);
}

void pooler::start(const std::string& mode) {
    const auto& folder = folder_.path();
    std::ofstream ini(folder + "/ini");
    ini << "[databases]\n* = host=" << where_.socket_folder() << " port=" << where_.port()
        << "\n[pgbouncer]\nlisten_addr =\nlisten_port = " << port
        << "\nunix_socket_dir = " << folder << "\nauth_type = trust\nauth_file = " << folder
        << "/logins\npool_mode = " << mode << "\nlogfile = " << folder
        << "/log\npidfile = " << folder << "/pid\nadmin_users = postgres\n"
        << "max_client_conn = 2000\ndefault_pool_size = 100\nserver_idle_timeout = 5\n";
    for (const auto& [name, value] : more_) {
        ini << name << " = " << value << "\n";
    }
    ini.close();
    const std::string settings = folder + "/ini";
    const passwd* runs_as = ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr;
    pid_ = ::fork();
    if (pid_ == 0) {
        become(runs_as, settings.c_str());
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (;;) {
        try {
            (void)console("show version");
            return;
        } catch (const query_failed& failure) {
            if (std::chrono::steady_clock::now() > until ||
                ::waitpid(pid_, nullptr, WNOHANG) != 0) {
                throw std::runtime_error("pgbouncer did not start: " + log() + failure.what());
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

void pooler::stop() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        std::error_code ignored;
        std::filesystem::remove(folder_.path() + "/pid", ignored);
        pid_ = -1;
    }
}

void pooler::restart(const std::string& mode) {
    stop();
    start(mode);
}

pooler::~pooler() {
    stop();
}

void pooler::let_in(const std::string& role_prefix, int cells) {
    if (!role_prefix.empty()) {
        for (const auto* name : {"_owner", "_app", "_worker", "_cell"}) {
            logins_.push_back(role_prefix + name);
        }
        for (int cell = 0; cell < cells; ++cell) {
            logins_.push_back(role_prefix + "_cell_" + std::to_string(cell));
        }
    }
    std::ofstream file(folder_.path() + "/logins");
    for (const auto& login : logins_) {
        file << '"' << login << "\" \"\"\n";
    }
    file.close();
    if (pid_ > 0) {
        (void)console("reload");
    }
}

std::string pooler::conninfo(std::string_view database) const {
    return "host=" + folder_.path() + " port=" + std::to_string(port) +
           " dbname=" + std::string(database);
}

rows pooler::console(const std::string& command) const {
    return sql_connection(conninfo("pgbouncer") + " user=postgres").query(command);
}

std::string pooler::log() const {
    return contents(folder_.path() + "/log");
}

}  // namespace insula::test
