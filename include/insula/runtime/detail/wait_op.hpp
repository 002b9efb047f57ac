#pragma once

#include "insula/runtime/detail/completion.hpp"
#include "insula/runtime/detail/loop_object.hpp"
#include "insula/runtime/detail/timer_heap.hpp"
#include "insula/runtime/loop.hpp"

namespace insula::runtime::detail {

// One suspended wait of a timer, an event or a one_shot: a handler that is called with true (what
// was waited for has happened) or false (deadline or cancellation), exactly once, never from within
// the call that decides it. Owns itself.
class wait_op final : public loop_object, public timer_node, public work_item {
public:
    // Waiters of one owner, FIFO.
    class list {
    public:
        list() = default;
        list(const list&) = delete;
        list& operator=(const list&) = delete;
        // Waits still pending answer false.
        ~list();

        bool empty() const noexcept { return first_ == nullptr; }
        void push(wait_op& op) noexcept;
        // Finishes the oldest, if any.
        bool finish_one(bool outcome) noexcept;
        void finish_all(bool outcome) noexcept;

    private:
        friend class wait_op;
        void unlink(wait_op& op) noexcept;
        wait_op* first_ = nullptr;
        wait_op* last_ = nullptr;
    };

    struct request {
        deadline until;                   // never(): costs no timer
        bool answer_at_deadline = false;  // a timer's wait is true then, an event's false
        bool cancellable = true;
    };

    // Queues the handler among the waiters.
    template <class Handler>
    static wait_op& start(loop& home, list& waiters, request what, Handler&& handler) {
        auto* op = new wait_op(home);
        if (what.cancellable) {
            op->handler_.emplace(home.get_executor(), std::forward<Handler>(handler),
                                 cancel_hook{op, &wait_op::on_cancel});
        } else {
            op->handler_.emplace(home.get_executor(), std::forward<Handler>(handler));
        }
        op->begin(waiters, what);
        return *op;
    }

    void finish(bool outcome) noexcept;

    static void* operator new(std::size_t bytes);
    static void operator delete(void* memory, std::size_t bytes) noexcept;

private:
    explicit wait_op(loop& home) : home_(home) {}
    ~wait_op() = default;

    void begin(list& waiters, request what);
    static void on_cancel(void* op);
    void abandon() noexcept override;
    void expire() override;
    void run() override;
    void drop() noexcept override;

    loop& home_;
    completion<bool> handler_;
    list* waiters_ = nullptr;
    wait_op* previous_ = nullptr;
    wait_op* following_ = nullptr;
    bool outcome_ = false;
};

// Initiation of such a wait, for asio::async_initiate.
struct start_wait {
    template <class Handler>
    void operator()(Handler&& handler, loop* home, wait_op::list* waiters,
                    wait_op::request what) const {
        wait_op::start(*home, *waiters, what, std::forward<Handler>(handler));
    }
};

}  // namespace insula::runtime::detail
