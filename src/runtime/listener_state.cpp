#include "insula/runtime/detail/listener_state.hpp"

#include "insula/observe/log.hpp"

#include <boost/asio/error.hpp>

#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <utility>

namespace insula::runtime::detail {

namespace {

// Connections are closed by others' work, so a little patience is all that helps.
constexpr auto pause_after_exhaustion = std::chrono::milliseconds(100);

}  // namespace

listener_state::listener_state(loop& home, int fd, address where, bool unlink)
    : home_(home), fd_(fd), where_(std::move(where)), unlink_(unlink) {
    home.enlist(*this);
}

listener_state::~listener_state() {
    home_.timers().remove(*this);
}

void listener_state::expect_no_accept() const {
    assert(!on_accept_ && "one accept of a listener at a time");
}

void listener_state::start_accept() {
    pending_ = shared_from_this();
    if (closing_) {
        settle(error_code(asio::error::operation_aborted));
        return;
    }
    if (!queue_.empty()) {
        const int fd = queue_.front();
        queue_.pop_front();
        settle(fd);
    }
    if (wanted()) {
        want_connections();
    }
}

void listener_state::accepted(int fd) {
    exhausted_ = false;
    if (closing_) {
        ::close(fd);
    } else if (on_accept_ && !settled_) {
        settle(fd);
    } else {
        queue_.push_back(fd);
    }
}

bool listener_state::accept_failed(int reason) {
    switch (reason) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            // Once for each time it begins, not for every attempt of a long shortage.
            if (!std::exchange(exhausted_, true)) {
                observe::warn(
                    "accepting paused: no descriptor or memory left",
                    {{"address", where_.str()},
                     {"reason", error_code(reason, boost::system::system_category()).message()},
                     {"pause_ms", pause_after_exhaustion.count()}});
            }
            home_.timers().set(*this, home_.now() + pause_after_exhaustion);
            return false;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
            // Not a listening socket: a bug, and no use to try again.
            if (on_accept_ && !settled_) {
                settle(error_code(reason, boost::system::system_category()));
            }
            return false;
        default:
            // The connection was gone before it was accepted (ECONNABORTED, EPROTO and the like,
            // accept(2)).
            return true;
    }
}

void listener_state::expire() {
    if (wanted()) {
        want_connections();
    }
}

void listener_state::fail(error_code why) noexcept {
    if (on_accept_ && !settled_) {
        settle(why);
    }
}

// Always through the queue: one place, and a handler never runs from within accept().
void listener_state::settle(boost::system::result<int> outcome) noexcept {
    outcome_ = outcome;
    settled_ = true;
    home_.push(*this);
}

void listener_state::run() {
    const auto alive = std::move(pending_);
    settled_ = false;
    on_accept_(outcome_);
}

void listener_state::drop() noexcept {
    const auto alive = std::move(pending_);
    settled_ = false;
    if (outcome_) {
        ::close(*outcome_);
    }
    on_accept_.reset();
}

void listener_state::close() noexcept {
    if (closing_) {
        return;
    }
    closing_ = true;
    home_.timers().remove(*this);
    if (unlink_) {
        ::unlink(where_.path.c_str());
    }
    for (const int fd : queue_) {
        ::close(fd);
    }
    queue_.clear();
    fail(asio::error::operation_aborted);
    keep_ = shared_from_this();
    forget();
}

void listener_state::forgotten() noexcept {
    const auto alive = std::move(keep_);
    ::close(fd_);
    fd_ = -1;
    delist();
}

void listener_state::abandon() noexcept {
    const auto alive = shared_from_this();
    close();
    on_accept_.reset();
    pending_.reset();
}

}  // namespace insula::runtime::detail
