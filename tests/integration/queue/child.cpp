#include "child.hpp"

#include "journey.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace insula::queue::test_support {

namespace {

/// What a child process does: this very program, started again to run an engine until it dies.
TEST(queue_child, DISABLED_engine) {
    const char* conninfo = std::getenv("INSULA_QUEUE_CHILD");
    ASSERT_NE(conninfo, nullptr) << "only started by the other tests";
    set_call_conninfo(conninfo);
    auto options = quick(lease);
    options.unfenced_for_negative_control = std::getenv("INSULA_QUEUE_UNFENCED") != nullptr;
    const bool epoll = std::string_view(std::getenv("INSULA_QUEUE_BACKEND")) == "epoll";
    process child(conninfo, test_workflows(), options,
                  epoll ? runtime::backend::epoll : runtime::backend::io_uring);
    for (;;) {
        ::pause();
    }
}

}  // namespace

child_process::child_process(const world& w, runtime::backend kind, const std::string& fault,
                             bool unfenced) {
    const std::string conninfo = w.worker_conninfo();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::setenv("INSULA_QUEUE_CHILD", conninfo.c_str(), 1);
        ::setenv("INSULA_QUEUE_BACKEND", std::string(runtime::name(kind)).c_str(), 1);
        ::setenv("INSULA_FAULT", fault.c_str(), 1);
        if (unfenced) {
            ::setenv("INSULA_QUEUE_UNFENCED", "1", 1);
        }
        ::execl("/proc/self/exe", "integration_queue", "--gtest_also_run_disabled_tests",
                "--gtest_filter=queue_child.DISABLED_engine", nullptr);
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
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
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
    ::kill(pid_, number);
}

}  // namespace insula::queue::test_support
