#include "insula/runtime/listener.hpp"

#include "runtime/reactor.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace insula::runtime {

namespace {

error cannot_listen(std::string_view where, std::string_view what, int reason) {
    const char* remedy = "";
    switch (reason) {
        case EADDRINUSE:
            remedy = "; another process listens there: stop it or choose another address";
            break;
        case EACCES:
            remedy = "; ports below 1024 and this folder need rights: choose another address";
            break;
        case EADDRNOTAVAIL:
            remedy = "; this machine has no such address";
            break;
        default:
            break;
    }
    return error(errc::internal, {},
                 fmt::format("cannot listen on {}: {}: {}{}", where, what,
                             std::generic_category().message(reason), remedy));
}

// A Unix socket file outlives a killed process; one that still answers belongs to a live one.
bool is_stale(const sockaddr_storage& at, socklen_t size) {
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        return false;
    }
    const bool refused = ::connect(probe, reinterpret_cast<const sockaddr*>(&at), size) != 0 &&
                         errno == ECONNREFUSED;
    ::close(probe);
    return refused;
}

class closing_fd {
public:
    explicit closing_fd(int fd) : fd_(fd) {}
    ~closing_fd() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    closing_fd(const closing_fd&) = delete;
    closing_fd& operator=(const closing_fd&) = delete;
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_;
};

void set_options(int fd, bool is_unix, const listen_options& options) {
    const int on = 1;
    if (is_unix) {
        return;
    }
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (options.reuse_port) {
        ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    // Accepted sockets inherit what follows, which saves system calls for each.
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // What a peer does not read stays with whoever writes, beyond so much: megabytes of it would
    // else lie in the kernel for each connection, and a writer would never learn that nobody reads.
    constexpr int unsent_bytes_max = 64 * 1024;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes_max, sizeof unsent_bytes_max);
}

}  // namespace

result<listener> listener::bind(loop& home, std::string_view where, listen_options options) {
    const auto wanted = address::parse(where);
    sockaddr_storage storage;
    const auto size = wanted ? wanted->to(storage) : 0;
    if (size == 0) {
        return error(errc::internal, {},
                     fmt::format("cannot listen on {}: write 127.0.0.1:8080, [::1]:8080 or "
                                 "unix:/path (at most 107 bytes)",
                                 where));
    }
    const bool is_unix = wanted->family == address::family_type::unix_path;
    closing_fd fd(::socket(wanted->socket_family(),
                           SOCK_STREAM | SOCK_CLOEXEC | home.io().socket_flags(), 0));
    if (fd.get() < 0) {
        return cannot_listen(where, "socket", errno);
    }
    set_options(fd.get(), is_unix, options);
    const auto* at = reinterpret_cast<const sockaddr*>(&storage);
    int bound = ::bind(fd.get(), at, size);
    if (bound != 0 && errno == EADDRINUSE && is_unix && is_stale(storage, size)) {
        ::unlink(wanted->path.c_str());
        bound = ::bind(fd.get(), at, size);
    }
    if (bound != 0) {
        return cannot_listen(where, "bind", errno);
    }
    if (::listen(fd.get(), options.backlog) != 0) {
        return cannot_listen(where, "listen", errno);
    }
    auto local = address::local_of(fd.get());
    return listener(home.io().make_listener(fd.release(), std::move(local), is_unix));
}

listener::listener(std::shared_ptr<detail::listener_state> state) : state_(std::move(state)) {}

listener& listener::operator=(listener&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}

listener::~listener() {
    if (state_) {
        state_->close();
    }
}

awaitable<boost::system::result<stream>> listener::accept() {
    const auto state = state_;
    const auto fd = co_await asio::async_initiate<const asio::use_awaitable_t<executor>&,
                                                  void(boost::system::result<int>)>(
        detail::start_accept{}, use_awaitable, state);
    if (!fd) {
        co_return fd.error();
    }
    co_return stream::accepted(state->home(), *fd);
}

const address& listener::local() const noexcept {
    return state_->local();
}

void listener::close() noexcept {
    state_->close();
}

}  // namespace insula::runtime
