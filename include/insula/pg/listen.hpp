#pragma once
#include "insula/pg/pool.hpp"

#include <memory>
#include <string>
#include <vector>

namespace insula::pg {

struct listen_options {
    std::string name;  ///< for log lines and metrics
    std::string conninfo;
    std::vector<std::string> channels;  ///< plain lower-case identifiers
    std::chrono::milliseconds connect_timeout{3000};
    std::chrono::milliseconds backoff_max{500};
};

struct notification {
    enum class kind {
        up,    ///< connected and listening: whatever happened before may have been missed, so look
               ///< now
        down,  ///< the connection was lost; next() reconnects with backoff
        message,  ///< channel and payload are set
        idle,     ///< the deadline passed and nothing came
    };
    kind what = kind::idle;
    std::string channel;
    std::string payload;
};

/// A connection of its own that LISTENs. It has no task: whoever calls next() drives it,
/// reconnecting too, so one coroutine must call next() in a loop. A notification is a hint, never
/// the truth: after `up` and now and then one looks at the tables. Lives on one loop and is used
/// there only.
class listener_connection {
public:
    listener_connection(runtime::loop& home, listen_options options, connection_budget& budget,
                        observe::metrics& metrics, runtime::cpu_pool* resolver = nullptr);
    ~listener_connection();

    /// What comes first: a notification, a change of state, or the deadline (idle).
    runtime::awaitable<notification> next(runtime::deadline until);
    /// Runs a unit on this connection (the heartbeat look); fails with connection_failure when it
    /// is down. Notifications that arrive meanwhile are kept for next(), at most 1024, then the
    /// oldest go.
    runtime::awaitable<pg_result<results>> exec(unit work, unit_options options,
                                                runtime::deadline until);
    bool up() const noexcept;
    /// Ends a next() that is waiting elsewhere on the loop (it returns `down`), then closes.
    /// Idempotent.
    runtime::awaitable<void> close();

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace insula::pg
