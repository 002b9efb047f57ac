#include "app/embedded_postgres_process.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <thread>

namespace insula::app::detail {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

// Between fork and exec only system calls: another thread may have held any lock.
bool become(const account& who) {
    return ::setgroups(0, nullptr) == 0 && ::setgid(who.gid) == 0 && ::setuid(who.uid) == 0;
}

[[noreturn]] void exec_in_child(char* const* argv, char* const* environment,
                                const surroundings& how, int output, int death_signal,
                                pid_t parent) {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::setsid();
    ::umask(077);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) {
        ::dup2(null, STDIN_FILENO);
    }
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (how.folder >= 0) {
        ::dup2(how.folder, handed_over_descriptor);
        ::fcntl(handed_over_descriptor, F_SETFD, 0);  // also where both were the same number
    }
    if (how.runs_as && !become(*how.runs_as)) {
        ::_exit(126);
    }
    ::prctl(PR_SET_PDEATHSIG, death_signal);  // after the change of user, which clears it
    if (::getppid() != parent || ::chdir("/") != 0) {
        ::_exit(126);  // the parent died before the line above
    }
    ::execve(argv[0], argv, environment);
    ::_exit(127);
}

// What PostgreSQL needs, and neither PG… variables that would steer it nor our secrets.
std::vector<std::string> small_environment() {
    std::vector<std::string> entries{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"};
    if (const char* libraries = std::getenv("LD_LIBRARY_PATH")) {
        entries.push_back(std::string("LD_LIBRARY_PATH=") + libraries);
    }
    return entries;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> all;
    all.reserve(texts.size() + 1);
    for (auto& text : texts) {
        all.push_back(text.data());
    }
    all.push_back(nullptr);
    return all;
}

void signal_all(const std::vector<pid_t>& processes, int signal) {
    for (const pid_t process : processes) {
        ::kill(process, signal);
    }
}

}  // namespace

pid_t spawn(const std::vector<std::string>& args, const surroundings& how, int output,
            int death_signal) {
    std::vector<std::string> arguments = args;
    std::vector<std::string> environment = small_environment();
    const auto argv = pointers_to(arguments);
    const auto envp = pointers_to(environment);
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) {
        exec_in_child(argv.data(), envp.data(), how, output, death_signal, parent);
    }
    return child;
}

outcome run(const std::vector<std::string>& args, const surroundings& how) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return {};
    }
    const pid_t child = spawn(args, how, ends[1], SIGTERM);
    ::close(ends[1]);
    outcome result;
    std::array<char, 4096> chunk{};
    for (ssize_t got = 0; (got = ::read(ends[0], chunk.data(), chunk.size())) != 0;) {
        if (got > 0) {
            result.output.append(chunk.data(), static_cast<std::size_t>(got));
        } else if (errno != EINTR) {
            break;
        }
    }
    ::close(ends[0]);
    int status = -1;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    result.success = child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return result;
}

bool can_enter(const fs::path& folder, const surroundings& how) {
    const std::string path = folder.string();
    const pid_t child = ::fork();
    if (child == 0) {
        if (how.runs_as && !become(*how.runs_as)) {
            ::_exit(1);
        }
        ::_exit(::chdir(path.c_str()) == 0 ? 0 : 1);
    }
    int status = -1;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0;
}

namespace {

// The working directory says which cluster a PostgreSQL process serves, whatever path it was
// started with. In a container even root may be refused that look; then the process that
// postmaster.pid names is believed when it runs as the owner of the cluster.
bool serves(pid_t process, const struct stat& cluster, pid_t named) {
    const std::string entry = "/proc/" + std::to_string(process);
    std::string program;
    std::getline(std::ifstream(entry + "/comm"), program);
    if (program != "postgres") {
        return false;
    }
    struct stat found{};
    if (::stat((entry + "/cwd").c_str(), &found) == 0) {
        return found.st_dev == cluster.st_dev && found.st_ino == cluster.st_ino;
    }
    return errno == EACCES && process == named && ::stat(entry.c_str(), &found) == 0 &&
           found.st_uid == cluster.st_uid;
}

}  // namespace

std::vector<pid_t> servers_of(const fs::path& cluster) {
    struct stat wanted{};
    std::vector<pid_t> found;
    if (::stat(cluster.c_str(), &wanted) != 0) {
        return found;
    }
    const pid_t named = read_postmaster_file(cluster).pid;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
        const std::string name = entry.path().filename().string();
        pid_t process = 0;
        const auto read = std::from_chars(name.data(), name.data() + name.size(), process);
        if (read.ec == std::errc{} && serves(process, wanted, named)) {
            found.push_back(process);
        }
    }
    return found;
}

void end_child(pid_t child, std::chrono::milliseconds patience) {
    const auto begin = std::chrono::steady_clock::now();
    int sent = SIGINT;
    ::kill(child, SIGINT);  // fast shutdown: disconnect clients, write the checkpoint
    while (::waitpid(child, nullptr, WNOHANG) == 0) {
        const auto waited = std::chrono::steady_clock::now() - begin;
        if (sent == SIGINT && waited > patience) {
            ::kill(child, sent = SIGQUIT);  // immediate shutdown: the next start recovers
        } else if (sent == SIGQUIT && waited > patience + 10s) {
            ::kill(child, sent = SIGKILL);
        }
        std::this_thread::sleep_for(5ms);
    }
}

bool end_strangers(const fs::path& cluster, std::chrono::milliseconds patience) {
    const auto begin = std::chrono::steady_clock::now();
    auto left = servers_of(cluster);
    if (left.empty()) {
        return true;
    }
    const pid_t postmaster = read_postmaster_file(cluster).pid;
    const bool headed = std::find(left.begin(), left.end(), postmaster) != left.end();
    int sent =
        headed ? SIGINT : SIGQUIT;  // backends without their postmaster have nothing to finish
    signal_all(headed ? std::vector{postmaster} : left, sent);
    while (!(left = servers_of(cluster)).empty()) {
        const auto waited = std::chrono::steady_clock::now() - begin;
        if (sent == SIGINT && waited > patience) {
            signal_all(left, sent = SIGQUIT);
        } else if (sent == SIGQUIT && waited > patience + 5s) {
            signal_all(left, sent = SIGKILL);
        } else if (waited > patience + 15s) {
            return false;
        }
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

postmaster_file read_postmaster_file(const fs::path& cluster) {
    postmaster_file found;
    std::ifstream in(cluster / "postmaster.pid");
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
        if (number == 1) {
            std::from_chars(line.data(), line.data() + line.size(), found.pid);
        } else if (number == 8) {  // LOCK_FILE_LINE_PM_STATUS in PostgreSQL's pidfile.h
            found.ready = line.starts_with("ready");
        }
    }
    return found;
}

bool asked_to_stop() {
    sigset_t waiting;
    ::sigemptyset(&waiting);
    ::sigpending(&waiting);
    return ::sigismember(&waiting, SIGINT) == 1 || ::sigismember(&waiting, SIGTERM) == 1;
}

}  // namespace insula::app::detail
