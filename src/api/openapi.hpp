#pragma once
// The API's description, generated from the route table: what a client is generated from, what the
// page /docs shows, and what the system tests hold every answer against.

#include <boost/json/object.hpp>

#include <string>
#include <string_view>

namespace insula::api {

/// What of a process its description depends on.
struct published {
    std::string version;
    std::string public_url;
    bool projects = true;  ///< false: the example's routes do not exist
};

/// OpenAPI 3.1.
boost::json::object openapi_document(const published& about);

/// The page /docs, out of that document.
std::string docs_page(const boost::json::object& document);

}  // namespace insula::api
