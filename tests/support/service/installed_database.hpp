#pragma once
// A database as an operator has it after `insula bootstrap` and `insula migrate`, with the same
// roles as in production: nothing in a test runs as superuser but its own questions.

#include "support/postgres.hpp"

#include "insula/app/config.hpp"
#include "insula/app/database_url.hpp"
#include "insula/core/ids.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/pg/pool.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/tenancy/directory.hpp"
#include "insula/tenancy/names.hpp"

#include <boost/asio/co_spawn.hpp>

#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace insula::test {

inline constexpr int installed_cells = 2;

class installed_database {
public:
    explicit installed_database(cluster& where = shared_cluster());

    test_database& raw() { return database_; }
    const app::config& values() const { return values_; }
    const tenancy::role_names& roles() const { return roles_; }
    const secret_bytes& key() const { return key_; }
    /// libpq conninfo of a login, with its derived password.
    std::string conninfo(std::string_view role) const { return url_.conninfo(role, key_); }

    /// A ready tenant with schema, role and an owner who has a session; by SQL, as the workers'
    /// login does it.
    struct tenant {
        tenant_id id;
        int cell = 0;
        std::string slug;
        user_id owner;
        session_id session;
        std::string schema() const { return tenancy::tenant_name(id); }
    };
    tenant make_tenant(int cell, std::string slug);

private:
    test_database database_;
    app::config values_;
    secret_bytes key_;
    tenancy::role_names roles_;
    app::database_url url_;
};

/// One loop on a thread of its own, on the backend that INSULA_RUNTIME names, for tests that await.
class running_loop {
public:
    running_loop();
    ~running_loop();
    runtime::loop& get() { return *loop_; }

    /// Runs the coroutine on the loop and waits for its end; what it throws is thrown here.
    template <class T>
    T await(runtime::awaitable<T> work) {
        std::promise<T> promise;
        auto future = promise.get_future();
        boost::asio::co_spawn(loop_->get_executor(), std::move(work),
                              [&](std::exception_ptr thrown, T value) {
                                  if (thrown) {
                                      promise.set_exception(thrown);
                                  } else {
                                      promise.set_value(std::move(value));
                                  }
                              });
        return future.get();
    }
    void await(runtime::awaitable<void> work);

private:
    std::unique_ptr<runtime::loop> loop_;
    std::thread thread_;
};

/// The pools a service would have, on one loop.
struct test_pools {
    test_pools(runtime::loop& home, const installed_database& database);

    observe::metrics metrics;
    pg::connection_budget budget{32};
    pg::pool control;
    pg::pool worker;
    std::vector<std::unique_ptr<pg::pool>> cells;

    std::vector<pg::pool*> cell_pointers() const;
    runtime::awaitable<void> close();
};

}  // namespace insula::test
