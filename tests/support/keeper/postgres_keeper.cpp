// Starts one throw-away PostgreSQL cluster and keeps it until standard input ends.
//
// It is a program of its own, not a fork of the test program, because the tests have threads (a
// fork of those may not allocate) and because it must outlive a test program that is killed: the
// kernel closes the pipe on standard input then, and this program stops the server and removes its
// folder. Should this program itself be killed, PR_SET_PDEATHSIG ends the server.
//
// Standard output: "ready <folder> <port>" or "error <sentence>", then "done" after each command.
// Standard input, one command a line: "kill" (SIGKILL to the postmaster, as a crash), "stop"
// (fast), "start".
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr int port = 5432;  // the folder is private, so the number need not be

struct account {
    uid_t uid = 0;
    gid_t gid = 0;
};

struct keeper {
    std::string binaries;
    std::string folder;
    std::optional<account> runs_as;  // set when we are root: PostgreSQL refuses to run as root
    pid_t server = -1;

    std::string data() const { return folder + "/data"; }
    std::string log() const { return folder + "/log"; }
};

void say(const std::string& line) {
    const std::string text = line + "\n";
    // A reader that has gone away is noticed on standard input; nothing to do about it here.
    if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) {
        return;
    }
}

std::string find_binaries() {
    if (const char* chosen = std::getenv("INSULA_TEST_POSTGRES_BIN")) {
        return chosen;
    }
    std::vector<std::pair<int, std::string>> found;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
        if (fs::exists(entry.path() / "bin" / "initdb")) {
            found.emplace_back(std::atoi(entry.path().filename().c_str()),
                               (entry.path() / "bin").string());
        }
    }
    return found.empty() ? std::string{} : std::max_element(found.begin(), found.end())->second;
}

