#pragma once
// Sockets for the tests of the runtime.

#include "insula/runtime/listener.hpp"
#include "insula/runtime/stream.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace insula::runtime::test {

// A raw descriptor of the test's own, closed with it.
class raw_fd {
public:
    raw_fd() = default;
    explicit raw_fd(int fd) : fd_(fd) {}
    raw_fd(raw_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    raw_fd& operator=(raw_fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~raw_fd() { close(); }

    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }
    void close() {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }
    void send(std::string_view text) const {
        if (::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(text.size())) {
            throw std::system_error(errno, std::generic_category(), "send");
        }
    }
    // What has arrived; empty when nothing has, or at the end.
    std::string receive() const {
        std::string text(65536, '\0');
        const auto n = ::recv(fd_, text.data(), text.size(), MSG_DONTWAIT);
        text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
        return text;
    }

private:
    int fd_ = -1;
};

// A stream and the raw other end of it.
struct stream_pair {
    stream ours;
    raw_fd peer;
};
stream_pair unix_pair(loop& home);
// The same over TCP on the loopback.
stream_pair tcp_pair(loop& home);

struct raw_pair {
    raw_fd a;
    raw_fd b;
};
raw_pair raw_unix_pair();

// Is the descriptor number in use in this process?
bool is_open(int fd);

// A folder that is removed with what is in it.
class temporary_folder {
public:
    temporary_folder();
    ~temporary_folder();
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace insula::runtime::test
