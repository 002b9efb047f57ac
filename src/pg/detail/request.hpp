#pragma once
#include "pg/detail/waiters.hpp"

#include "insula/pg/error.hpp"
#include "insula/pg/statement.hpp"
#include "insula/pg/value.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/event.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace insula::pg::detail {

/// One unit on its way. Shared by the coroutine that waits for it and the connection it travels on,
/// so that either may go first: an abandoned unit is still answered, into nothing.
struct request : waiter_hook, std::enable_shared_from_this<request> {
    enum class purpose : std::uint8_t { caller, maintenance };

    request(runtime::loop& home, unit w, unit_options o, runtime::deadline d)
        : work(std::move(w)), options(o), until(d), done(home) {}

    /// Ready to be sent once more.
    void rearm() {
        answers.clear();
        error.reset();
        used.clear();
        finished = false;
        rolled_back = false;
        done.clear();
    }

    unit work;
    unit_options options;
    runtime::deadline until;
    purpose why = purpose::caller;
    bool preamble = true;
    std::string begin;          ///< BEGIN … in front, when not empty
    bool commit = false;        ///< COMMIT behind
    bool commits = true;        ///< its end, at Sync or COMMIT, makes something permanent
    bool trust_pending = true;  ///< false when it is repeated after 0A000 or 26000
    std::vector<std::uint64_t> deallocates;  ///< maintenance: number of each statement

    results answers;
    std::optional<pg_error> error;
    std::vector<std::uint64_t> used;  ///< prepared statements it counted on
    bool finished = false;
    bool rolled_back = false;  ///< COMMIT answered ROLLBACK
    runtime::event done;
};

using request_ptr = std::shared_ptr<request>;

}  // namespace insula::pg::detail
