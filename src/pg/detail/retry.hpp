#pragma once
#include "insula/pg/error.hpp"

namespace insula::pg::detail {

/// What to do with a unit that failed.
enum class verdict {
    deliver,           ///< the caller gets the error
    repeat,            ///< once more, preparing all of its statements anew
    repeat_exclusive,  ///< once more where it may wait for a lock
};

struct attempt {
    bool shared = false;            ///< ran on a connection with neighbours
    bool transaction_open = false;  ///< part of a transaction that began in an earlier unit
    bool repeated = false;          ///< was prepared anew already
    bool may_go_exclusive = false;
};

/// Rolled back in favour of another transaction: the same one may succeed when it is run again.
inline bool lost_to_others(const pg_error& error) noexcept {
    return !error.maybe_committed && (error.state == sqlstate::serialization_failure ||
                                      error.state == sqlstate::deadlock_detected ||
                                      (error.state == sqlstate::internal_error && error.transient));
}

/// A unit that failed has left nothing behind (its implicit transaction was rolled back at Sync),
/// so it may be run again as a whole: at once when the failure was ours, a prepared statement that
/// DDL made useless (0A000 "cached plan must not change result type") or that the server does not
/// have (26000, because the Parse it counted on was aborted with another unit; a second time it is
/// an error like any other); and where it may wait, when a lock or another transaction was in its
/// way.
inline verdict decide(const pg_error& error, const attempt& so_far) noexcept {
    if (error.maybe_committed || error.lost()) {
        return verdict::deliver;
    }
    const bool stale_plan = error.state == sqlstate::feature_not_supported && error.transient;
    if (stale_plan || error.state == sqlstate::unknown_prepared) {
        return so_far.repeated || so_far.transaction_open ? verdict::deliver : verdict::repeat;
    }
    if ((error.state == sqlstate::lock_not_available || lost_to_others(error)) && so_far.shared &&
        so_far.may_go_exclusive) {
        return verdict::repeat_exclusive;
    }
    return verdict::deliver;
}

}  // namespace insula::pg::detail
