#pragma once

#include "insula/runtime/detail/completion.hpp"
#include "insula/runtime/detail/loop_object.hpp"
#include "insula/runtime/detail/timer_heap.hpp"
#include "insula/runtime/detail/wait_op.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <boost/asio/buffer.hpp>

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

struct sockaddr_storage;

namespace insula::runtime::detail {

// The buffers of one read or write, as the kernel wants them.
struct io_vector {
    static constexpr std::size_t max = 16;
    std::array<iovec, max> parts;
    std::size_t count = 0;
    std::size_t bytes = 0;

    void add(void* data, std::size_t size) noexcept {
        if (size != 0 && count < max) {
            parts[count++] = {data, size};
            bytes += size;
        }
    }
    // Drops the first n bytes.
    void consume(std::size_t n) noexcept;
    // Copies into the parts; how much fitted.
    std::size_t fill(const char* data, std::size_t size) noexcept;
};

// Empty buffers are skipped, those beyond io_vector::max are left for the next call ("some").
template <class Buffer, class Sequence>
void gather(const Sequence& buffers, io_vector& out) {
    out.count = out.bytes = 0;
    const auto end = asio::buffer_sequence_end(buffers);
    for (auto at = asio::buffer_sequence_begin(buffers); at != end; ++at) {
        const Buffer part(*at);
        out.add(const_cast<void*>(static_cast<const void*>(part.data())), part.size());
    }
}

// What a stream is underneath. Lives while somebody holds a stream_ref or anything is pinned: a
// request the kernel has not answered, a handler that is queued. When the last stream_ref goes it
// closes itself. This class keeps handlers, received bytes and the deadline; the backends below it
// move bytes.
class stream_state : public loop_object, private timer_node {
public:
    stream_state(loop& home, int fd);
    virtual ~stream_state();  // by unpin() only

    loop& home() const noexcept { return home_; }
    int native_handle() const noexcept { return fd_; }
    bool is_open() const noexcept { return !closing_; }
    std::size_t available() const noexcept { return received_.size() - received_head_; }

    template <class Handler, class Buffers>
    void read(const Buffers& buffers, Handler&& handler) {
        expect_no_read();
        on_read_.emplace(home_.get_executor(), std::forward<Handler>(handler),
                         cancel_hook{this, [](void* self) {
                                         static_cast<stream_state*>(self)->fail_read(
                                             asio::error::operation_aborted);
                                     }});
        gather<asio::mutable_buffer>(buffers, read_into_);
        start_read();
    }
    template <class Handler, class Buffers>
    void write(const Buffers& buffers, bool everything, Handler&& handler) {
        expect_no_write();
        on_write_.emplace(home_.get_executor(), std::forward<Handler>(handler), write_hook());
        gather<asio::const_buffer>(buffers, write_from_);
        start_write(everything);
    }
    template <class Handler>
    void connect(const sockaddr_storage& to, unsigned size, Handler&& handler) {
        expect_no_write();
        on_write_.emplace(home_.get_executor(), std::forward<Handler>(handler), write_hook());
        start_connect(to, size);
    }

    void expires_at(deadline until) noexcept;
    void cancel() noexcept;
    void shutdown_write() noexcept;
    void close() noexcept;
    bool is_closed() const noexcept { return fd_ < 0; }
    wait_op::list& closers() noexcept { return closers_; }

    void add_user() noexcept { ++users_; }
    void drop_user() noexcept;

protected:
    // --- for the backend ---
    // A read waits and nothing is queued: see that bytes come, by absorb() and settle_read() or by
    // receive_ended(), now or later.
    virtual void want_bytes() = 0;
    // Start (or go on) sending write_from_; answer by sent() or send_failed().
    virtual void send() = 0;
    virtual void begin_connect(const sockaddr_storage& to, unsigned size) = 0;
    // Give the write up; answer by send_failed(operation_aborted) unless it completes after all.
    virtual void interrupt_send() noexcept = 0;
    // Tell the kernel to forget the descriptor; call forgotten() when it has.
    virtual void forget() noexcept = 0;
    // Bytes were taken out of the queue: receiving may go on.
    virtual void queue_drained() noexcept {}

