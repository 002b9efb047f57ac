// Failures inside the database, at places that a workflow's steps go through: as the server would
// report them, and after the effect, so that there is something to take back.
#pragma once

#include "support/postgres.hpp"

#include <string>
#include <string_view>

namespace insula::test {

class trouble {
public:
    /// Makes the places; nothing fails yet.
    explicit trouble(test_database& database);

    /// The next `times` arrivals at the place fail with this SQLSTATE, all others pass.
    void at(std::string_view place, std::string_view sqlstate, int times);
    void over();

    /// Every place of provisioning, in the order in which they are reached.
    static constexpr std::string_view places[] = {"role",  "migrations", "schema",
                                                  "ready", "owner",      "audit"};

private:
    test_database& database_;
};

/// "i/o error": tried again. "division by zero": the same statement fails again.
inline constexpr std::string_view passing = "58030";
inline constexpr std::string_view lasting = "22012";

}  // namespace insula::test
