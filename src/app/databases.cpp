#include "instance_state.hpp"

namespace insula::app {
namespace {

pg::pool_options options_for(std::string name, std::string conninfo, unsigned shared,
                             unsigned exclusive) {
    pg::pool_options options;
    options.name = std::move(name);
    options.conninfo = std::move(conninfo);
    options.shared_max = shared;
    options.exclusive_max = exclusive;
    // Two statements of each of 625 tenants, a sixteenth of 10,000: what is prepared again for
    // every request costs eight times the read. Backends stay below 64 MB (docs/decisions/0014).
    options.statement_bytes_max = 24U << 20U;
    return options;
}

std::vector<pg::pool*> pointers(const std::vector<std::unique_ptr<pg::pool>>& pools) {
    std::vector<pg::pool*> out;
    out.reserve(pools.size());
    for (const auto& pool : pools) {
        out.push_back(pool.get());
    }
    return out;
}

std::vector<std::unique_ptr<pg::pool>> make_cells(
    loop_set& loops, const config& values, const database_url& url,
    const tenancy::role_names& roles, const secret_bytes& key, pg::connection_budget& budget,
    observe::metrics& metrics, runtime::cpu_pool& resolver) {
    std::vector<std::unique_ptr<pg::pool>> pools;
    pools.reserve(static_cast<std::size_t>(values.cells));
    for (int k = 0; k < values.cells; ++k) {
        // A cell's shared connection belongs to one loop; the others post their units there.
        pools.push_back(std::make_unique<pg::pool>(
            loops.nth(static_cast<std::size_t>(k)),
            options_for("cell_" + std::to_string(k), url.conninfo(roles.cell(k), key), 1, 2),
            budget, metrics, &resolver));
    }
    return pools;
}

}  // namespace

databases::databases(loop_set& loops, const config& values, const database_url& url,
                     const tenancy::role_names& roles, const secret_bytes& key,
                     observe::metrics& metrics, runtime::cpu_pool& resolver)
    : budget(values.database_connections),
      control(loops.first(), options_for("app", url.conninfo(roles.app(), key), 2, 8), budget,
              metrics, &resolver),
      worker(loops.first(),
             options_for("worker", url.conninfo(roles.worker(), key), 1,
                         std::max(values.workers, 1U) + 4),
             budget, metrics, &resolver),
      cell_pools(make_cells(loops, values, url, roles, key, budget, metrics, resolver)),
      cells(pointers(cell_pools)) {}

runtime::awaitable<void> databases::close(runtime::deadline until) {
    for (auto& pool : cell_pools) {
        co_await pool->close(until);
    }
    co_await worker.close(until);
    co_await control.close(until);
}

}  // namespace insula::app
