#pragma once
#include "run_blocking.hpp"

#include "insula/app/config.hpp"
#include "insula/app/database_setup.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/pg/pool.hpp"
#include "insula/runtime/cpu_pool.hpp"

#include <memory>
#include <string>

namespace insula::app {

/// A small loop on the configured backend, for a command that ends.
result<std::unique_ptr<runtime::loop>> setup_loop(const config& values);

/// One connection of one login, for a command: loop, pool and lease.
class setup_connection {
public:
    static constexpr std::chrono::minutes setup_limit{60};
    static constexpr std::chrono::seconds connect_limit{15};
    static constexpr std::chrono::seconds first_look{2};

    setup_connection(runtime::loop& home, std::string name, std::string conninfo)
        : budget_(2),
          resolver_(1, 8),
          pool_(home,
                {.name = std::move(name),
                 .conninfo = std::move(conninfo),
                 .exclusive_max = 1,
                 .backoff_max = std::chrono::milliseconds(500)},
                budget_, metrics_, &resolver_) {}

    runtime::awaitable<pg::pg_result<pg::lease>> open() {
        const auto until = runtime::deadline::after(connect_limit);
        auto lease = co_await pool_.acquire(until.sooner(runtime::deadline::after(first_look)));
        while (!lease && may_come_up(lease.error()) && !until.expired()) {
            lease = co_await pool_.acquire(until.sooner(runtime::deadline::after(first_look)));
        }
        if (lease) {
            lease->expires_at(runtime::deadline::after(setup_limit));
        }
        co_return lease;
    }
    pg::pool& pool() noexcept { return pool_; }
    runtime::awaitable<void> close() {
        return pool_.close(runtime::deadline::after(std::chrono::seconds(5)));
    }

private:
    observe::metrics metrics_;
    pg::connection_budget budget_;
    runtime::cpu_pool resolver_;
    pg::pool pool_;
};

}  // namespace insula::app
