#pragma once
#include "insula/core/uuid.hpp"

#include <string>
#include <string_view>

namespace insula::pg::detail {

/// Whether a statement speaks of a tenant's schema.
bool has_schema_placeholder(std::string_view sql) noexcept;

/// Replaces every `{t}` by the quoted schema name "t_<32 hex>".
std::string expand_schema(std::string_view sql, const uuid& schema);

/// SQL's delimited identifier: in double quotes, inner ones doubled.
std::string quote_identifier(std::string_view name);

}  // namespace insula::pg::detail
