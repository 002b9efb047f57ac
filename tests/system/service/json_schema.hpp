// As much of JSON Schema 2020-12 as our document uses, strictly: a word it does not know is an
// error of the test, not a schema that takes everything.
#pragma once

#include <boost/json.hpp>

#include <string>

namespace insula::test {

/// Why the value does not fit, with a pointer to where; empty when it fits.
std::string misfit(const boost::json::object& document, const boost::json::value& value,
                   const boost::json::object& schema, const std::string& at = "");

}  // namespace insula::test