    // Copies received bytes to the waiting reader (answers how many it got; settle_read() must
    // follow) and the rest to the queue.
    std::size_t absorb(const char* data, std::size_t size);
    // The end of receiving (eof or an error), for this and all later reads.
    void receive_ended(error_code why);
    void sent(std::size_t bytes);
    void send_failed(error_code why);
    void forgotten() noexcept;

    bool read_waits() const noexcept { return on_read_ && !read_settled_; }
    bool write_waits() const noexcept { return on_write_ && !write_settled_; }
    bool closing() const noexcept { return closing_; }
    bool ended() const noexcept { return static_cast<bool>(receive_end_); }
    // Decide the operation; the handler runs now (from the loop) or is queued (from an initiating
    // function).
    void settle_read(error_code why, std::size_t bytes);
    void settle_write(error_code why, std::size_t bytes);

    void pin() noexcept { ++pins_; }
    void unpin() noexcept;

    loop& home_;
    int fd_;
    io_vector read_into_;
    io_vector write_from_;

private:
    // A decided operation on its way through the loop's queue to its handler.
    struct delivery final : work_item {
        explicit delivery(stream_state& s, bool r) : state(s), reading(r) {}
        void run() override { state.deliver(reading); }
        void drop() noexcept override { state.drop_delivery(reading); }
        stream_state& state;
        bool reading;
    };

    cancel_hook write_hook() noexcept {
        return {this, [](void* self) {
                    static_cast<stream_state*>(self)->fail_write(asio::error::operation_aborted);
                }};
    }
    void expect_no_read() const;
    void expect_no_write() const;
    void start_read();
    void start_write(bool everything);
    void start_connect(const sockaddr_storage& to, unsigned size);
    void fail_read(error_code why) noexcept;
    void fail_write(error_code why) noexcept;
    void take_queued();
    void schedule() noexcept;
    bool out_of_time() const noexcept;
    bool must_queue() const noexcept { return queueing_ || home_.stopping(); }
    void deliver(bool reading);
    void drop_delivery(bool reading) noexcept;
    void expire() override;
    void abandon() noexcept override;

    unsigned users_ = 0;
    unsigned pins_ = 0;
    deadline deadline_;

    completion<error_code, std::size_t> on_read_;
    completion<error_code, std::size_t> on_write_;
    delivery read_delivery_{*this, true};
    delivery write_delivery_{*this, false};
    error_code read_why_;
    error_code write_why_;
    error_code write_stop_;  // why an interrupted write was interrupted
    error_code receive_end_;
    std::size_t read_bytes_ = 0;
    std::size_t write_bytes_ = 0;
    bool read_settled_ = false;
    bool write_settled_ = false;
    bool write_everything_ = false;
    bool queueing_ = false;  // inside a user's call: handlers must be queued, not run
    bool closing_ = false;

    std::vector<char> received_;  // bytes nobody has read yet, from received_head_ on
    std::size_t received_head_ = 0;
    wait_op::list closers_;
};

// A user's share of a stream_state; the loop's thread only.
class stream_ref {
public:
    stream_ref() noexcept = default;
    explicit stream_ref(stream_state* state) noexcept : state_(state) {
        if (state_ != nullptr) {
            state_->add_user();
        }
    }
    stream_ref(const stream_ref& other) noexcept : stream_ref(other.state_) {}
    stream_ref(stream_ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    stream_ref& operator=(stream_ref other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~stream_ref() {
        if (state_ != nullptr) {
            state_->drop_user();
        }
    }
    stream_state* operator->() const noexcept { return state_; }
    stream_state* get() const noexcept { return state_; }
    explicit operator bool() const noexcept { return state_ != nullptr; }

private:
    stream_state* state_ = nullptr;
};

struct start_read {
    template <class Handler, class Buffers>
    void operator()(Handler&& handler, const stream_ref& state, const Buffers& buffers) const {
        state->read(buffers, std::forward<Handler>(handler));
    }
};
struct start_write {
    template <class Handler, class Buffers>
    void operator()(Handler&& handler, const stream_ref& state, const Buffers& buffers,
                    bool everything) const {
        state->write(buffers, everything, std::forward<Handler>(handler));
    }
};

}  // namespace insula::runtime::detail
