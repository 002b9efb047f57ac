#include "insula/runtime/signals.hpp"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace insula::runtime {

namespace {

sigset_t set_of(std::initializer_list<int> signals) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals) {
        sigaddset(&set, signal);
    }
    return set;
}

std::shared_ptr<int> open_signals(std::initializer_list<int> signals) {
    const auto set = set_of(signals);
    const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        throw std::system_error(errno, std::generic_category(), "signalfd");
    }
    return {new int(fd), [](const int* owned) {
                ::close(*owned);
                delete owned;
            }};
}

}  // namespace

void block_signals(std::initializer_list<int> signals) {
    const auto set = set_of(signals);
    if (const int reason = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); reason != 0) {
        throw std::system_error(reason, std::generic_category(), "pthread_sigmask");
    }
}

signal_watch::signal_watch(loop& home, std::initializer_list<int> signals)
    : fd_(open_signals(signals)), watch_(home, *fd_, fd_) {}

signal_watch::~signal_watch() = default;

awaitable<int> signal_watch::next() {
    const auto fd = fd_;  // this may be destroyed while the wait is pending
    for (;;) {
        signalfd_siginfo info;
        if (::read(*fd, &info, sizeof info) == sizeof info) {
            co_return static_cast<int>(info.ssi_signo);
        }
        const auto ready = co_await watch_.wait(descriptor_watch::read, deadline::never());
        if (!ready) {
            co_return 0;
        }
    }
}

void signal_watch::close() noexcept {
    watch_.close();
}

}  // namespace insula::runtime
