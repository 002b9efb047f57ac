#pragma once

#include "insula/runtime/descriptor.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <initializer_list>
#include <memory>

namespace insula::runtime {

// Blocks the signals in the calling thread and the threads it will create: first thing in main.
void block_signals(std::initializer_list<int> signals);

// Signals as events of a loop (signalfd(2)). They must be blocked in every thread, see
// block_signals().
class signal_watch {
public:
    // Throws std::system_error when no descriptor can be had.
    signal_watch(loop& home, std::initializer_list<int> signals);
    ~signal_watch();
    signal_watch(const signal_watch&) = delete;
    signal_watch& operator=(const signal_watch&) = delete;

    // The next signal's number; 0 when the coroutine was cancelled or close() came. One wait at a
    // time.
    awaitable<int> next();
    // A pending next() answers 0; the descriptor is closed when the kernel has let go of it.
    void close() noexcept;

private:
    std::shared_ptr<int> fd_;  // the watch holds it too, until the kernel has forgotten it
    descriptor_watch watch_;
};

}  // namespace insula::runtime
