#pragma once
// The schemas that requests are published with: values that fit them, more or less, and whether a
// value does.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <random>
#include <string>

namespace insula::fuzz {

/// A value for the schema; now and then one of another type, without a member or with one too many.
boost::json::value sample(const boost::json::object& schema, std::mt19937& dice);
/// As it would stand in a query.
std::string text_of(const boost::json::value& value);
/// An id, a slug, or what is neither.
std::string word_for_path(std::mt19937& dice);

/// Why the value does not fit; empty when it does. Knows the words that requests' schemas use.
std::string misfit(const boost::json::value& value, const boost::json::object& schema);

}  // namespace insula::fuzz
