#pragma once

#include "insula/runtime/deadline.hpp"
#include "insula/runtime/detail/watch_state.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/system/result.hpp>

#include <memory>

namespace insula::runtime {

// Waits for the readiness of a descriptor that somebody else (libpq, libcurl) owns and will close.
// Before the owner closes it: `co_await release()`, which answers when the kernel holds no request
// on the descriptor any more. After destruction without release() the kernel is told to forget it,
// but nobody knows when it has. One descriptor_watch for a descriptor at a time; the loop's thread
// only.
class descriptor_watch {
public:
    enum interest : int { read = 1, write = 2 };

    // owner: kept until the kernel has forgotten the descriptor, whatever ends the watch; for a
    // descriptor that is closed by its owner's deleter.
    descriptor_watch(loop& home, int fd, std::shared_ptr<void> owner = {});
    ~descriptor_watch();
    descriptor_watch(descriptor_watch&&) noexcept = default;
    // Like destruction of what was there.
    descriptor_watch& operator=(descriptor_watch&& other) noexcept;

    // What of `interests` (any union of read and write) is ready *now*, level semantics: a
    // descriptor that is still readable answers again at once. A hang-up or an error on the
    // descriptor counts as ready in everything asked, so that the owner's next call meets it.
    // Errors: timed_out, operation_aborted (cancel(), the coroutine's cancellation, release()),
    // what the kernel said (EPERM: not pollable; EBADF). Up to two waits may overlap, e.g. one for
    // read and one for write.
    awaitable<boost::system::result<int>> wait(int interests, deadline until);

    // Every pending wait answers operation_aborted (or its readiness, when that was there first).
    void cancel() noexcept;

    // Cancels and waits for the kernel; not cancellable, ends as soon as the kernel answers. After
    // it wait() answers operation_aborted.
    awaitable<void> release();

    // release() without waiting for the kernel.
    void close() noexcept;

    int native_handle() const noexcept;

private:
    std::shared_ptr<detail::watch_state> state_;
};

}  // namespace insula::runtime
