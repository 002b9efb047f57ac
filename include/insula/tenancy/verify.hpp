#pragma once
// What `insula verify-isolation` does: reads the catalogue for whatever could let one tenant reach
// another, and tries it with the cells' real logins on two temporary tenants.

#include "insula/core/secret.hpp"
#include "insula/pg/pool.hpp"
#include "insula/tenancy/names.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::tenancy {

/// `danger` breaks a promise of isolation. `notice` is for the operator to judge, `accepted` is
/// what the operator has judged: both are reported and fail nothing.
enum class severity : std::uint8_t { danger, notice, accepted };
std::string_view name(severity how) noexcept;

struct isolation_finding {
    severity how = severity::danger;
    std::string object;  ///< "role insula_cell_0", "function public.f()"
    std::string what;    ///< a sentence: what is wrong, and what it lets somebody do
    std::string mend;    ///< the SQL that puts it right, or what to do; ends without a period
};

struct isolation_check {
    std::string name;                         ///< stable, for scripts: "login_memberships"
    std::string title;                        ///< for people: "memberships of our roles"
    std::int64_t looked_at = 0;               ///< how many objects, or attempts
    std::string of;                           ///< what was counted: "memberships", "attempts"
    std::vector<isolation_finding> findings;  ///< findings_max of them at most
    std::int64_t more_dangers = 0;            ///< beyond that
    std::int64_t more_notices = 0;
    /// Not empty: the check could not be made, and why. Counts as failed.
    std::string trouble;
};

inline constexpr int findings_max = 100;

struct isolation_report {
    std::vector<isolation_check> checks;
    /// The temporary tenants could not be removed, or somebody interrupted: a sentence.
    std::string trouble;

    std::int64_t count(severity how) const noexcept;
    /// No danger, and nothing that could not be looked at.
    bool isolated() const noexcept;
};

/// Called with each check when it is done, in order.
using isolation_progress = std::function<void(const isolation_check&)>;

/// Examines roles, rights, owners, functions, extensions and settings as they are in the
/// catalogue, and holds the tenants' rows against them. Changes nothing: one read-only transaction
/// with one snapshot, so what is provisioned or purged meanwhile confuses nobody. The work is a
/// fixed number of statements, whatever the number of tenants. `app` is the login of the service.
runtime::awaitable<pg::pg_result<std::vector<isolation_check>>> examine_isolation(
    pg::lease& app, const role_names& roles, const isolation_progress& tell);

/// Connections of our logins, made on demand.
class login_source {
public:
    virtual ~login_source() = default;
    /// Two of one login at the same time, at most.
    virtual runtime::awaitable<pg::pg_result<pg::lease>> open(std::string login) = 0;
    /// Ends what open() has made for this login; its leases have been given back.
    virtual runtime::awaitable<void> close(std::string login) = 0;
    /// Whether the server lets it in with a password that is not its own.
    virtual runtime::awaitable<bool> takes_any_password(std::string login) = 0;
};

struct probe_options {
    role_names roles;
    /// Asked before each attempt: true ends the probes, and the temporary tenants are removed.
    std::function<bool()> interrupted;
};

/// Makes two tenants as the workers do (they stay in `provisioning`: nobody can log in to them, no
/// service serves them), tries with every cell's login what must be refused, and removes them
/// again; as well as those of a run that was killed. One run at a time: others are refused in
/// `trouble`. Each attempt is rolled back.
runtime::awaitable<isolation_report> probe_isolation(login_source& logins,
                                                     const probe_options& options,
                                                     const isolation_progress& tell);

}  // namespace insula::tenancy
