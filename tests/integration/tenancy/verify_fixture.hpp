#pragma once
// A bootstrapped database with three tenants, and verify-isolation asked about it.

#include "support/service/installed_database.hpp"

#include "insula/tenancy/verify.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace insula::test {

/// The logins of an installed database, each with a pool of its own.
class pooled_logins final : public tenancy::login_source {
public:
    pooled_logins(runtime::loop& home, const installed_database& database)
        : home_(home), database_(database) {}

    runtime::awaitable<pg::pg_result<pg::lease>> open(std::string login) override;
    runtime::awaitable<void> close(std::string login) override;
    runtime::awaitable<bool> takes_any_password(std::string login) override;
    runtime::awaitable<void> close_all();

private:
    runtime::loop& home_;
    const installed_database& database_;
    observe::metrics metrics_;
    pg::connection_budget budget_{8};
    std::map<std::string, std::unique_ptr<pg::pool>> pools_;
};

/// One database for all tests: each puts back what it has changed.
struct verify_isolation : testing::Test {
    static void SetUpTestSuite();
    static void TearDownTestSuite();

    tenancy::isolation_report examine();
    tenancy::isolation_report probe(std::function<bool()> interrupted = {});
    std::string admin(const std::string& sql) { return database->raw().value_admin(sql); }
    void as_admin(const std::string& sql) { database->raw().query_admin(sql); }
    /// {prefix}, {a}, {b} (cell 0), {c} (cell 1) in SQL and names.
    std::string expand(std::string text) const;
    /// What somebody with a terminal would see of the tenants.
    std::string tenants_and_schemas();

    static std::unique_ptr<installed_database> database;
    static std::unique_ptr<running_loop> loop;
    static std::map<std::string, installed_database::tenant> tenants;
};

/// One line for each finding: "check | severity | object | what | mend".
std::string describe(const tenancy::isolation_report& report);

}  // namespace insula::test
