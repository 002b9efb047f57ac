#include "password_prompt.hpp"

#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <string>

namespace insula::app::commands {
namespace {

// What a signal handler may touch: written before the handlers are there, and while they are only
// by them.
termios terminal_before{};

/// The signals that end the program by default.
constexpr std::array ending_signals{SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/// Only calls that are safe in a handler. SA_RESETHAND has put the default back, so that raising
/// the signal again does what it would have done without us.
void give_terminal_back(int signal) {
    const int before = errno;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
    ::raise(signal);
    errno = before;
}

/// No echo while it lives.
class silent_terminal {
public:
    silent_terminal() {
        ::tcgetattr(STDIN_FILENO, &terminal_before);
        struct sigaction action{};
        action.sa_handler = give_terminal_back;
        action.sa_flags = static_cast<int>(SA_RESETHAND);
        sigemptyset(&action.sa_mask);
        for (std::size_t i = 0; i < ending_signals.size(); ++i) {
            ::sigaction(ending_signals[i], &action, &handlers_before_[i]);
        }
        auto silent = terminal_before;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    ~silent_terminal() {
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
        for (std::size_t i = 0; i < ending_signals.size(); ++i) {
            ::sigaction(ending_signals[i], &handlers_before_[i], nullptr);
        }
    }
    silent_terminal(const silent_terminal&) = delete;
    silent_terminal& operator=(const silent_terminal&) = delete;

private:
    std::array<struct sigaction, ending_signals.size()> handlers_before_{};
};

std::string read_line() {
    std::string line;
    std::getline(std::cin, line);
    return line;
}

}  // namespace

secret_string read_password() {
    std::string line;
    if (::isatty(STDIN_FILENO) != 0) {
        std::cerr << "Password: " << std::flush;
        {
            const silent_terminal silence;
            line = read_line();
        }
        std::cerr << std::endl;
    } else {
        line = read_line();
    }
    if (line.ends_with('\r')) {
        line.pop_back();
    }
    secret_string password(line);
    wipe(line.data(), line.size());
    return password;
}

}  // namespace insula::app::commands
