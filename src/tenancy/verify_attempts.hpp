#pragma once
// What verify-isolation tries, as data.

#include "verify_tenants.hpp"

#include "insula/tenancy/verify.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace insula::tenancy::detail {

/// Something that must end in one way. Run in a transaction of its own, which is rolled back.
struct attempt {
    std::string role;  ///< switched to first, as a unit of work does; empty: the login as it is
    std::string sql;
    enum class must : std::uint8_t {
        be_refused,   ///< 42501
        succeed,      ///< or the other attempts prove nothing
        answer_true,  ///< its last result is one boolean
    } what = must::be_refused;
    std::string refusal{};              ///< another SQLSTATE that refuses as well
    std::vector<std::string> before{};  ///< statements in front, in the same transaction
    bool on_neighbour = false;          ///< proves something only while B's session lives
};

/// All that is tried on one login under one name.
struct attempt_group {
    std::string check;  ///< several groups may be of one check
    std::string login;
    std::vector<attempt> attempts;
};

struct attempt_plan {
    role_names roles;
    int cell = 0;  ///< of both tenants
    std::vector<int> other_cells;
    temporary_tenant a;
    temporary_tenant b;
    std::vector<relation> control;  ///< of the control plane
    int neighbour = 0;              ///< backend of B's open session
    std::string mark;               ///< in the text of what B's session runs
};

/// Names, titles and what to do about a failure, in the order of the report.
struct attempt_check {
    const char* name;
    const char* title;
    const char* mend;
};
inline constexpr attempt_check attempt_checks[] = {
    {"probe_own", "a tenant reaches its own tables", "insula bootstrap, then insula migrate"},
    {"probe_without_scope", "without a scope nothing of a tenant is reached",
     "see tenant_tables, schemas and memberships above"},
    {"probe_other_tenant", "in a tenant's scope another tenant is out of reach",
     "see tenant_tables, schemas and function_rights above"},
    {"probe_other_cell", "other cells' logins reach neither", "see memberships and roles above"},
    {"probe_become", "nobody becomes what it is not", "see memberships and roles above"},
    {"probe_create", "a tenant makes and changes nothing",
     "see schemas, database, owned, languages and tenant_tables above"},
    {"probe_control", "the control plane is out of reach",
     "see control_tables, schemas and function_rights above"},
    {"probe_functions", "the tenants' functions take the tenant from the role",
     "insula migrate with the program that made the database; see functions above"},
    {"probe_server", "locks, files, settings and other sessions are out of reach",
     "see function_rights, memberships and settings above"},
};

std::vector<attempt_group> plan_attempts(const attempt_plan& plan);

}  // namespace insula::tenancy::detail
