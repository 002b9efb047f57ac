#pragma once
#include "insula/core/json_writer.hpp"
#include "insula/identity/tenant_life.hpp"

namespace insula::api {

/// A tenant as operators see it: the same JSON from /admin/tenants and from `insula tenant --json`.
void write_tenant_record(json_writer& out, const identity::tenant_record& tenant);

}  // namespace insula::api
