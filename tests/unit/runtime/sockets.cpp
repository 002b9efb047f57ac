#include "sockets.hpp"

#include <fcntl.h>
#include <netinet/in.h>

#include <cstdlib>
#include <filesystem>

namespace insula::runtime::test {

namespace {

int checked(int outcome, const char* what) {
    if (outcome < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
    return outcome;
}

}  // namespace

raw_pair raw_unix_pair() {
    int ends[2];
    checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
    return {raw_fd(ends[0]), raw_fd(ends[1])};
}

stream_pair unix_pair(loop& home) {
    auto ends = raw_unix_pair();
    return {stream::adopt(home, ends.a.release()), std::move(ends.b)};
}

stream_pair tcp_pair(loop& home) {
    const raw_fd listening(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    checked(::listen(listening.get(), 1), "listen");
    sockaddr_in at{};
    socklen_t size = sizeof at;
    checked(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&at), &size), "getsockname");
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    raw_fd peer(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    checked(::connect(peer.get(), reinterpret_cast<const sockaddr*>(&at), size), "connect");
    const int ours = checked(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept4");
    return {stream::adopt(home, ours), std::move(peer)};
}

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

temporary_folder::temporary_folder() {
    std::string pattern = "/tmp/insula_runtime_XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
        throw std::system_error(errno, std::generic_category(), "mkdtemp");
    }
    path_ = pattern;
}

temporary_folder::~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace insula::runtime::test
