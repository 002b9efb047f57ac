#include "insula/pg/witness.hpp"

#include "insula/observe/log.hpp"
#include "insula/runtime/timer.hpp"

#include <algorithm>

namespace insula::pg {
namespace {

// Of other roles' backends pg_stat_activity does not tell when they started, so a process id that
// was taken by one of those does not count as ours. A commit that waits for a standby is left
// alone: terminating it would show it as done before the standby has it.
constexpr statement still_there{
    "pg.old_backend",
    "select a.pid, case when $3 and a.wait_event is distinct from 'SyncRep'"
    " then pg_catalog.pg_terminate_backend(a.pid) end"
    " from pg_catalog.pg_stat_activity a where a.pid = $1 and a.backend_start = $2"};

constexpr std::chrono::seconds patience{1};
constexpr unsigned attempts_max = 2;

runtime::awaitable<void> pause(unsigned round, runtime::deadline until) {
    const std::chrono::milliseconds wait(std::min(1L << std::min(round, 7U), 100L));
    co_await runtime::sleep_until(runtime::deadline::after(wait).sooner(until));
}

std::string_view name(outcome what) noexcept {
    switch (what) {
        case outcome::committed:
            return "committed";
        case outcome::not_committed:
            return "not_committed";
        case outcome::unknown:
            break;
    }
    return "unknown";
}

/// nullopt: no answer this time.
runtime::awaitable<std::optional<bool>> is_there(pool& connections, backend_id who, bool ask_to_go,
                                                 runtime::deadline until) {
    const timestamp started{std::chrono::microseconds(who.started_us)};
    unit work;
    work.add(still_there, static_cast<std::int32_t>(who.pid), started, ask_to_go);
    const auto answer = co_await connections.run(std::move(work), until);
    co_return answer ? std::optional(!answer->front().empty()) : std::nullopt;
}

runtime::awaitable<looked_up> search(pool& connections, backend_id old, unit witness,
                                     runtime::deadline until) {
    const auto polite_until = runtime::deadline::after(patience);
    for (unsigned round = 0; !until.expired(); ++round) {
        // First the backend, then the witness: one that was gone at the first look has shown
        // everything it did by the second. It cannot be one unit, because a tenant's role does not
        // see the login's backends.
        const auto there = co_await is_there(connections, old, polite_until.expired(), until);
        auto seen = co_await connections.run(witness, until);
        if (seen && !seen->front().empty()) {
            co_return looked_up{outcome::committed, std::move(*seen)};
        }
        if (seen && there == false) {
            co_return looked_up{outcome::not_committed};
        }
        if (!seen && !seen.error().lost() && !seen.error().retryable()) {
            break;  // the witness itself is refused: asking again would not change that
        }
        co_await pause(round, until);
    }
    co_return looked_up{};
}

}  // namespace

runtime::awaitable<looked_up> look_up(pool& connections, pg_error lost, unit witness,
                                      runtime::deadline until) {
    if (!lost.maybe_committed) {
        co_return looked_up{outcome::not_committed};
    }
    looked_up known;
    if (lost.backend.pid != 0) {
        known = co_await search(connections, lost.backend, std::move(witness), until);
    }
    observe::warn("pg.commit_looked_up",
                  {{"pool", connections.name()}, {"outcome", name(known.what)}});
    co_return known;
}

runtime::awaitable<pg_result<witnessed>> run_with_witness(pool& connections, unit work,
                                                          unit witness, runtime::deadline until) {
    for (unsigned attempt = 1;; ++attempt) {
        auto answer = co_await connections.run(work, until);
        if (answer) {
            co_return witnessed{std::move(*answer), false};
        }
        if (!answer.error().maybe_committed) {
            co_return std::move(answer).error();
        }
        auto known = co_await look_up(connections, answer.error(), witness, until);
        if (known.what == outcome::committed) {
            co_return witnessed{std::move(known.found), true};
        }
        if (known.what == outcome::unknown || attempt == attempts_max) {
            pg_error failure = std::move(answer).error();
            failure.maybe_committed = known.what == outcome::unknown;
            co_return failure;
        }
    }
}

}  // namespace insula::pg
