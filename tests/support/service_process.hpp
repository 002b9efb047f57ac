// The real `insula` program, as an operator runs it: started, watched by what it prints, stopped by
// signals.
#pragma once

#include "support/postgres.hpp"

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace insula::test {

/// INSULA_ variables of a child. Those of this process are not passed on, but for INSULA_RUNTIME.
using environment = std::map<std::string, std::string>;

/// A child that runs until it is waited for. Its standard output and error go to files. The end of
/// the object kills it, as does the end of the test program.
class child_process {
public:
    child_process(const std::string& program, const std::vector<std::string>& arguments,
                  const environment& variables, std::string_view standard_input = {});
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;
    ~child_process();

    pid_t pid() const { return pid_; }
    std::string out() const;
    std::string err() const;
    void signal(int number) const;
    /// The exit code, or minus the number of the signal that ended it. Throws when it has not ended
    /// in time.
    int wait(std::chrono::milliseconds limit);
    /// Until a line of either output holds the text; that line. Throws with the output so far when
    /// the program ends or the time is up.
    std::string wait_for_line(std::string_view text, std::chrono::milliseconds limit);
    bool running();

private:
    temporary_folder files_;
    pid_t pid_ = -1;
    int code_ = 0;
    bool ended_ = false;
};

struct finished {
    int code;
    std::string out;
    std::string err;
};
/// Runs `insula` to its end.
finished run_insula(const std::vector<std::string>& arguments, const environment& variables,
                    std::string_view standard_input = {},
                    std::chrono::milliseconds limit = std::chrono::seconds(120));

/// Path of the program under test.
std::string insula_binary();

}  // namespace insula::test
