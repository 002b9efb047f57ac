#pragma once

#include "insula/runtime/address.hpp"
#include "insula/runtime/detail/completion.hpp"
#include "insula/runtime/detail/loop_object.hpp"
#include "insula/runtime/detail/timer_heap.hpp"
#include "insula/runtime/loop.hpp"

#include <boost/system/result.hpp>

#include <deque>
#include <memory>

namespace insula::runtime::detail {

// What a listener is underneath. Accepted descriptors wait here, up to a bound, for accept().
class listener_state : public loop_object,
                       private timer_node,
                       private work_item,
                       public std::enable_shared_from_this<listener_state> {
public:
    listener_state(loop& home, int fd, address where, bool unlink);
    virtual ~listener_state();

    loop& home() const noexcept { return home_; }
    const address& local() const noexcept { return where_; }

    // Answers a descriptor.
    template <class Handler>
    void accept(Handler&& handler) {
        expect_no_accept();
        on_accept_.emplace(home_.get_executor(), std::forward<Handler>(handler),
                           cancel_hook{this, [](void* self) {
                                           static_cast<listener_state*>(self)->fail(
                                               asio::error::operation_aborted);
                                       }});
        start_accept();
    }
    void close() noexcept;

protected:
    static constexpr std::size_t queue_max = 256;

    // --- for the backend ---
    // See that accepted() is called for new connections until the queue is full.
    virtual void want_connections() = 0;
    // Tell the kernel to forget the descriptor; call forgotten() when it has.
    virtual void forget() noexcept = 0;

    void accepted(int fd);
    // accept(2) failed. True when the next connection may be asked for at once: a lost connection
    // is skipped, lack of descriptors or memory pauses, a broken listener ends.
    bool accept_failed(int reason);
    void forgotten() noexcept;
    bool wanted() const noexcept { return !closing_ && !scheduled() && queue_.size() < queue_max; }
    bool closing() const noexcept { return closing_; }

    loop& home_;
    int fd_;

private:
    void expect_no_accept() const;
    void start_accept();
    void fail(error_code why) noexcept;
    void settle(boost::system::result<int> outcome) noexcept;
    void expire() override;
    void run() override;
    void drop() noexcept override;
    void abandon() noexcept override;

    address where_;
    bool unlink_;
    completion<boost::system::result<int>> on_accept_;
    boost::system::result<int> outcome_{0};
    bool settled_ = false;
    bool closing_ = false;
    bool exhausted_ = false;  // and said so
    std::deque<int> queue_;
    std::shared_ptr<listener_state> keep_;     // while the kernel works for it
    std::shared_ptr<listener_state> pending_;  // while a handler is pending
};

struct start_accept {
    template <class Handler>
    void operator()(Handler&& handler, const std::shared_ptr<listener_state>& state) const {
        state->accept(std::forward<Handler>(handler));
    }
};

}  // namespace insula::runtime::detail
