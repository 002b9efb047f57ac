// Real processes for the tests to kill: this very program, started again to run an engine until it
// dies.
#pragma once

#include "world.hpp"

#include <sys/types.h>

#include <csignal>
#include <string>

namespace insula::queue::test_support {

/// Of the children, and of the rescuers in the tests about them.
inline constexpr auto lease = std::chrono::milliseconds(600);

class child_process {
public:
    /// `fault` as INSULA_FAULT takes it; `unfenced` for negative controls.
    child_process(const world& w, runtime::backend kind, const std::string& fault,
                  bool unfenced = false);
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;
    ~child_process();

    /// The signal it died of; 0: it ended otherwise.
    int wait();
    /// True when it has stopped (SIGSTOP).
    bool stopped(std::chrono::milliseconds within = std::chrono::seconds(20));
    void signal(int number);

private:
    pid_t pid_ = -1;
};

}  // namespace insula::queue::test_support
