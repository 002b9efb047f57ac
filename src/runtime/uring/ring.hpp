#pragma once

#include "runtime/reactor.hpp"

#include "insula/runtime/loop.hpp"

#include <boost/system/error_code.hpp>

#include <liburing.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace insula::runtime::detail {

// One request of the ring, embedded in what it belongs to, which lives until the last completion
// was seen.
class ring_op {
public:
    // flags: IORING_CQE_F_*. The last completion of a request is the one without IORING_CQE_F_MORE.
    virtual void complete(int outcome, unsigned flags) = 0;

protected:
    ~ring_op() = default;
};

// Why there is no ring here; `kind` is the errno of the call that failed, 0 when something is
// missing in it.
struct ring_refusal {
    int reason = 0;
    const char* what = "";
};

// One io_uring: its queues and the receive buffers it lends to the kernel. Nothing of it is shared;
// the thread that calls start() is the only one that may enter.
class ring final : public reactor {
public:
    explicit ring(loop& home);
    ~ring() override;
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;

    // Makes and drops a small ring and receives a byte through every feature that is relied on.
    static std::optional<ring_refusal> probe();

    void start() override;
    void enter(std::chrono::nanoseconds timeout) override;
    void dispatch() override;
    void wake() noexcept override;
    void drain() override;
    stream_state* make_stream(int fd) override;
    std::shared_ptr<watch_state> make_watch(int fd) override;
    std::shared_ptr<listener_state> make_listener(int fd, address where, bool unlink) override;
    int socket_flags() const noexcept override { return 0; }

    // A submission entry whose completions go to `op`; the caller fills it, first of all by an
    // io_uring_prep_ function. Submitted with the next enter(), at the latest.
    template <class Prepare>
    void submit(ring_op& op, Prepare&& prepare) {
        auto* entry = next_entry();
        prepare(entry);
        io_uring_sqe_set_data(entry, &op);
        ++in_flight_;
    }
    // Asks for the end of a request; its completion tells how it ended. Cancelling what has ended
    // is harmless as long as `op` has not been submitted anew.
    void cancel(ring_op& op) noexcept;

    // A receive buffer by the flags of its completion; give_back() once its bytes were copied.
    const char* buffer(unsigned flags) const noexcept;
    void give_back(unsigned flags) noexcept;
    static constexpr int buffer_group = 0;

    bool draining() const noexcept { return draining_; }
    loop& home() noexcept { return home_; }

private:
    struct waker final : ring_op {
        explicit waker(ring& r) : self(r) {}
        void complete(int outcome, unsigned flags) override;
        ring& self;
    };
    struct seen {
        ring_op* op;
        int outcome;
        unsigned flags;
    };

    io_uring_sqe* next_entry() noexcept;
    void watch_wake_ups();
    void collect() noexcept;
    void lend_buffers();

    loop& home_;
    io_uring ring_{};
    bool deferred_ = false;  // completions are only posted while this thread is in enter()
    int event_ = -1;
    waker waker_{*this};
    std::size_t in_flight_ = 0;  // requests whose last completion was not dispatched
    bool draining_ = false;
    bool started_ = false;
    std::vector<seen> seen_;  // collected, from seen_at_ on not yet dispatched
    std::size_t seen_at_ = 0;
    io_uring_buf_ring* lent_ = nullptr;
    std::size_t lent_bytes_ = 0;
    std::unique_ptr<char[]> buffers_;
};

// Error code of a negative completion.
inline error_code ring_error(int outcome) {
    return {-outcome, boost::system::system_category()};
}

}  // namespace insula::runtime::detail
