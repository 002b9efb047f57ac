#pragma once

#include "insula/runtime/address.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/detail/stream_state.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/system/result.hpp>

#include <cstddef>
#include <span>
#include <utility>

namespace insula::runtime {

// A connected stream socket of one loop (TCP with TCP_NODELAY, or Unix). Meets Beast's and Asio's
// AsyncStream.
//
// Waits: at most one read and one write pending at a time (asserted); they may overlap each other.
// A handler is never called from within the function that started it. Buffers must live until the
// operation ends. Receiving: while the stream is open the kernel receives into the loop's buffers
// and the stream holds up to loop_options::stream_queue_bytes_max for readers to come, then pauses;
// so a read that finds data costs a copy, and a cancelled read loses nothing. Errors: eof (peer
// closed its side), timed_out (expires_at), operation_aborted (cancellation, close()), else the
// kernel's (connection_reset, broken_pipe, ...). A write that ended in an error may have sent a
// part. Destruction closes in good order: pending operations end with operation_aborted, and the
// descriptor is closed when the kernel has let go of it (until then its number is not reused).
class stream {
public:
    using executor_type = executor;

    stream() noexcept = default;  // not connected; only assignment and destruction are allowed
    stream(stream&&) noexcept = default;
    stream& operator=(stream&& other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~stream() = default;

    // Takes over a connected, blocking-mode or non-blocking socket.
    static stream adopt(loop& home, int fd);

    // Errors: timed_out, operation_aborted, what connect(2) says. Ends at the deadline at the
    // latest.
    static awaitable<boost::system::result<stream>> connect(loop& home, address to, deadline until);

    executor get_executor() const noexcept { return state_->home().get_executor(); }
    bool is_open() const noexcept { return state_ && state_->is_open(); }

    // Pending and all following reads and writes end with timed_out at this time; never() takes the
    // limit away. Moving it later costs no timer operation, so it can be set for every request.
    void expires_at(deadline until) noexcept { state_->expires_at(until); }

    template <class MutableBufferSequence,
              class Token = asio::default_completion_token_t<executor_type>>
    auto async_read_some(const MutableBufferSequence& buffers, Token&& token = Token{}) {
        return asio::async_initiate<Token, void(error_code, std::size_t)>(detail::start_read{},
                                                                          token, state_, buffers);
    }

    // Sends up to detail::io_vector::max buffers in one call.
    template <class ConstBufferSequence,
              class Token = asio::default_completion_token_t<executor_type>>
    auto async_write_some(const ConstBufferSequence& buffers, Token&& token = Token{}) {
        return asio::async_initiate<Token, void(error_code, std::size_t)>(
            detail::start_write{}, token, state_, buffers, false);
    }

    // One coroutine frame and no exception for the usual path; the same rules as above.
    awaitable<boost::system::result<std::size_t>> read_some(asio::mutable_buffer buffer);
    // Sends everything; the span and what it points to must live until then. Total bytes, or the
    // error.
    awaitable<boost::system::result<std::size_t>> write(
        std::span<const asio::const_buffer> buffers);
    awaitable<boost::system::result<std::size_t>> write(asio::const_buffer buffer);

    // Bytes received and not yet read.
    std::size_t available() const noexcept { return state_->available(); }

    // Ends pending reads and writes with operation_aborted; the stream stays usable (an interrupted
    // write has sent a part: close it).
    void cancel() noexcept { state_->cancel(); }

    // TCP FIN after what was written. Errors are of no interest to anybody and are dropped.
    void shutdown_write() noexcept { state_->shutdown_write(); }

    // Cancels, waits until the kernel has let go, closes. Ends as soon as the kernel answers;
    // ignores cancellation. Nothing but destruction and is_open() afterwards.
    awaitable<void> close();

    address remote_endpoint() const { return address::remote_of(state_->native_handle()); }
    address local_endpoint() const { return address::local_of(state_->native_handle()); }
    int native_handle() const noexcept { return state_->native_handle(); }

private:
    friend class listener;
    // Of a listener: TCP_NODELAY is inherited.
    static stream accepted(loop& home, int fd);

    explicit stream(detail::stream_ref state) noexcept : state_(std::move(state)) {}
    static awaitable<boost::system::result<std::size_t>> write_long(
        detail::stream_ref state, std::span<const asio::const_buffer> buffers);

    detail::stream_ref state_;
};

}  // namespace insula::runtime
