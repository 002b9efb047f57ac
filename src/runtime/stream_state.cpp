#include "insula/runtime/detail/stream_state.hpp"

#include <boost/asio/error.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace insula::runtime::detail {

namespace {

// A queue that grew beyond this gives its memory back when it is empty: idle connections must be
// small.
constexpr std::size_t queue_bytes_kept = 16 * 1024;

struct queue_scope {
    explicit queue_scope(bool& flag) : flag_(flag), before_(std::exchange(flag, true)) {}
    ~queue_scope() { flag_ = before_; }
    bool& flag_;
    bool before_;
};

}  // namespace

void io_vector::consume(std::size_t n) noexcept {
    assert(n <= bytes);
    bytes -= n;
    std::size_t gone = 0;
    while (n > 0 && n >= parts[gone].iov_len) {
        n -= parts[gone++].iov_len;
    }
    if (gone > 0) {
        std::move(parts.begin() + static_cast<std::ptrdiff_t>(gone),
                  parts.begin() + static_cast<std::ptrdiff_t>(count), parts.begin());
        count -= gone;
    }
    if (n > 0) {
        parts[0].iov_base = static_cast<char*>(parts[0].iov_base) + n;
        parts[0].iov_len -= n;
    }
}

std::size_t io_vector::fill(const char* data, std::size_t size) noexcept {
    std::size_t done = 0;
    for (std::size_t i = 0; i < count && done < size; ++i) {
        const auto n = std::min(parts[i].iov_len, size - done);
        std::memcpy(parts[i].iov_base, data + done, n);
        done += n;
    }
    return done;
}

stream_state::stream_state(loop& home, int fd) : home_(home), fd_(fd) {
    home.enlist(*this);
}

stream_state::~stream_state() {
    assert(users_ == 0 && pins_ == 0 && fd_ < 0);
    home_.timers().remove(*this);
}

void stream_state::expect_no_read() const {
    assert(!on_read_ && "one read of a stream at a time");
}

void stream_state::expect_no_write() const {
    assert(!on_write_ && "one write of a stream at a time");
}

void stream_state::start_read() {
    const queue_scope queueing(queueing_);
    if (closing_) {
        settle_read(asio::error::operation_aborted, 0);
    } else if (read_into_.bytes == 0) {
        settle_read({}, 0);
    } else if (out_of_time()) {
        settle_read(asio::error::timed_out, 0);
    } else if (available() > 0) {
        take_queued();
    } else if (receive_end_) {
        settle_read(receive_end_, 0);
    } else {
        want_bytes();
        if (read_waits()) {
            schedule();
        }
    }
}

void stream_state::start_write(bool everything) {
    const queue_scope queueing(queueing_);
    write_everything_ = everything;
    write_bytes_ = 0;
    write_stop_ = {};
    if (closing_) {
        settle_write(asio::error::operation_aborted, 0);
    } else if (write_from_.bytes == 0) {
        settle_write({}, 0);
    } else if (out_of_time()) {
        settle_write(asio::error::timed_out, 0);
    } else {
        send();
        if (write_waits()) {
            schedule();
        }
    }
}

void stream_state::start_connect(const sockaddr_storage& to, unsigned size) {
    const queue_scope queueing(queueing_);
    write_everything_ = false;
    write_bytes_ = 0;
    write_stop_ = {};
    write_from_ = {};
    if (closing_) {
        settle_write(asio::error::operation_aborted, 0);
    } else if (out_of_time()) {
        settle_write(asio::error::timed_out, 0);
    } else {
        begin_connect(to, size);
        if (write_waits()) {
            schedule();
        }
    }
}

void stream_state::take_queued() {
    const auto n = read_into_.fill(received_.data() + received_head_, available());
    received_head_ += n;
    if (available() == 0) {
        received_head_ = 0;
        if (received_.capacity() > queue_bytes_kept) {
            received_ = {};
        } else {
            received_.clear();
        }
    }
    settle_read({}, n);
    queue_drained();
}

std::size_t stream_state::absorb(const char* data, std::size_t size) {
    const auto given = read_waits() ? read_into_.fill(data, size) : 0;
    if (given < size && !closing_) {
        received_.insert(received_.end(), data + given, data + size);
    }
    return given;
}

void stream_state::receive_ended(error_code why) {
    receive_end_ = why;
    if (read_waits()) {
        settle_read(why, 0);
    }
}

