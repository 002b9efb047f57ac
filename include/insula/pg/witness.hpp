#pragma once
// A COMMIT whose answer was lost is looked up, not guessed (G41).
//
// Every change leaves a row with an id that was made before anything was sent: its audit row. That
// row is the witness: it is there exactly when the transaction has committed. Not to find it means
// something only when the backend that ran the transaction is gone, for until then it may still
// commit.

#include "insula/pg/pool.hpp"

namespace insula::pg {

enum class outcome {
    committed,      ///< the witness was found
    not_committed,  ///< not found, and the old backend is gone: nothing of it exists or ever will
    unknown,        ///< the old backend, or the server, did not get that far by the deadline
};

struct looked_up {
    outcome what = outcome::unknown;
    results found{};  ///< with committed: what the witness unit answered
};

/// What became of a transaction that failed with `lost` (for one that is not maybe_committed that
/// is not_committed at once). `witness` reads: its first statement answers a row if, and only if,
/// the transaction has committed; what follows reads again what the answer needs. Asks on fresh
/// connections of `connections`, which must be the login that ran the transaction (other logins'
/// backends cannot be told apart), until the outcome is certain or the deadline has passed. An old
/// backend that stays longer than a second is asked to go (pg_terminate_backend).
runtime::awaitable<looked_up> look_up(pool& connections, pg_error lost, unit witness,
                                      runtime::deadline until);

/// What a unit answered; or, when its answer was lost and the look-up found that it has committed,
/// what the witness answered.
struct witnessed {
    results answers{};
    bool looked_up = false;
};

/// Runs the unit as pool::run does. When its outcome is not known it is looked up; when it is
/// certain that nothing happened, the unit, with its ids as they are, is run once more. An error
/// that says maybe_committed (503) is therefore left only where the deadline came first.
runtime::awaitable<pg_result<witnessed>> run_with_witness(pool& connections, unit work,
                                                          unit witness, runtime::deadline until);

}  // namespace insula::pg
