#include "support/gate.hpp"

#include "support/gate_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace insula::test {
namespace {

constexpr int postgres_port = 5432;

/// The address in the form the system calls want; the call answers for `use`.
template <class F>
int with_address(const endpoint& where, F&& use) {
    if (!where.path.empty()) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, where.path.c_str(), sizeof(address.sun_path) - 1);
        return use(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(where.port));
    return use(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

int new_socket(const endpoint& where) {
    const int fd = ::socket(where.path.empty() ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (where.path.empty()) {
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    return fd;
}

fault fault_of(gate::mode how) {
    switch (how) {
        case gate::mode::one_byte:
            return fault::both_ways({.slice = 1});
        case gate::mode::hold:
            return fault::both_ways({.hold = true});
        case gate::mode::refuse:
            return {.entry = fault::door::closes};
        default:
            return {};
    }
}

}  // namespace

gate::gate(cluster& behind)
    : listens_{.path = folder_.path() + "/.s.PGSQL." + std::to_string(postgres_port)},
      behind_{.path = behind.socket_folder() + "/.s.PGSQL." + std::to_string(behind.port())} {
    begin();
}

gate::gate(endpoint listens, endpoint behind)
    : listens_(std::move(listens)), behind_(std::move(behind)) {
    begin();
}

void gate::begin() {
    open_door();
    if (listening_ < 0) {
        throw std::runtime_error("the gate cannot listen");
    }
    acceptor_ = std::thread([this] { accept_loop(); });
}

gate::~gate() {
    stop_ = true;
    acceptor_.join();
    for (auto& thread : threads_) {
        thread.join();
    }
    if (listening_ >= 0) {
        ::close(listening_);
    }
}

void gate::change(const std::function<void(rules&)>& how) {
    const std::lock_guard lock(mutex_);
    how(rules_);
    deeds_ = 0;
    ++generation_;
}

void gate::set(mode how) {
    change([&](rules& all) {
        all.how = how;
        all.what = fault_of(how);
    });
}

void gate::set(const fault& how) {
    change([&](rules& all) {
        all.how = mode::pass;
        all.what = how;
    });
}

void gate::strand() {
    change([&](rules& all) {
        all.how = mode::pass;
        all.what = {};
        all.stranded = numbers_;
    });
}

void gate::set_needle(std::string text) {
    change([&](rules& all) {
        all.needle = std::move(text);
        sprung_ = false;
    });
}

gate::rules gate::current() const {
    const std::lock_guard lock(mutex_);
    return rules_;
}

std::size_t gate::attempts() const {
    const std::lock_guard lock(mutex_);
    return attempts_.size();
}

std::size_t gate::most_attempts_a_second(std::chrono::steady_clock::time_point since) const {
    const std::lock_guard lock(mutex_);
    std::size_t most = 0;
    auto first = std::ranges::lower_bound(attempts_, since);
    for (auto last = first; last != attempts_.end(); ++last) {
        while (*last - *first > std::chrono::seconds(1)) {
            ++first;
        }
        most = std::max(most, static_cast<std::size_t>(last - first) + 1);
    }
    return most;
}

std::string gate::conninfo(const std::string& database, const std::string& role) const {
    const bool local = !listens_.path.empty();
    return "host=" + (local ? folder_.path() : "127.0.0.1") +
           " port=" + std::to_string(local ? postgres_port : listens_.port) +
           " dbname=" + database + " user=" + role;
}

void gate::open_door() {
    const int fd = new_socket(listens_);
    if (!listens_.path.empty()) {
        ::unlink(listens_.path.c_str());
    }
    const int bound = with_address(listens_, [fd](const sockaddr* address, socklen_t size) {
        return ::bind(fd, address, size);
    });
    if (bound != 0 || ::listen(fd, 256) != 0) {
        ::close(fd);
        return;
    }
    if (listens_.path.empty()) {
        sockaddr_in name{};
        socklen_t size = sizeof(name);
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
        listens_.port = ntohs(name.sin_port);
    }
    listening_ = fd;
}

int gate::connect_behind() const {
    const int fd = new_socket(behind_);
    const int connected = with_address(behind_, [fd](const sockaddr* address, socklen_t size) {
        return ::connect(fd, address, size);
    });
    if (connected != 0) {
        ::close(fd);
        return -1;
    }
    return fd;
}

void gate::accept_loop() {
    while (!stop_) {
        const bool gone = current().what.entry == fault::door::gone;
        if (gone && listening_ >= 0) {
            ::close(std::exchange(listening_, -1));
        } else if (!gone && listening_ < 0) {
            open_door();
        }
        pollfd ready{listening_, POLLIN, 0};
        if (::poll(&ready, 1, 5) == 1) {
            accept_one();
        }
    }
}

void gate::accept_one() {
    const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) {
        return;
    }
    std::uint64_t number = 0;
    {
        const std::lock_guard lock(mutex_);
        attempts_.push_back(std::chrono::steady_clock::now());
        number = ++numbers_;
    }
    if (current().what.entry != fault::door::open) {
        ++deeds_;
        ::close(client);
        return;
    }
    ++carried_;
    threads_.emplace_back([this, client, number] {
        if (const int server = connect_behind(); server >= 0) {
            carried_connection(*this, client, server, number).run();
        } else {
            ::close(client);
        }
        --carried_;
    });
}

}  // namespace insula::test
