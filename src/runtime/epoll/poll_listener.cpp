#include "runtime/epoll/poller.hpp"

#include "insula/runtime/detail/listener_state.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace insula::runtime::detail {

namespace {

class poll_listener final : public listener_state, private poll_target {
public:
    poll_listener(loop& home, poller& owner, int fd, address where, bool unlink)
        : listener_state(home, fd, std::move(where), unlink), poller_(owner) {}

private:
    void want_connections() override {
        if (!enrolled_) {
            // Level semantics are kept by `more_`: an edge sets it, only EAGAIN clears it.
            if (const int reason = poller_.add(fd_, EPOLLIN | EPOLLET, *this); reason != 0) {
                accept_failed(EBADF);
                return;
            }
            enrolled_ = true;
        }
        while (more_ && wanted()) {
            const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                accepted(fd);
            } else if (errno == EAGAIN) {
                more_ = false;
            } else if (errno != EINTR && !accept_failed(errno)) {
                return;
            }
        }
    }

    void forget() noexcept override {
        if (enrolled_) {
            poller_.remove(fd_, *this);
            enrolled_ = false;
        }
        forgotten();
    }

    void ready(std::uint32_t) override {
        const auto alive = shared_from_this();
        more_ = true;
        if (wanted()) {
            want_connections();
        }
    }

    poller& poller_;
    bool enrolled_ = false;
    bool more_ = true;
};

}  // namespace

std::shared_ptr<listener_state> poller::make_listener(int fd, address where, bool unlink) {
    return std::make_shared<poll_listener>(home_, *this, fd, std::move(where), unlink);
}

}  // namespace insula::runtime::detail
