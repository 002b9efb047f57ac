#include "child.hpp"

#include "journey.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace insula::queue::test_support {

namespace {

constexpr std::chrono::seconds patience{60};

/// What a child process does: this very program, started again to run an engine until it dies.
TEST(queue_child, DISABLED_engine) {
    const char* conninfo = std::getenv("INSULA_QUEUE_CHILD");
    ASSERT_NE(conninfo, nullptr) << "only started by the other tests";
    set_call_conninfo(std::getenv("INSULA_QUEUE_CALLS"));
    auto options = quick(std::chrono::milliseconds(std::atoi(std::getenv("INSULA_QUEUE_LEASE"))));
    options.unfenced_for_negative_control = std::getenv("INSULA_QUEUE_UNFENCED") != nullptr;
    const bool epoll = std::string_view(std::getenv("INSULA_QUEUE_BACKEND")) == "epoll";
    process child(conninfo, test_workflows(), options,
                  epoll ? runtime::backend::epoll : runtime::backend::io_uring);
    for (;;) {
        ::pause();
    }
}

}  // namespace

child_process::child_process(const world& w, const child_options& how) {
    // Everything is prepared before the fork: this program has threads.
    std::vector<std::string> variables{
        "INSULA_QUEUE_CHILD=" + (how.conninfo.empty() ? w.worker_conninfo() : how.conninfo),
        "INSULA_QUEUE_CALLS=" + w.worker_conninfo(),
        "INSULA_QUEUE_BACKEND=" + std::string(runtime::name(how.kind)),
        "INSULA_QUEUE_LEASE=" + std::to_string(how.lease.count()),
        "INSULA_FAULT=" + how.fault,
    };
    if (how.unfenced) {
        variables.emplace_back("INSULA_QUEUE_UNFENCED=1");
    }
    if (!how.clock_file.empty()) {
        variables.emplace_back(std::string("LD_PRELOAD=") + INSULA_CLOCK_SHIFT);
        variables.push_back("INSULA_CLOCK_FILE=" + how.clock_file);
    }
    std::vector<char*> environment;
    for (char** v = environ; *v != nullptr; ++v) {
        environment.push_back(*v);
    }
    for (std::string& v : variables) {
        environment.push_back(v.data());
    }
    environment.push_back(nullptr);
    std::string filter = "--gtest_filter=queue_child.DISABLED_engine";
    std::string disabled = "--gtest_also_run_disabled_tests";
    std::string self = "child";
    char* const arguments[] = {self.data(), disabled.data(), filter.data(), nullptr};
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::execve("/proc/self/exe", arguments, environment.data());
        ::_exit(127);
    }
}

child_process::~child_process() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        wait();
    }
}

int child_process::wait() {
    const auto until = std::chrono::steady_clock::now() + patience;
    int status = 0;
    while (running(&status)) {
        if (std::chrono::steady_clock::now() >= until) {
            ::kill(pid_, SIGKILL);
            ::waitpid(std::exchange(pid_, -1), nullptr, 0);
            return 0;
        }
        std::this_thread::sleep_for(2ms);  // between two looks
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool child_process::running(int* status) {
    if (pid_ > 0 && ::waitpid(pid_, status, WNOHANG) == pid_) {
        pid_ = -1;
    }
    return pid_ > 0;
}

bool child_process::stopped(std::chrono::milliseconds within) {
    const auto until = std::chrono::steady_clock::now() + within;
    int status = 0;
    for (;;) {
        if (::waitpid(pid_, &status, WUNTRACED | WNOHANG) == pid_) {
            return WIFSTOPPED(status);
        }
        if (std::chrono::steady_clock::now() >= until) {
            return false;
        }
        std::this_thread::sleep_for(2ms);  // between two looks
    }
}

void child_process::signal(int number) {
    if (pid_ > 0) {
        ::kill(pid_, number);
    }
}

clock_shift::clock_shift() : file_(folder_.path() + "/clock") {
    const int fd = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ::ftruncate(fd, sizeof(long long)) != 0) {
        throw std::runtime_error("no file for the clock");
    }
    shared_ = static_cast<long long*>(
        ::mmap(nullptr, sizeof(long long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ::close(fd);
}

clock_shift::~clock_shift() {
    ::munmap(shared_, sizeof(long long));
}

void clock_shift::jump_to(std::chrono::seconds off) {
    __atomic_store_n(shared_, off.count(), __ATOMIC_RELAXED);
}

}  // namespace insula::queue::test_support
