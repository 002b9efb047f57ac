#include "hostile_clients.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace insula::test {

namespace {

constexpr std::chrono::milliseconds tick{100};

sockaddr_in address_of(const std::string& text) {
    const auto colon = text.rfind(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<in_port_t>(std::stoul(text.substr(colon + 1))));
    if (::inet_pton(AF_INET, text.substr(0, colon).c_str(), &to.sin_addr) != 1) {
        throw std::runtime_error("not an IPv4 address: " + text);
    }
    return to;
}

}  // namespace

std::size_t raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

attackers::attackers(const std::string& address, attack what)
    : address_(address), what_(std::move(what)), all_(what_.connections) {
    for (auto& one : all_) {
        open(one);
    }
    thread_ = std::jthread([this](const std::stop_token& end) { run(end); });
}

attackers::~attackers() {
    thread_.request_stop();
    thread_.join();
    for (auto& one : all_) {
        if (one.socket >= 0) {
            ::close(one.socket);
        }
    }
}

void attackers::open(connection& one) {
    const auto to = address_of(address_);
    one = {};
    one.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (what_.receive_buffer > 0) {
        ::setsockopt(one.socket, SOL_SOCKET, SO_RCVBUF, &what_.receive_buffer,
                     sizeof what_.receive_buffer);
    }
    if (what_.hangs_up) {
        // Reset instead of a farewell: no port stays in TIME_WAIT for a minute.
        const linger none{1, 0};
        ::setsockopt(one.socket, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    if (one.socket < 0 ||
        ::connect(one.socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
        if (one.socket >= 0) {
            ::close(std::exchange(one.socket, -1));
        }
        return;
    }
    (void)push(one);
}

/// What is still to be sent, as far as it is taken; false when the connection is gone.
bool attackers::push(connection& one) {
    const auto send = [&](const char* data, std::size_t size) {
        return ::send(one.socket, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    };
    if (one.sent < what_.opening.size()) {
        const auto n = send(what_.opening.data() + one.sent, what_.opening.size() - one.sent);
        if (n > 0) {
            one.sent += static_cast<std::size_t>(n);
        }
        return n > 0 || errno == EAGAIN;
    }
    return what_.drip.empty() || send(what_.drip.data(), what_.drip.size()) > 0 || errno == EAGAIN;
}

bool attackers::pull(connection& one) {
    std::array<char, 16384> part;
    while (true) {
        const auto n = ::recv(one.socket, part.data(), part.size(),
                              MSG_DONTWAIT | (what_.reads ? 0 : MSG_PEEK));
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        if (sample_.empty()) {
            sample_.assign(part.data(), std::min<std::size_t>(static_cast<std::size_t>(n), 300));
        }
        if (!what_.reads) {
            return true;
        }
        read_bytes_ += static_cast<std::size_t>(n);
    }
}

void attackers::work(connection& one) {
    if (one.socket >= 0 && !what_.hangs_up && push(one) && pull(one)) {
        return;
    }
    if (one.socket >= 0) {
        ::close(std::exchange(one.socket, -1));
        ++cut_off_;
    }
    if (what_.reopens || what_.hangs_up) {
        open(one);
    }
}

void attackers::run(const std::stop_token& end) {
    constexpr int lowest = 19;
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), lowest);
    const bool silent = what_.drip.empty() && what_.opening.empty() && !what_.hangs_up;
    while (!end.stop_requested()) {
        for (auto& one : all_) {
            if (end.stop_requested() || (silent && !what_.reopens)) {
                break;
            }
            work(one);
        }
        std::this_thread::sleep_for(tick);
    }
}

}  // namespace insula::test
