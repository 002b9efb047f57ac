#pragma once

#include "runtime/uring/ring.hpp"

#include "insula/runtime/detail/stream_state.hpp"

#include <sys/socket.h>

#include <memory>

namespace insula::runtime::detail {

// A stream on the ring. Receiving: one multishot request that stays until the peer closes, the
// queue is full or the loop's buffers run out; the kernel never holds a reader's memory, so a
// cancelled read needs no kernel at all. Sending: at once if the socket takes it, else one request
// at a time.
class ring_stream final : public stream_state {
public:
    ring_stream(loop& home, ring& owner, int fd) : stream_state(home, fd), ring_(owner) {}

private:
    struct receive_op final : ring_op {
        explicit receive_op(ring_stream& s) : self(s) {}
        void complete(int outcome, unsigned flags) override { self.received(outcome, flags); }
        ring_stream& self;
    };
    struct send_op final : ring_op {
        explicit send_op(ring_stream& s) : self(s) {}
        void complete(int outcome, unsigned) override { self.send_completed(outcome); }
        ring_stream& self;
    };

    void want_bytes() override;
    void send() override;
    void begin_connect(const sockaddr_storage& to, unsigned size) override;
    void interrupt_send() noexcept override;
    void forget() noexcept override;
    void queue_drained() noexcept override;

    void arm();
    void stop_receiving() noexcept;
    bool may_receive() const noexcept;
    void received(int outcome, unsigned flags);
    void send_completed(int outcome);
    void finish_send(int outcome);
    void forget_if_idle() noexcept;

    ring& ring_;
    receive_op receive_{*this};
    send_op send_{*this};
    bool armed_ = false;    // the multishot receive is with the kernel
    bool pausing_ = false;  // and was asked to end
    bool sending_ = false;  // send_ is with the kernel
    bool connecting_ = false;
    msghdr message_{};
    std::unique_ptr<sockaddr_storage> peer_;  // read by the kernel while connecting
};

}  // namespace insula::runtime::detail
