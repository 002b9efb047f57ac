#pragma once
// How identity changes the control plane: one unit, whose audit row tells what became of it when
// the answer to its COMMIT was lost.

#include "insula/core/ids.hpp"
#include "insula/pg/witness.hpp"

namespace insula::identity {

/// Runs a unit that writes the audit row `audited` (made by the caller) when, and only when, it
/// commits. With `looked_up` the first result is that row's time, which `default now()` gave to
/// everything the unit made, followed by those of `read_again`, which must only read. A unit that
/// may commit without its row (a repeat that changes nothing) must be safe to run twice: not found,
/// it is run again.
runtime::awaitable<pg::pg_result<pg::witnessed>> run_change(pg::pool& control, pg::unit work,
                                                            audit_id audited,
                                                            runtime::deadline until,
                                                            pg::unit read_again = {});

}  // namespace insula::identity
