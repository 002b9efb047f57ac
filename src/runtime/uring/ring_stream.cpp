#include "runtime/uring/ring_stream.hpp"

#include <boost/asio/error.hpp>

#include <sys/socket.h>

#include <cassert>
#include <cerrno>

namespace insula::runtime::detail {

void ring_stream::want_bytes() {
    if (!armed_) {
        arm();
    }
}

void ring_stream::arm() {
    armed_ = true;
    pausing_ = false;
    pin();
    ring_.submit(receive_, [this](io_uring_sqe* entry) {
        io_uring_prep_recv_multishot(entry, fd_, nullptr, 0, 0);
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = ring::buffer_group;
    });
}

void ring_stream::stop_receiving() noexcept {
    if (armed_ && !pausing_) {
        pausing_ = true;
        ring_.cancel(receive_);
    }
}

bool ring_stream::may_receive() const noexcept {
    return !closing() && !ended() && !ring_.draining() &&
           (read_waits() || available() <= home_.options().stream_queue_bytes_max / 2);
}

void ring_stream::queue_drained() noexcept {
    if (!armed_ && may_receive()) {
        arm();
    }
}

void ring_stream::received(int outcome, unsigned flags) {
    pin();
    const struct unpin_at_end {
        ring_stream& self;
        ~unpin_at_end() { self.unpin(); }
    } pinned{*this};
    const bool last = (flags & IORING_CQE_F_MORE) == 0;
    if (last) {
        armed_ = false;
        unpin();
    }
    std::size_t given = 0;
    if (outcome > 0) {
        if (!closing()) {
            given = absorb(ring_.buffer(flags), static_cast<std::size_t>(outcome));
        }
        ring_.give_back(flags);
    } else if (outcome == -ENOBUFS) {
        ++home_.stats().buffers_exhausted;
    }
    const bool over =
        outcome == 0 || (outcome < 0 && outcome != -ENOBUFS && outcome != -ECANCELED &&
                         outcome != -EINTR && outcome != -EAGAIN);
    if (closing()) {
        forget_if_idle();
    } else if (over) {
        receive_ended(outcome == 0 ? error_code(asio::error::eof) : ring_error(outcome));
    } else {
        if (last && may_receive()) {
            arm();
        } else if (available() > home_.options().stream_queue_bytes_max) {
            stop_receiving();
        }
        if (given > 0) {
            settle_read({}, given);
        }
    }
}

void ring_stream::send() {
    if (home_.options().direct_send && !ring_.draining()) {
        message_ = {};
        message_.msg_iov = write_from_.parts.data();
        message_.msg_iovlen = write_from_.count;
        ssize_t done = 0;
        do {
            done = ::sendmsg(fd_, &message_, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (done < 0 && errno == EINTR);
        if (done >= 0) {
            sent(static_cast<std::size_t>(done));
            return;
        }
        if (errno != EAGAIN) {
            send_failed(error_code(errno, boost::system::system_category()));
            return;
        }
    }
    sending_ = true;
    connecting_ = false;
    pin();
    ring_.submit(send_, [this](io_uring_sqe* entry) {
        if (write_from_.count == 1) {
            io_uring_prep_send(entry, fd_, write_from_.parts[0].iov_base,
                               write_from_.parts[0].iov_len, MSG_NOSIGNAL);
        } else {
            message_ = {};
            message_.msg_iov = write_from_.parts.data();
            message_.msg_iovlen = write_from_.count;
            io_uring_prep_sendmsg(entry, fd_, &message_, MSG_NOSIGNAL);
        }
    });
}

void ring_stream::begin_connect(const sockaddr_storage& to, unsigned size) {
    peer_ = std::make_unique<sockaddr_storage>(to);
    sending_ = true;
    connecting_ = true;
    pin();
    ring_.submit(send_, [this, size](io_uring_sqe* entry) {
        io_uring_prep_connect(entry, fd_, reinterpret_cast<const sockaddr*>(peer_.get()), size);
    });
}

void ring_stream::interrupt_send() noexcept {
    assert(sending_);
    ring_.cancel(send_);
}

void ring_stream::send_completed(int outcome) {
    const struct unpin_at_end {
        ring_stream& self;
        ~unpin_at_end() { self.unpin(); }
    } pinned{*this};
    sending_ = false;
    // First the descriptor, then the handler: when it runs, nothing of the operation is left.
    forget_if_idle();
    finish_send(outcome);
}

void ring_stream::finish_send(int outcome) {
    if (!write_waits()) {
        return;  // the handler was destroyed with the loop
    }
    if (outcome >= 0) {
        peer_.reset();
        sent(connecting_ ? 0 : static_cast<std::size_t>(outcome));
    } else if (outcome == -ECANCELED) {
        send_failed(asio::error::operation_aborted);
    } else if ((outcome == -EINTR || outcome == -EAGAIN) && !connecting_ && !closing()) {
        send();
    } else {
        send_failed(ring_error(outcome));
    }
}

void ring_stream::forget() noexcept {
    stop_receiving();
    // A pending send was interrupted by close().
    forget_if_idle();
}

// The rule of this module: the number is given back only when no request of ours can still act on
// it.
void ring_stream::forget_if_idle() noexcept {
    if (closing() && !is_closed() && !armed_ && !sending_) {
        forgotten();
    }
}

stream_state* ring::make_stream(int fd) {
    return new ring_stream(home_, *this, fd);
}

}  // namespace insula::runtime::detail
