#pragma once
// JSON in: strict parsing, then decoding into described structs with every field error at once.
// JSON out: json_writer.hpp (included here).

#include "insula/core/error.hpp"
#include "insula/core/json_decode.hpp"
#include "insula/core/json_schema.hpp"
#include "insula/core/json_writer.hpp"

#include <boost/json/value.hpp>

#include <string_view>

namespace insula {

namespace json = boost::json;

/// A parsed text; keeps the memory of all its values.
using json_document = boost::json::value;

struct json_limits {
    std::size_t depth_max = 32;
    /// Members of one object. Boost.JSON's hash is not keyed, so an object of colliding names costs
    /// the square of its size: this bound keeps the whole parse linear in the size of the text.
    std::size_t members_max = 256;
};

/// RFC 8259, and stricter: one value, valid UTF-8 (lone surrogates refused), no duplicate members,
/// depth and size of objects bounded, nothing but white space behind it. Linear in text.size().
/// Anything else is malformed_json (400). Integers beyond 64 bits become doubles; a number beyond
/// double is malformed.
[[nodiscard]] result<json_document> parse_json(std::string_view text,
                                               const json_limits& limits = {});

/// The canonical one-line text of a tree, for storing it.
[[nodiscard]] std::string to_json_text(const boost::json::value& tree);

}  // namespace insula
