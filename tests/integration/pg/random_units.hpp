#pragma once
// Units of every kind, by dice, over several tenants on one connection (G03, G43): what each must
// come out as, and what the session looks like to whoever comes next.

#include "pg/detail/pool_core.hpp"
#include "pg_fixture.hpp"

#include <random>
#include <string>
#include <vector>

namespace insula::pg::detail {

struct pool_test_access {
    static std::shared_ptr<connection> shared_connection(pool& p) {
        return p.core_->shared_.at(0).open;
    }
};

}  // namespace insula::pg::detail

namespace insula::pg::test_support {

/// One thing that happens: a unit, or a change of the database underneath.
struct act {
    std::size_t kind = 0;
    std::uint64_t dice = 0;  ///< which tenant, which statement fails, how long …
    bool alone = true;       ///< waits for the end of what is in flight; else travels behind it

    friend bool operator==(const act&, const act&) = default;
};

/// "read of tenant 3 (dice 1234, behind the one before)".
std::string describe(const act& what);
/// Of all kinds but the planted ones.
act random_act(std::mt19937_64& dice);
/// By name, as describe() begins; for planted leaks.
act act_named(std::string_view name, std::uint64_t dice = 0);
std::size_t kinds_of_acts();

/// What came of a sequence of acts.
struct verdict_on_acts {
    std::string trouble;  ///< what was wrong first, and with which act; empty: nothing
    std::size_t done = 0;
    std::uint64_t connects = 0;
    std::vector<std::uint64_t> seen;  ///< how many acts of each kind came out as they had to
};

/// The acts in order on a pool with one shared connection, on a loop of its own. After each of them
/// the session is compared with what it was at the beginning; where acts travel behind one another
/// in a pipeline, the looks travel between them. `where` is changed by the acts and put right again
/// before the next ones; nobody else may use it meanwhile.
verdict_on_acts run_acts(runtime::backend kind, world& where, const std::vector<act>& acts);

}  // namespace insula::pg::test_support
