#pragma once
// What was revoked and when, in plain memory: the state behind revocations, without threads, clocks
// or a database.

#include "insula/runtime/deadline.hpp"
#include "insula/tenancy/revocations.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace insula::tenancy {

/// One row of control.feed_change, but for keys.
struct feed_change {
    enum class kind : std::uint8_t { session, tenant, account };
    kind what = kind::session;
    uuid subject;
    /// A session's version; empty: it has ended.
    std::optional<std::int64_t> version;
    /// Of a tenant.
    tenant_status status = tenant_status::ready;
    /// Of an account.
    bool closed = true;
};

class revoked_set {
public:
    using time_point = runtime::steady_clock::time_point;

    revoked_set(std::size_t entries_max, std::chrono::milliseconds keep)
        : entries_max_(entries_max), keep_(keep) {}

    /// `at`: when it was committed, or earlier. In the order of the feed: the last word counts.
    void apply(const feed_change& change, time_point at);
    /// Something could not be kept; what it was is not known until `at` is out of date.
    void overflow(time_point at);
    /// Forgets what no living token can name.
    void expire(time_point now);

    verdict check(const token::claims& who) const noexcept;
    std::size_t size() const noexcept {
        return sessions_.size() + tenants_.size() + accounts_.size();
    }
    /// Until then this does not hold everything that counts.
    time_point incomplete_until() const noexcept { return incomplete_until_; }

private:
    static constexpr std::int64_t ended = std::numeric_limits<std::int64_t>::max();

    /// A session: tokens of older versions are refused.
    struct aged {
        std::int64_t version;
        time_point at;
    };
    struct tenant_state {
        tenant_status status;
        time_point at;
        bool in_order;
    };
    struct account_state {
        bool closed;
        time_point at;
    };
    struct remembered {
        time_point at;
        feed_change::kind what;
        uuid subject;
    };

    bool has_room(time_point at);
    void remember(feed_change::kind what, const uuid& subject, time_point at);
    void apply_session(const feed_change& change, time_point at);
    void apply_tenant(const feed_change& change, time_point at);
    void apply_account(const feed_change& change, time_point at);
    void forget(const remembered& what);
    bool is_closed(const uuid& account) const noexcept;

    std::size_t entries_max_;
    std::chrono::milliseconds keep_;
    std::unordered_map<uuid, aged> sessions_;
    std::unordered_map<uuid, tenant_state> tenants_;
    std::unordered_map<uuid, account_state> accounts_;
    /// Each of them once at most, nearly in the order of time. What was said again since it was put
    /// here goes to the end when its turn comes, and is kept longer for that.
    std::deque<remembered> order_;
    time_point incomplete_until_ = time_point::min();
};

}  // namespace insula::tenancy
