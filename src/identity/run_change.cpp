#include "insula/identity/run_change.hpp"

#include "insula/audit/audit.hpp"

namespace insula::identity {

runtime::awaitable<pg::pg_result<pg::witnessed>> run_change(pg::pool& control, pg::unit work,
                                                            audit_id audited,
                                                            runtime::deadline until,
                                                            pg::unit read_again) {
    pg::unit witness;
    audit::add_witness(witness, audited);
    witness.append(read_again);
    return pg::run_with_witness(control, std::move(work), std::move(witness), until);
}

}  // namespace insula::identity
