#pragma once

#include "insula/core/error.hpp"
#include "insula/runtime/address.hpp"
#include "insula/runtime/detail/listener_state.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/stream.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/system/result.hpp>

#include <memory>
#include <string_view>

namespace insula::runtime {

struct listen_options {
    bool reuse_port =
        true;  // SO_REUSEPORT: one listener for each loop on the same address (not for Unix paths)
    int backlog = 1024;
};

// A listening socket of one loop. Destruction is close().
class listener {
public:
    // "127.0.0.1:8080", "[::1]:80" (port 0: the kernel picks one, see local()), "unix:/path". A
    // Unix path whose socket nobody answers any more is replaced; it is unlinked at close().
    // Errors: errc::internal with a sentence that names the address, the reason and the remedy in
    // internal().
    static result<listener> bind(loop& home, std::string_view where, listen_options options = {});

    listener(listener&&) noexcept = default;
    listener& operator=(listener&& other) noexcept;
    ~listener();

    // One at a time (asserted). Waits until somebody connects; ended by close() or the coroutine's
    // cancellation with operation_aborted. Running out of descriptors or memory does not end it: it
    // is logged, and accepting goes on after a pause.
    awaitable<boost::system::result<stream>> accept();

    const address& local() const noexcept;

    // Connections accepted by the kernel but not handed out are closed.
    void close() noexcept;

private:
    explicit listener(std::shared_ptr<detail::listener_state> state);
    std::shared_ptr<detail::listener_state> state_;
};

}  // namespace insula::runtime