void stream_state::sent(std::size_t bytes) {
    write_bytes_ += bytes;
    if (bytes > 0) {
        write_from_.consume(bytes);
    }
    if (!write_everything_ || write_from_.bytes == 0) {
        settle_write({}, write_bytes_);
    } else if (write_stop_) {
        settle_write(write_stop_, write_bytes_);
    } else {
        send();
    }
}

void stream_state::send_failed(error_code why) {
    if (write_stop_ && why == asio::error::operation_aborted) {
        why = write_stop_;
    }
    settle_write(why, write_bytes_);
}

void stream_state::settle_read(error_code why, std::size_t bytes) {
    assert(read_waits());
    read_why_ = why;
    read_bytes_ = bytes;
    read_settled_ = true;
    pin();
    if (must_queue()) {
        home_.push(read_delivery_);
    } else {
        deliver(true);
    }
}

void stream_state::settle_write(error_code why, std::size_t bytes) {
    assert(write_waits());
    write_why_ = why;
    write_bytes_ = bytes;
    write_settled_ = true;
    pin();
    if (must_queue()) {
        home_.push(write_delivery_);
    } else {
        deliver(false);
    }
}

void stream_state::deliver(bool reading) {
    const std::unique_ptr<stream_state, void (*)(stream_state*)> pinned(
        this, [](stream_state* self) { self->unpin(); });
    if (reading) {
        read_settled_ = false;
        on_read_(read_why_, read_bytes_);
    } else {
        write_settled_ = false;
        on_write_(write_why_, write_bytes_);
    }
}

void stream_state::drop_delivery(bool reading) noexcept {
    (reading ? read_settled_ : write_settled_) = false;
    (reading ? on_read_ : on_write_).reset();
    unpin();
}

void stream_state::fail_read(error_code why) noexcept {
    const queue_scope queueing(queueing_);
    if (read_waits()) {
        settle_read(why, 0);
    }
}

void stream_state::fail_write(error_code why) noexcept {
    const queue_scope queueing(queueing_);
    if (write_waits() && !write_stop_) {
        write_stop_ = why;
        interrupt_send();
    }
}

bool stream_state::out_of_time() const noexcept {
    return !deadline_.is_never() && deadline_.at <= home_.now();
}

// One heap entry for a stream, moved only to an earlier time: a deadline that is pushed back for
// every request is noticed when the entry fires.
void stream_state::schedule() noexcept {
    if (!deadline_.is_never() && (!scheduled() || due() > deadline_.at)) {
        home_.timers().set(*this, deadline_.at);
    }
}

void stream_state::expires_at(deadline until) noexcept {
    deadline_ = until;
    if (!closing_ && (read_waits() || write_waits())) {
        schedule();
    }
}

void stream_state::expire() {
    if (!read_waits() && !write_waits()) {
        return;
    }
    if (!out_of_time()) {
        schedule();
        return;
    }
    fail_read(asio::error::timed_out);
    fail_write(asio::error::timed_out);
}

void stream_state::cancel() noexcept {
    fail_read(asio::error::operation_aborted);
    fail_write(asio::error::operation_aborted);
}

void stream_state::shutdown_write() noexcept {
    if (!closing_) {
        ::shutdown(fd_, SHUT_WR);
    }
}

void stream_state::close() noexcept {
    if (closing_) {
        return;
    }
    closing_ = true;
    home_.timers().remove(*this);
    cancel();
    const queue_scope queueing(queueing_);
    forget();
}

void stream_state::forgotten() noexcept {
    assert(closing_ && fd_ >= 0);
    ::close(fd_);
    fd_ = -1;
    delist();
    received_ = {};
    closers_.finish_all(true);
}

void stream_state::drop_user() noexcept {
    assert(users_ > 0);
    if (--users_ == 0) {
        pin();
        close();
        unpin();
    }
}

void stream_state::unpin() noexcept {
    assert(pins_ > 0);
    if (--pins_ == 0 && users_ == 0) {
        delete this;
    }
}

// The kernel holds nothing any more (reactor::drain): handlers and descriptor can go.
void stream_state::abandon() noexcept {
    pin();
    home_.timers().remove(*this);
    closing_ = true;
    read_settled_ = write_settled_ = false;
    on_read_.reset();
    on_write_.reset();
    if (fd_ >= 0) {
        forget();
    }
    unpin();
}

}  // namespace insula::runtime::detail
