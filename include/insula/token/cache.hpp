#pragma once

#include "insula/token/token.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace insula::token {

/// Verdicts of earlier verifications. Keyed by SipHash-1-3 under a random key, and the whole token
/// is compared, so a collision is a miss and never a wrong verdict. One per loop, no locks,
/// bounded; neither find() nor put() allocates.
class verified_cache {
public:
    /// `entries` is rounded up to a power of two, at least 8; memory is entries * (slot_bytes) at
    /// once.
    explicit verified_cache(std::size_t entries);
    ~verified_cache();
    verified_cache(verified_cache&&) noexcept;
    verified_cache& operator=(verified_cache&&) noexcept;

    /// The claims, when this very token was verified under this generation of keys and has not
    /// expired at `now`; else nullptr. Valid until the next call of put(), end_session() or
    /// clear().
    const claims* find(std::string_view token, std::uint64_t key_generation,
                       timestamp now) noexcept;

    /// Longer tokens than token_slot_bytes are not kept.
    void put(std::string_view token, std::uint64_t key_generation, const claims& what) noexcept;

    /// Forgets every token of the session; costs a walk over the slots.
    void end_session(session_id session) noexcept;
    void clear() noexcept;

    std::size_t size() const noexcept;
    std::size_t capacity() const noexcept;

    static constexpr std::size_t token_slot_bytes = 1024;

    /// For tests: all tokens share one hash, so only the comparison tells them apart.
    void force_hash_collisions() noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// Cache before verifier: what a loop uses to authenticate requests. Not thread-safe.
class checker {
public:
    struct counters {
        std::uint64_t hits = 0;
        std::uint64_t verified = 0;
        std::array<std::uint64_t, refusal_count> refused{};
    };

    checker(authority who, std::shared_ptr<const key_set> keys, std::size_t cache_entries);

    /// The claims stay valid until the next call of any member that is not const: copy them before
    /// an await.
    boost::system::result<const claims*, refusal> check(std::string_view token, timestamp now);

    /// A new snapshot: verdicts under the old one are void at once.
    void use(std::shared_ptr<const key_set> keys);
    void end_session(session_id session) noexcept { cache_.end_session(session); }
    const counters& counts() const noexcept { return counts_; }
    const key_set& keys() const noexcept { return verifier_.keys(); }

private:
    verifier verifier_;
    verified_cache cache_;
    claims last_;
    counters counts_;
};

}  // namespace insula::token
