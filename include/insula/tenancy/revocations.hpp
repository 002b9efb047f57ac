#pragma once
#include "insula/core/time.hpp"
#include "insula/pg/pool.hpp"
#include "insula/tenancy/tenant.hpp"
#include "insula/token/claims.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace insula::tenancy {

/// What memory says of a token that was verified.
enum class verdict : std::uint8_t {
    good,              ///< nothing speaks against it
    over,              ///< session ended or aged, or the account (or the operator's) is closed
    suspended,         ///< the session is good, its tenant is …
    pending_deletion,  ///< …
    not_ready,         ///< …
};

struct revocations_options {
    std::string conninfo;  ///< login app; a connection of its own
    /// What changed longer ago than this can no token name any more: an access token's life and a
    /// margin for clocks and slow commits.
    std::chrono::milliseconds keep{std::chrono::minutes(20)};
    /// Sessions, tenants and accounts in memory; beyond it the database decides (silent()).
    std::size_t entries_max = 200'000;
    std::chrono::milliseconds look_every{250};
    std::chrono::milliseconds silent_after{1000};
    /// That of this process. Two minutes away from the database's nothing counts as heard: tokens
    /// would be taken here whose revocation is forgotten.
    const clock_source* clock = &system_clock_source();
};

/// What was revoked within an access token's life, in memory: sessions that ended or aged, tenants
/// that are not ready, accounts that were closed. Fed from control.feed by a connection of its own
/// that looks every 250 ms and LISTENs to look earlier (docs/decisions/0007). check(), silent(),
/// catch_up() and look_again() from any loop.
class revocations {
public:
    /// Reads the signing keys again and has every loop use them; false: it could not, and the feed
    /// counts as silent until it can. Called on the home loop, one call at a time: when a key has
    /// changed, and now and then while the feed is not heard.
    using key_reload = std::function<runtime::awaitable<bool>(runtime::deadline)>;

    revocations(runtime::loop& home, revocations_options options, pg::connection_budget& budget,
                observe::metrics& metrics, runtime::cpu_pool* resolver = nullptr);
    ~revocations();  ///< stop() must have finished, or the home loop must have ended
    revocations(const revocations&) = delete;
    revocations& operator=(const revocations&) = delete;

    /// Connects, reads what there is and goes on looking. Before the first request. `keys` is
    /// called whenever a key has changed since. False: not within the time; it goes on trying.
    runtime::awaitable<bool> start(key_reload keys, runtime::deadline until);
    runtime::awaitable<void> stop();

    /// From memory. While silent() it may be out of date: then the database has to be asked.
    verdict check(const token::claims& who) const;
    /// No look has succeeded for a second, or there is more than memory may hold.
    bool silent() const noexcept;

    /// Looks now: when it returns, everything that was committed before the call decides the next
    /// request of this process. When it cannot look, the feed counts as silent, so that the
    /// database does. Whoever revokes calls this after the commit and before answering.
    runtime::awaitable<void> catch_up(runtime::deadline until);

    /// For a token under a key this process has never heard of: true when a look that began after
    /// the call has ended, so that it is worth checking again. All who ask share looks, and there
    /// are at most 50 a second, so made-up keys cost nothing but their own time.
    runtime::awaitable<bool> look_again(runtime::deadline until);

    /// Sessions, tenants and accounts in memory.
    std::size_t entries() const;

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace insula::tenancy
