#pragma once
// The names of what requests and answers hold: a generated client has these as its types.

#include <boost/json/object.hpp>

#include <string>
#include <string_view>

namespace insula::api {

/// components.schemas. Where one holds another that is named, there is a reference.
boost::json::object component_schemas();

/// The schema with everything in it that has a name replaced by a reference to it; itself, too.
boost::json::object with_references(const boost::json::object& schema);

/// {"$ref": "#/components/<kind>/<name>"}
boost::json::object reference_to(std::string_view kind, std::string_view name);

}  // namespace insula::api
