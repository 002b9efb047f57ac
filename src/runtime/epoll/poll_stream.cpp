#include "runtime/epoll/poller.hpp"

#include "insula/runtime/detail/stream_state.hpp"

#include <boost/asio/error.hpp>

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace insula::runtime::detail {

namespace {

// Tries the system call first and waits for an edge only after EAGAIN (or after a short read, which
// on a stream socket means empty, epoll(7)). Registered once, for both directions, when it first
// has to wait.
class poll_stream final : public stream_state, private poll_target {
public:
    poll_stream(loop& home, poller& owner, int fd) : stream_state(home, fd), poller_(owner) {}

private:
    void want_bytes() override {
        if (readable_) {
            receive();
        } else {
            enrol();
        }
    }

    void receive() {
        msghdr message{};
        message.msg_iov = read_into_.parts.data();
        message.msg_iovlen = read_into_.count;
        ssize_t done = 0;
        do {
            done = ::recvmsg(fd_, &message, MSG_DONTWAIT);
        } while (done < 0 && errno == EINTR);
        if (done > 0) {
            readable_ = ended_ || static_cast<std::size_t>(done) == read_into_.bytes;
            settle_read({}, static_cast<std::size_t>(done));
        } else if (done == 0) {
            receive_ended(asio::error::eof);
        } else if (errno == EAGAIN) {
            readable_ = false;
            enrol();
        } else {
            receive_ended(error_code(errno, boost::system::system_category()));
        }
    }

    void send() override {
        if (!writable_) {
            enrol();
            return;
        }
        msghdr message{};
        message.msg_iov = write_from_.parts.data();
        message.msg_iovlen = write_from_.count;
        ssize_t done = 0;
        do {
            done = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (done < 0 && errno == EINTR);
        if (done >= 0) {
            sent(static_cast<std::size_t>(done));
        } else if (errno == EAGAIN) {
            writable_ = false;
            enrol();
        } else {
            send_failed(error_code(errno, boost::system::system_category()));
        }
    }

    void begin_connect(const sockaddr_storage& to, unsigned size) override {
        if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), size) == 0) {
            sent(0);
        } else if (errno == EINPROGRESS) {
            connecting_ = true;
            enrol();
        } else {
            send_failed(error_code(errno, boost::system::system_category()));
        }
    }

    void connected() {
        connecting_ = false;
        int reason = 0;
        socklen_t size = sizeof reason;
        ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &reason, &size);
        if (reason == 0) {
            sent(0);
        } else {
            send_failed(error_code(reason, boost::system::system_category()));
        }
    }

    // The kernel never has the writer's memory: giving up is immediate.
    void interrupt_send() noexcept override {
        connecting_ = false;
        send_failed(asio::error::operation_aborted);
    }

    void forget() noexcept override {
        if (enrolled_) {
            poller_.remove(fd_, *this);
        }
        forgotten();
    }

    // What is already true at this moment is reported as the first edge, so nothing is missed.
    void enrol() {
        if (enrolled_) {
            return;
        }
        const int reason = poller_.add(fd_, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this);
        if (reason == 0) {
            enrolled_ = true;
            return;
        }
        const error_code why(reason, boost::system::system_category());
        if (read_waits()) {
            receive_ended(why);
        }
        if (write_waits()) {
            send_failed(why);
        }
    }

    void ready(std::uint32_t events) override {
        constexpr std::uint32_t broken = EPOLLHUP | EPOLLERR;
        ended_ = ended_ || (events & (broken | EPOLLRDHUP)) != 0;
        readable_ = readable_ || (events & (broken | EPOLLRDHUP | EPOLLIN)) != 0;
        writable_ = writable_ || (events & (broken | EPOLLOUT)) != 0;
        pin();
        const struct unpin_at_end {
            poll_stream& self;
            ~unpin_at_end() { self.unpin(); }
        } pinned{*this};
        if (write_waits() && writable_) {
            if (connecting_) {
                if ((events & (broken | EPOLLOUT)) != 0) {
                    connected();
                }
            } else {
                send();
            }
        }
        if (read_waits() && readable_) {
            receive();
        }
    }

    poller& poller_;
    bool enrolled_ = false;
    bool readable_ = true;  // as far as we know
    bool writable_ = true;
    bool ended_ = false;  // no further edge will come for reading: always try
    bool connecting_ = false;
};

}  // namespace

stream_state* poller::make_stream(int fd) {
    return new poll_stream(home_, *this, fd);
}

}  // namespace insula::runtime::detail
