// Real processes for the tests to kill: this very program, started again to run an engine until it
// dies.
#pragma once

#include "world.hpp"

#include <sys/types.h>

#include <csignal>
#include <string>

namespace insula::queue::test_support {

/// Of the children, and of the rescuers in the tests about them.
inline constexpr auto lease = std::chrono::milliseconds(400);

struct child_options {
    runtime::backend kind = runtime::backend::epoll;
    std::string fault{};       ///< as INSULA_FAULT takes it
    bool unfenced = false;     ///< for negative controls
    std::string conninfo{};    ///< empty: straight to the world's server
    std::string clock_file{};  ///< a clock_shift's; empty: the true clock
    std::chrono::milliseconds lease = test_support::lease;
};

class child_process {
public:
    child_process(const world& w, const child_options& how);
    child_process(const world& w, runtime::backend kind, const std::string& fault,
                  bool unfenced = false)
        : child_process(w, {.kind = kind, .fault = fault, .unfenced = unfenced}) {}
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;
    ~child_process();

    pid_t pid() const { return pid_; }
    /// The signal it died of; 0: it ended otherwise, or lived on for a minute and was ended.
    int wait();
    /// False once it has died (asked without waiting); how, as waitpid() says it.
    bool running(int* status = nullptr);
    /// True when it has stopped (SIGSTOP).
    bool stopped(std::chrono::milliseconds within = std::chrono::seconds(20));
    void signal(int number);

private:
    pid_t pid_ = -1;
};

/// A file that tells children's wall clocks how far to be off (tests/support/clock/clock_shift.c).
class clock_shift {
public:
    clock_shift();
    ~clock_shift();
    clock_shift(const clock_shift&) = delete;
    clock_shift& operator=(const clock_shift&) = delete;
    const std::string& file() const { return file_; }
    void jump_to(std::chrono::seconds off);

private:
    test::temporary_folder folder_;
    std::string file_;
    long long* shared_ = nullptr;
};

}  // namespace insula::queue::test_support
