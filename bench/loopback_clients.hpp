#pragma once
// Blocking clients on loopback TCP for measuring a server in the same process: all requests go out,
// then all answers are read. And the CPU of the server's thread meanwhile.

#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace insula::bench {

[[noreturn]] inline void fail(int line) {
    std::fprintf(stderr, "loopback_clients.hpp:%d: %s\n", line, std::strerror(errno));
    std::abort();
}

inline int connect_to(std::uint16_t port) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
        fail(__LINE__);
    }
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/// Both ends of every connection are here.
inline void allow_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

class loopback_clients {
public:
    /// `depth` requests are sent at once on each connection; the answer is as long as `answer`, and
    /// starts like it.
    loopback_clients(std::uint16_t port, int connections, int depth, std::string_view request,
                     std::string_view answer)
        : answer_(answer.substr(0, 15)),
          answer_bytes_(answer.size() * static_cast<std::size_t>(depth)) {
        allow_descriptors();
        for (int i = 0; i < depth; ++i) {
            requests_ += request;
        }
        for (int i = 0; i < connections; ++i) {
            fds_.push_back(connect_to(port));
        }
    }
    ~loopback_clients() {
        for (const int fd : fds_) {
            ::close(fd);
        }
    }
    loopback_clients(const loopback_clients&) = delete;
    loopback_clients& operator=(const loopback_clients&) = delete;

    void round() const {
        std::string buffer(answer_bytes_, '\0');
        for (const int fd : fds_) {
            if (::send(fd, requests_.data(), requests_.size(), 0) !=
                static_cast<ssize_t>(requests_.size())) {
                fail(__LINE__);
            }
        }
        for (const int fd : fds_) {
            receive(fd, buffer);
        }
    }

private:
    /// In a loop: MSG_WAITALL may return early.
    void receive(int fd, std::string& buffer) const {
        std::size_t done = 0;
        while (done < buffer.size()) {
            const auto got = ::recv(fd, buffer.data() + done, buffer.size() - done, MSG_WAITALL);
            if (got <= 0) {
                fail(__LINE__);
            }
            done += static_cast<std::size_t>(got);
        }
        if (!buffer.starts_with(answer_)) {
            fail(__LINE__);
        }
    }

    std::string requests_;
    std::string answer_;
    std::size_t answer_bytes_;
    std::vector<int> fds_;
};

inline std::int64_t cpu_ns(std::thread& thread) {
    clockid_t clock{};
    timespec used{};
    if (::pthread_getcpuclockid(thread.native_handle(), &clock) != 0 ||
        ::clock_gettime(clock, &used) != 0) {
        fail(__LINE__);
    }
    return used.tv_sec * 1'000'000'000 + used.tv_nsec;
}

/// Runs the rounds of a benchmark; the counter server_ns is what the server's thread used for each
/// of the `each` requests of a round.
template <class Round>
void measure_server(benchmark::State& state, std::thread& server, int each, const Round& round) {
    for (int i = 0; i < 10; ++i) {
        round();
    }
    const auto before = cpu_ns(server);
    for (auto _ : state) {
        round();
    }
    const auto requests = static_cast<double>(state.iterations()) * each;
    state.counters["server_ns"] = static_cast<double>(cpu_ns(server) - before) / requests;
    state.SetItemsProcessed(static_cast<std::int64_t>(requests));
}

}  // namespace insula::bench
