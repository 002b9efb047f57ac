#pragma once
#include "pg/detail/backoff.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace insula::pg::detail {

/// An attempt to connect that has taken so long, to a peer that accepts and says nothing or is not
/// there any more, does not hold up the next one; which gets just as long, as the first has all the
/// time there is.
inline constexpr std::chrono::milliseconds attempt_patience{400};

/// One connection's place in a pool.
///
///   vacant --plan: open--> connecting --opened--> idle --plan: lend--> lent --given_back--> idle
///                              |                    |                    |
///                         open_failed             lost / expired      dropped          --> vacant
enum class node_state : std::uint8_t { vacant, connecting, idle, lent };

/// Decides which exclusive connection is lent, when one is opened and when one is closed. Without
/// I/O, clock and randomness. A caller changes something, then asks plan() until it answers
/// `nothing` or `wait`.
class pool_machine {
public:
    using clock = backoff::clock;
    using node_id = std::size_t;

    pool_machine(unsigned nodes_max, std::chrono::milliseconds backoff_max)
        : nodes_(nodes_max), backoff_(backoff_max) {}

    struct decision {
        enum class what : std::uint8_t { nothing, lend, open, wait } action;
        node_id node = 0;  ///< for lend (already marked lent) and open (already connecting)
        clock::time_point until{};  ///< for wait: ask again then
        bool second = false;  ///< for open: beside one that hangs, so give it attempt_patience
    };
    /// `waiting` requests have no connection yet. Lends the one used last, so that the others
    /// become old and go. Opens no more connections than there are requests waiting; while the
    /// server is away, one at a time after a pause.
    decision plan(clock::time_point now, std::size_t waiting);

    void opened(node_id node, clock::time_point now);
    void open_failed(node_id node, clock::time_point now, double random);
    /// The attempt was not made (no budget), or was the second one; not a failure of the server.
    void open_cancelled(node_id node);
    void given_back(node_id node, clock::time_point now);
    /// Idle or lent, it is gone.
    void dropped(node_id node);
    /// An idle connection unused since before `limit`: it is now vacant, close it.
    std::optional<node_id> take_expired(clock::time_point limit);

    node_state state(node_id node) const { return nodes_.at(node).state; }
    std::size_t count(node_state state) const noexcept;
    bool failing() const noexcept { return backoff_.failing(); }
    std::size_t capacity() const noexcept { return nodes_.size(); }

private:
    struct node {
        node_state state = node_state::vacant;
        clock::time_point idle_since{};
        clock::time_point connecting_since{};
    };
    node& expect(node_id id, node_state state);

    std::vector<node> nodes_;
    backoff backoff_;
};

/// A shared connection as the choice sees it.
struct shared_view {
    bool open = false;        ///< in service
    bool connecting = false;  ///< and nobody else should try
    std::size_t in_flight = 0;
};

struct shared_choice {
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    std::size_t use = none;   ///< send the unit there
    std::size_t open = none;  ///< and, or instead, open this place
};

/// The connection with the shortest pipeline, if it has room. Another is opened when none is in
/// service, or when even the shortest is `grow_at` deep; never two at once.
shared_choice choose_shared(const std::vector<shared_view>& places, std::size_t pipeline_max,
                            std::size_t grow_at);

}  // namespace insula::pg::detail
