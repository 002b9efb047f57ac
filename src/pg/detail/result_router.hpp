#pragma once
#include <cstdint>
#include <deque>
#include <span>

namespace insula::pg::detail {

/// What libpq handed out, as far as routing cares.
enum class reply : std::uint8_t {
    ok,       ///< PGRES_TUPLES_OK, PGRES_COMMAND_OK
    error,    ///< PGRES_FATAL_ERROR
    aborted,  ///< PGRES_PIPELINE_ABORTED: skipped, because something before it in the unit failed
    none,     ///< a null pointer: the end of one statement's results
    sync,     ///< PGRES_PIPELINE_SYNC: the unit's transaction has ended
    other,    ///< COPY and the like, which no unit may contain
};

/// One message of ours that has an answer of its own.
struct sent_part {
    enum class what : std::uint8_t { begin, prepare, preamble, execute, commit };
    what kind;
    std::int32_t statement = -1;  ///< index in the unit, for prepare and execute
    std::uint64_t prepared = 0;   ///< number in the statement cache, or of the preamble
};

/// Gives each of libpq's results to the unit and the message it answers. Units end with their own
/// Sync, in the order they were sent; an error leaves the rest of its own unit aborted and touches
/// no other.
class result_router {
public:
    struct routed {
        enum class what : std::uint8_t {
            nothing,
            part_ok,
            part_failed,  ///< the unit's first error
            part_aborted,
            failed_at_end,  ///< every statement was answered; the commit at Sync failed (deferred
                            ///< constraint)
            unit_done,      ///< the oldest unit is over; it has been taken off
            broken,  ///< not what was sent: nothing on this connection can be trusted any more
        };
        what event;
        sent_part part{};
    };

    void sent(std::span<const sent_part> parts);
    routed take(reply answer);

    std::size_t in_flight() const noexcept { return units_.size(); }
    /// Whether every message of the oldest unit has been answered, that is: only its Sync is
    /// missing.
    bool only_sync_missing() const noexcept { return !units_.empty() && units_.front().left == 0; }
    void clear() noexcept;

private:
    struct unit_state {
        std::uint32_t left;
        bool failed = false;
    };
    routed take_part(routed::what event);

    std::deque<unit_state> units_;
    std::deque<sent_part> parts_;
    int nulls_ = 0;
};

}  // namespace insula::pg::detail
