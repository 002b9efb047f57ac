#include "insula/runtime/timer.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

namespace insula::runtime {

awaitable<bool> timer::wait(deadline until) {
    return asio::async_initiate<const asio::use_awaitable_t<executor>&, void(bool)>(
        detail::start_wait{}, use_awaitable, &home_, &waiters_,
        detail::wait_op::request{.until = until, .answer_at_deadline = true});
}

awaitable<void> sleep_until(deadline until) {
    timer alarm(*loop::current());
    if (!co_await alarm.wait(until)) {
        throw boost::system::system_error(asio::error::operation_aborted);
    }
}

}  // namespace insula::runtime
