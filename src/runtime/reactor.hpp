#pragma once

#include "insula/runtime/address.hpp"

#include <chrono>
#include <cstdint>
#include <memory>

namespace insula::runtime::detail {

class stream_state;
class watch_state;
class listener_state;

// What a loop needs of the kernel. Everything but wake() is called on the loop's thread (the make_
// functions also before it runs).
class reactor {
public:
    static constexpr std::chrono::nanoseconds forever = std::chrono::nanoseconds::max();

    virtual ~reactor() = default;

    // First call on the thread that will call enter().
    virtual void start() = 0;
    // Hands the kernel what was asked of it and waits for something to happen, zero to forever.
    // Runs no handler.
    virtual void enter(std::chrono::nanoseconds timeout) = 0;
    // Runs the handlers of what enter() saw. After an exception the next call goes on where it
    // stopped.
    virtual void dispatch() = 0;
    // Ends enter(), from any thread.
    virtual void wake() noexcept = 0;
    // The loop stops: makes the kernel forget every request and waits until it has.
    virtual void drain() = 0;

    virtual stream_state* make_stream(int fd) = 0;
    virtual std::shared_ptr<watch_state> make_watch(int fd) = 0;
    virtual std::shared_ptr<listener_state> make_listener(int fd, address where, bool unlink) = 0;
    // socket(2) and accept4(2) flags that this backend wants.
    virtual int socket_flags() const noexcept = 0;
};

}  // namespace insula::runtime::detail
