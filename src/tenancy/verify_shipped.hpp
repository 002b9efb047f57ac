#pragma once
// The check of the control plane's own functions and triggers.

#include "insula/tenancy/names.hpp"

#include <string>

namespace insula::tenancy::detail {

/// The rest of the WITH, as in catalogue_check; made anew because it holds the text of every
/// function and trigger that this version makes.
std::string shipped_code_question(const role_names& roles);

}  // namespace insula::tenancy::detail
