// An installed database and "processes" that have all workflows: what a tenant's life needs,
// without HTTP.
#pragma once

#include "support/queue_invariants.hpp"
#include "support/service/installed_database.hpp"

#include "insula/identity/tenant_life.hpp"
#include "insula/mail/transport.hpp"
#include "insula/queue/engine.hpp"
#include "insula/runtime/cpu_pool.hpp"
#include "insula/workflows/workflows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace insula::test {

using namespace std::chrono_literals;

/// How long a process that died keeps its runs.
inline constexpr auto short_lease = std::chrono::milliseconds(600);

/// Takes every mail and keeps none.
class no_mail final : public mail::transport {
public:
    using transport::transport;

private:
    runtime::awaitable<mail::delivery> deliver(mail::message, runtime::deadline) override {
        co_return mail::delivery{};
    }
};

queue::engine_options quick_engine(unsigned workers = 4);

/// Pools, engine and identity as one process of the service has them, on a loop of their own.
class life_process {
public:
    explicit life_process(const installed_database& database,
                          queue::engine_options options = quick_engine(),
                          std::chrono::seconds grace = std::chrono::hours(1));
    ~life_process();

    identity::context& with() { return *context_; }
    queue::engine& engine() { return *engine_; }
    test_pools& pools() { return pools_; }
    runtime::loop& loop() { return loop_.get(); }
    tenancy::directory& directory() { return directory_; }

    template <class T>
    T await(runtime::awaitable<T> work) {
        return loop_.await(std::move(work));
    }

private:
    running_loop loop_;
    test_pools pools_;
    identity::password_hasher hasher_{{.passes = 1, .memory_bytes = 8192}};
    identity::secret_keys keys_;
    runtime::cpu_pool hashing_{1, 1000};
    no_mail mail_;
    mail::templates templates_{""};
    workflows::services services_;
    queue::registry registry_;
    std::unique_ptr<queue::engine> engine_;
    tenancy::directory directory_;
    tenancy::revocations revoked_;  // never started: whatever catches up is told at once
    std::unique_ptr<identity::context> context_;
};

/// This very program, started again to run an engine with all workflows until it dies of `fault`
/// (as INSULA_FAULT takes it).
class life_child {
public:
    life_child(const installed_database& database, const std::string& fault);
    life_child(const life_child&) = delete;
    life_child& operator=(const life_child&) = delete;
    ~life_child();
    /// The signal it died of within the time; 0: it lives, or ended otherwise.
    int died_of(std::chrono::milliseconds within = 20s);

private:
    pid_t pid_ = -1;
};

identity::registration_form form_for(const std::string& slug, const std::string& email);
identity::caller nobody();

/// Questions about tenants, asked as administrator with nothing of the product in between.
class life : public testing::Test {
protected:
    explicit life(cluster& where = shared_cluster()) : database(where) {}

    installed_database database;

    std::string sql(const std::string& text) { return database.raw().value_admin(text); }
    void run(const std::string& text) { database.raw().query_admin(text); }
    std::string status(tenant_id tenant);
    /// Polls until the query answers `wanted`.
    testing::AssertionResult becomes(const std::string& question, const std::string& wanted,
                                     std::chrono::milliseconds within = 20s);
    testing::AssertionResult gets(tenant_id tenant, const std::string& wanted,
                                  std::chrono::milliseconds within = 20s);
    /// Everything the cluster still has of the tenant besides its row and its audit log: a sentence
    /// each.
    std::vector<std::string> leftovers(tenant_id tenant);
    /// Columns, types, defaults, constraints, indexes, owners and grants of the tenant's schema and
    /// role, without its name.
    rows fingerprint(tenant_id tenant);

    identity::registered register_one(life_process& in, const std::string& slug,
                                      const std::string& email = {});
    /// A registration through to ready.
    identity::registered make_ready(life_process& in, const std::string& slug);
    /// A session of the owner.
    token::claims log_in(const identity::registered& who);
    token::claims make_operator();
};

}  // namespace insula::test
