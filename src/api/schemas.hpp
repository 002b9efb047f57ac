#pragma once
// OpenAPI schemas of what the API answers. Requests' schemas come from the structs that decode
// them.

#include <boost/json/object.hpp>

#include <initializer_list>
#include <string_view>
#include <utility>

namespace insula::api::schema {

using object = boost::json::object;

object text();
object uuid();
object time();
object integer();
object boolean();
object one_of(std::initializer_list<std::string_view> choices);
object nullable(object inner);
object array_of(object items);
/// All members required, none besides them.
object of(std::initializer_list<std::pair<std::string_view, object>> members);
object page_of(object items);
object limit();
object cursor();
object problem();
// What machines ask.
object any_object();
object health();
object readiness();
object jwks();
object openid_configuration();

}  // namespace insula::api::schema
