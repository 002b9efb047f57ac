#pragma once
// Named places where tests make things go wrong. Compiled out unless INSULA_FAULT_POINTS is
// defined.
//
//   INSULA_FAULT_POINT("queue.after_fence");      // in any coroutine of runtime::awaitable
//
// Environment of a child process: INSULA_FAULT="name:n:action[,name:n:action…]", where the n-th
// arrival (1 = first) at that place does `kill`, `kill_next_turn`, `throw` (std::runtime_error) or
// `stop` (SIGSTOP, until somebody sends SIGCONT). In a test program: arm(), holding(), release().

#ifdef INSULA_FAULT_POINTS
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"

#include <string_view>

namespace insula::queue::fault {

enum class action {
    kill,            ///< SIGKILL to this process, here
    kill_next_turn,  ///< SIGKILL when the loop comes round: what is sent next is on the wire by
                     ///< then
    throws,
    stop,  ///< SIGSTOP to this process
    hold,  ///< until release()
};

/// `at`: which arrival from now on acts; all others pass. Replaces what was armed there.
void arm(std::string_view name, unsigned at, action what);
/// Everything back to nothing; held coroutines go on.
void clear();
/// Lets the coroutine held at `name` go on. From any thread.
void release(std::string_view name);
/// Arrivals at `name` since it was armed or since clear(). From any thread.
unsigned arrivals(std::string_view name);
/// True while a coroutine is held there.
bool holding(std::string_view name);

/// What the macro awaits.
runtime::awaitable<void> reach(std::string_view name);
/// Cheap test that anything is armed at all.
bool active() noexcept;

}  // namespace insula::queue::fault

#define INSULA_FAULT_POINT(name)                          \
    do {                                                  \
        if (::insula::queue::fault::active()) {           \
            co_await ::insula::queue::fault::reach(name); \
        }                                                 \
    } while (false)
#else
#define INSULA_FAULT_POINT(name) static_cast<void>(0)
#endif
