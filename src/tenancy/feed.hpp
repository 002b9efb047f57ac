#pragma once
// Reads control.feed_* on the connection that listens. What it reads is for revocations to keep.

#include "revoked_set.hpp"

#include "insula/core/time.hpp"
#include "insula/pg/listen.hpp"

#include <chrono>
#include <vector>

namespace insula::tenancy {

struct feed_page {
    struct item {
        feed_change what;
        std::chrono::milliseconds age;
    };
    std::vector<item> changes;
    /// Ages of transactions that changed more than may be kept: read over.
    std::vector<std::chrono::milliseconds> too_large;
    bool keys = false;  ///< a signing key has changed
    bool gap = false;   ///< numbers are missing or went back: load afresh, the rest says nothing
    bool more = false;
};

/// Where it has got to in the feed. On the connection's loop.
class feed_reader {
public:
    feed_reader(pg::listener_connection& on, std::size_t changes_max)
        : on_(on), changes_max_(static_cast<std::int64_t>(changes_max)) {}

    /// To before what is younger than `keep`, and the tenants that are in a lasting state now. What
    /// next() answers from then on may say that again.
    runtime::awaitable<pg::pg_result<std::vector<feed_change>>> begin(
        std::chrono::milliseconds keep, runtime::deadline until);
    /// What was committed since, some of it when it is much. One round trip.
    runtime::awaitable<pg::pg_result<feed_page>> next(runtime::deadline until);

    std::int64_t last() const noexcept { return last_; }
    /// The database's, when next() asked last.
    timestamp clock() const noexcept { return clock_; }

private:
    pg::listener_connection& on_;
    std::int64_t changes_max_;
    std::int64_t last_ = 0;
    timestamp clock_;
};

}  // namespace insula::tenancy
