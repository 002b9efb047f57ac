#include "support/service_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

extern char** environ;

namespace insula::test {

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    return std::move(all).str();
}

/// What the child sees: everything but our own INSULA_ variables, and what it is given.
std::vector<std::string> child_variables(const environment& given) {
    std::vector<std::string> all;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const auto name = std::string(text.substr(0, text.find('=')));
        const bool ours = name.starts_with("INSULA_") && name != "INSULA_RUNTIME";
        if (!ours && !given.contains(name) && !name.starts_with("PG")) {
            all.emplace_back(text);
        }
    }
    for (const auto& [name, value] : given) {
        all.push_back(name + "=" + value);
    }
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> all;
    for (auto& text : texts) {
        all.push_back(text.data());
    }
    all.push_back(nullptr);
    return all;
}

int open_for(const std::string& path) {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

}  // namespace

child_process::child_process(const std::string& program, const std::vector<std::string>& arguments,
                             const environment& variables, std::string_view standard_input) {
    std::vector<std::string> words{program};
    words.insert(words.end(), arguments.begin(), arguments.end());
    auto texts = child_variables(variables);
    const auto argv = pointers(words);
    const auto envp = pointers(texts);
    std::ofstream(files_.path() + "/in", std::ios::binary) << standard_input;
    const int in = ::open((files_.path() + "/in").c_str(), O_RDONLY | O_CLOEXEC);
    const int out = open_for(files_.path() + "/out");
    const int err = open_for(files_.path() + "/err");
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        // Only calls that are safe after fork() in a program with threads. SIGTERM, so that a dev
        // server whose test died takes its PostgreSQL along.
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (::getppid() != parent) {
            ::_exit(127);
        }
        sigset_t none;
        ::sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::dup2(in, STDIN_FILENO);
        ::dup2(out, STDOUT_FILENO);
        ::dup2(err, STDERR_FILENO);
        ::execve(argv.front(), argv.data(), envp.data());
        ::_exit(127);
    }
    for (const int fd : {in, out, err}) {
        ::close(fd);
    }
    if (pid_ < 0) {
        throw std::runtime_error("fork failed");
    }
}

child_process::~child_process() {
    if (running()) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
}

std::string child_process::out() const {
    return contents(files_.path() + "/out");
}

std::string child_process::err() const {
    return contents(files_.path() + "/err");
}

void child_process::signal(int number) const {
    if (!ended_) {
        ::kill(pid_, number);
    }
}

bool child_process::running() {
    if (!ended_) {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) == pid_) {
            ended_ = true;
            code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        }
    }
    return !ended_;
}

int child_process::wait(std::chrono::milliseconds limit) {
    const auto until = clock::now() + limit;
    while (running()) {
        if (clock::now() > until) {
            throw std::runtime_error("the program has not ended in time; it printed:\n" + out() +
                                     err());
        }
        std::this_thread::sleep_for(2ms);
    }
    return code_;
}

std::string child_process::wait_for_line(std::string_view text, std::chrono::milliseconds limit) {
    const auto until = clock::now() + limit;
    for (;;) {
        const bool alive = running();  // asked first: its last words come before its end
        for (const std::string& printed : {out(), err()}) {
            const auto at = printed.find(text);
            const auto end = at == std::string::npos ? at : printed.find('\n', at);
            if (end != std::string::npos) {
                const auto begin = printed.rfind('\n', at);
                return printed.substr(begin == std::string::npos ? 0 : begin + 1,
                                      end - (begin == std::string::npos ? 0 : begin + 1));
            }
        }
        if (!alive || clock::now() > until) {
            throw std::runtime_error(
                "the program " + std::string(alive ? "did not print" : "ended before it printed") +
                " \"" + std::string(text) + "\", but:\n" + out() + err());
        }
        std::this_thread::sleep_for(5ms);
    }
}

finished run_insula(const std::vector<std::string>& arguments, const environment& variables,
                    std::string_view standard_input, std::chrono::milliseconds limit) {
    child_process child(insula_binary(), arguments, variables, standard_input);
    const int code = child.wait(limit);
    return {code, child.out(), child.err()};
}

std::string insula_binary() {
    return INSULA_BINARY;
}

}  // namespace insula::test
