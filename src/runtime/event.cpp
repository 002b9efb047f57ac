#include "insula/runtime/event.hpp"

#include <boost/asio/async_result.hpp>

namespace insula::runtime {

// Looks at the event when the wait really starts: an awaitable may be made before it is awaited.
struct event::initiation {
    template <class Handler>
    void operator()(Handler&& handler, event* self, deadline until) const {
        auto& op = detail::wait_op::start(self->home_, self->waiters_, {.until = until},
                                          std::forward<Handler>(handler));
        if (self->set_) {
            self->set_ = false;
            op.finish(true);
        }
    }
};

awaitable<bool> event::wait(deadline until) {
    return asio::async_initiate<const asio::use_awaitable_t<executor>&, void(bool)>(
        initiation{}, use_awaitable, this, until);
}

}  // namespace insula::runtime
