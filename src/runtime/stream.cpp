#include "insula/runtime/stream.hpp"

#include "runtime/reactor.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/error.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

namespace insula::runtime {

namespace {

using outcome = boost::system::result<std::size_t>;

error_code last_error() {
    return {errno, boost::system::system_category()};
}

// Turns a handler of result<size> into one of (error_code, size); its associations stay visible.
template <class Handler>
struct result_handler {
    using executor_type = asio::associated_executor_t<Handler, executor>;
    using cancellation_slot_type = asio::associated_cancellation_slot_t<Handler>;

    executor_type get_executor() const noexcept {
        return asio::get_associated_executor(handler, home);
    }
    cancellation_slot_type get_cancellation_slot() const noexcept {
        return asio::get_associated_cancellation_slot(handler);
    }
    void operator()(error_code failed, std::size_t bytes) {
        std::move(handler)(failed ? outcome(failed) : outcome(bytes));
    }

    Handler handler;
    executor home;
};

template <class Start>
struct start_for_result {
    template <class Handler, class... Args>
    void operator()(Handler&& handler, const detail::stream_ref& state, const Args&... args) const {
        Start{}(result_handler<std::decay_t<Handler>>{std::forward<Handler>(handler),
                                                      state->home().get_executor()},
                state, args...);
    }
};

template <class Start, class... Args>
awaitable<outcome> initiate(const detail::stream_ref& state, const Args&... args) {
    return asio::async_initiate<const asio::use_awaitable_t<executor>&, void(outcome)>(
        start_for_result<Start>{}, use_awaitable, state, args...);
}

struct start_connect {
    template <class Handler>
    void operator()(Handler&& handler, const detail::stream_ref& state, const address& to) const {
        sockaddr_storage storage;
        const auto size = to.to(storage);
        state->connect(storage, size, std::forward<Handler>(handler));
    }
};

}  // namespace

stream stream::adopt(loop& home, int fd) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                 sizeof on);  // fails on Unix sockets: nothing to do
    // The ring answers EAGAIN instead of waiting on a non-blocking descriptor; the other backend
    // never blocks anyway.
    if (const int flags = ::fcntl(fd, F_GETFL); flags >= 0 && (flags & O_NONBLOCK) != 0) {
        ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    return stream(detail::stream_ref(home.io().make_stream(fd)));
}

stream stream::accepted(loop& home, int fd) {
    return stream(detail::stream_ref(home.io().make_stream(fd)));
}

awaitable<boost::system::result<stream>> stream::connect(loop& home, address to, deadline until) {
    assert(home.runs_here());
    sockaddr_storage storage;
    if (to.to(storage) == 0) {
        co_return error_code(asio::error::invalid_argument);
    }
    const int fd =
        ::socket(to.socket_family(), SOCK_STREAM | SOCK_CLOEXEC | home.io().socket_flags(), 0);
    if (fd < 0) {
        co_return last_error();
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    stream connection(detail::stream_ref(home.io().make_stream(fd)));
    connection.expires_at(until);
    const auto connected = co_await initiate<start_connect>(connection.state_, to);
    if (!connected) {
        co_await connection.close();
        co_return connected.error();
    }
    connection.expires_at(deadline::never());
    co_return connection;
}

awaitable<outcome> stream::read_some(asio::mutable_buffer buffer) {
    return initiate<detail::start_read>(state_, buffer);
}

awaitable<outcome> stream::write(asio::const_buffer buffer) {
    return initiate<detail::start_write>(state_, buffer, true);
}

awaitable<outcome> stream::write(std::span<const asio::const_buffer> buffers) {
    if (buffers.size() > detail::io_vector::max) {
        return write_long(state_, buffers);
    }
    return initiate<detail::start_write>(state_, buffers, true);
}

awaitable<outcome> stream::write_long(detail::stream_ref state,
                                      std::span<const asio::const_buffer> buffers) {
    std::size_t total = 0;
    while (!buffers.empty()) {
        const auto now = std::min(buffers.size(), detail::io_vector::max);
        const auto done = co_await initiate<detail::start_write>(state, buffers.first(now), true);
        if (!done) {
            co_return done;
        }
        total += *done;
        buffers = buffers.subspan(now);
    }
    co_return total;
}

awaitable<void> stream::close() {
    const auto state = state_;  // this stream may be destroyed meanwhile
    if (!state) {
        co_return;
    }
    state->close();
    if (!state->is_closed()) {
        co_await asio::async_initiate<const asio::use_awaitable_t<executor>&, void(bool)>(
            detail::start_wait{}, use_awaitable, &state->home(), &state->closers(),
            detail::wait_op::request{.until = deadline::never(), .cancellable = false});
    }
}

}  // namespace insula::runtime
