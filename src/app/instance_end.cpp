// How a running service ends.

#include "instance_state.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/timer.hpp"

#include <cstdlib>

namespace insula::app {

// Connections to a database that is gone or hangs take their time to end. Nobody needs them any
// more.
runtime::awaitable<void> instance::state::end_in_time(runtime::deadline until) {
    co_await runtime::sleep_until(until);
    observe::warn("the grace is over: what is still open ends with the process");
    observe::shutdown_log();
    std::_Exit(trouble.empty() ? 0 : 1);
}

runtime::awaitable<void> instance::state::stop() {
    // Requests may use most of the grace; leases are given back and connections closed in what is
    // reserved.
    const auto grace = std::chrono::nanoseconds(settings.values.shutdown_grace);
    const auto for_requests = runtime::deadline::after(grace * 7 / 10);
    const auto for_tasks = runtime::deadline::after(grace * 9 / 10);
    const auto until = runtime::deadline::after(grace);
    draining.store(true);
    if (serving && !options.development) {  // which has a PostgreSQL of its own to end
        watchers.spawn(end_in_time(until), "grace");
    }
    // A server that does not answer must not use up what the tasks have.
    mail->close(for_requests);
    for (auto& server : servers) {
        server.drain();
    }
    for (auto& server : servers) {
        if (!co_await server.stop(for_requests)) {
            observe::warn("requests were cut off by the shutdown", {{"server", server.local()}});
        }
    }
    if (!co_await engine.drain(for_tasks)) {
        observe::warn("tasks were left to other workers by the shutdown");
    }
    co_await revoked.stop();
    co_await db.close(until);
}

}  // namespace insula::app
