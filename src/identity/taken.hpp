#pragma once
#include "insula/core/error.hpp"
#include "insula/pg/error.hpp"

namespace insula::identity {

/// slug_taken, email_taken; everything else by tenancy::to_error.
error taken(const pg::pg_error& failure);

}  // namespace insula::identity
