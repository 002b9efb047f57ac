#pragma once
// The questions that examine_isolation() asks the catalogue.

#include <span>
#include <string_view>

namespace insula::tenancy::detail {

/// One check: `sql` is the rest of a WITH that begins with common_parts() and defines
/// `looked` (whose rows are counted) and `findings (how, object, what, mend)`.
struct catalogue_check {
    const char* name;
    const char* title;
    const char* of;
    const char* sql;
};

/// Who is who; $1 is the role prefix. `ours` (with `kind` and `cell`), `tenant_role`, `tenant`
/// (with its schema and role, where they exist), and `weak`: everybody whose SQL may be an
/// attacker's.
const char* common_parts() noexcept;

std::span<const catalogue_check> role_checks() noexcept;    ///< who is who, and may become whom
std::span<const catalogue_check> right_checks() noexcept;   ///< owners and privileges
std::span<const catalogue_check> code_checks() noexcept;    ///< functions, triggers, references
std::span<const catalogue_check> other_checks() noexcept;   ///< other schemas, other roles
std::span<const catalogue_check> server_checks() noexcept;  ///< extensions, settings and the like

}  // namespace insula::tenancy::detail