std::string tail_of(const std::string& path) {
    std::ifstream in(path);
    std::string text(std::istreambuf_iterator<char>(in), {});
    if (text.size() > 1500) {
        text.erase(0, text.size() - 1500);
    }
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

// Runs the program in a child of its own session, as the unprivileged user when there is one.
pid_t spawn(const keeper& k, const std::vector<std::string>& args) {
    const pid_t child = ::fork();
    if (child != 0) {
        return child;
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    ::setsid();
    const int log = ::open(k.log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    if (k.runs_as && (::setgroups(0, nullptr) != 0 || ::setgid(k.runs_as->gid) != 0 ||
                      ::setuid(k.runs_as->uid) != 0)) {
        ::_exit(126);
    }
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (::getppid() == 1 || ::chdir(k.folder.c_str()) != 0) {
        ::_exit(126);
    }
    std::vector<char*> argv;
    for (const auto& arg : args) {
        argv.push_back(const_cast<char*>(arg.c_str()));
    }
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
}

std::string initdb(const keeper& k) {
    const pid_t child =
        spawn(k, {k.binaries + "/initdb", "-D", k.data(), "-U", "postgres", "-E", "UTF8",
                  "--locale=C", "-A", "trust", "--no-sync", "--no-instructions"});
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) {
        return "initdb failed: " + tail_of(k.log());
    }
    std::ofstream(k.data() + "/postgresql.auto.conf", std::ios::app)
        << "listen_addresses = ''\nunix_socket_directories = '" << k.folder << "'\n"
        << "port = " << port << "\n"
        << "unix_socket_permissions = 0700\nmax_connections = 300\nshared_buffers = 64MB\n"
        // Nothing here survives the tests, so nothing need reach the disk; crashes of the server
        // alone still recover, because the kernel keeps what was written.
        << "fsync = off\nfull_page_writes = off\nwal_level = minimal\nmax_wal_senders = 0\n"
        << "checkpoint_timeout = 1h\nmax_wal_size = 1GB\nautovacuum = off\njit = off\n"
        << "max_locks_per_transaction = 256\nlog_min_messages = warning\n"
        << "log_line_prefix = '%m [%p] %u@%d '\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n"
        << "password_encryption = 'scram-sha-256'\n";
    return {};
}

// The eighth line of postmaster.pid says "ready" once connections are accepted, or "standby" for as
// long as a server without hot_standby is in recovery.
bool accepts_connections(const keeper& k) {
    std::ifstream in(k.data() + "/postmaster.pid");
    std::string line;
    std::getline(in, line);
    if (line != std::to_string(k.server)) {
        return false;  // left by the server before
    }
    for (int i = 1; std::getline(in, line);) {
        if (++i == 8) {
            return line.starts_with("ready") || line.starts_with("standby");
        }
    }
    return false;
}

std::string start(keeper& k) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    k.server = spawn(k, {k.binaries + "/postgres", "-D", k.data()});
    while (!accepts_connections(k)) {
        const bool ended = ::waitpid(k.server, nullptr, WNOHANG) == k.server;
        if (std::chrono::steady_clock::now() > end) {
            return "the PostgreSQL server was not ready within 60 s: " + tail_of(k.log());
        }
        if (ended) {
            // After a crash the backends of the old server may live a moment longer; PostgreSQL
            // refuses to start while they hold the shared memory.
            k.server = -1;
            if (tail_of(k.log()).rfind("still in use") == std::string::npos) {
                return "the PostgreSQL server did not start: " + tail_of(k.log());
            }
            std::this_thread::sleep_for(50ms);
            k.server = spawn(k, {k.binaries + "/postgres", "-D", k.data()});
        }
        std::this_thread::sleep_for(5ms);
    }
    return {};
}

// Ends the server with the signal, and with harder ones should it not go.
void end_server(keeper& k, int signal) {
    if (k.server <= 0) {
        return;
    }
    ::kill(k.server, signal);
    for (int waited_ms = 0; ::waitpid(k.server, nullptr, WNOHANG) == 0; waited_ms += 5) {
        if (waited_ms == 10'000) {
            ::kill(k.server, SIGQUIT);
        } else if (waited_ms == 20'000) {
            ::kill(k.server, SIGKILL);
        }
        std::this_thread::sleep_for(5ms);
    }
    k.server = -1;
}

std::string prepare_folder(keeper& k) {
    k.binaries = find_binaries();
    if (k.binaries.empty()) {
        return "no PostgreSQL below /usr/lib/postgresql; install the package postgresql";
    }
    std::string name =
        "/tmp/insula-pg-XXXXXX";  // not TMPDIR: a socket path may have 107 bytes only
    if (::mkdtemp(name.data()) == nullptr) {
        return "cannot make a folder below /tmp";
    }
    k.folder = name;
    if (::geteuid() == 0) {
        const passwd* user = ::getpwnam("postgres");
        if (user == nullptr) {
            return "PostgreSQL does not run as root and there is no user postgres";
        }
        k.runs_as = account{user->pw_uid, user->pw_gid};
        if (::chown(k.folder.c_str(), user->pw_uid, user->pw_gid) != 0) {
            return "cannot give " + k.folder + " to the user postgres";
        }
    }
    return {};
}

void obey(keeper& k, std::string_view command) {
    std::string problem;
    if (command == "kill") {
        end_server(k, SIGKILL);
    } else if (command == "stop") {
        end_server(k, SIGINT);
    } else if (command == "start") {
        problem = start(k);
    } else {
        problem = "unknown command";
    }
    say(problem.empty() ? "done" : "error " + problem);
}

// Commands until standard input ends or a signal asks us to go.
void serve(keeper& k, int signals) {
    std::string input;
    for (;;) {
        std::array<pollfd, 2> watched{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{signals, POLLIN, 0}};
        if (::poll(watched.data(), watched.size(), -1) < 0) {
            continue;
        }
        if (watched[1].revents != 0) {
            return;
        }
        std::array<char, 256> chunk{};
        const ssize_t got = ::read(STDIN_FILENO, chunk.data(), chunk.size());
        if (got <= 0) {
            return;
        }
        input.append(chunk.data(), static_cast<std::size_t>(got));
        for (std::size_t end = 0; (end = input.find('\n')) != std::string::npos;) {
            obey(k, std::string_view(input).substr(0, end));
            input.erase(0, end + 1);
        }
    }
}

}  // namespace

int main() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) {
        sigaddset(&set, signal);
    }
    sigprocmask(SIG_BLOCK, &set, nullptr);
    sigdelset(&set, SIGPIPE);  // blocked for good: a lost reader shows on standard input
    const int signals = ::signalfd(-1, &set, SFD_CLOEXEC);
    ::setsid();  // an interrupt from the terminal is for the test program; we follow its end
    const char* chosen = std::getenv("INSULA_TEST_POSTGRES_BIN");
    const std::string binaries = chosen == nullptr ? "" : chosen;
    ::clearenv();
    ::setenv("PATH", "/usr/bin:/bin", 1);
    ::setenv("LC_ALL", "C", 1);
    if (!binaries.empty()) {
        ::setenv("INSULA_TEST_POSTGRES_BIN", binaries.c_str(), 1);
    }
    ::umask(077);

    keeper k;
    std::string problem = prepare_folder(k);
    if (problem.empty()) {
        problem = initdb(k);
    }
    if (problem.empty()) {
        problem = start(k);
    }
    if (problem.empty()) {
        say("ready " + k.folder + " " + std::to_string(port));
        serve(k, signals);
        end_server(k, SIGQUIT);  // nothing is worth a shutdown checkpoint
    } else {
        say("error " + problem);
    }
    if (!k.folder.empty()) {
        std::error_code ignored;
        fs::remove_all(k.folder, ignored);
    }
    return problem.empty() ? 0 : 1;
}
