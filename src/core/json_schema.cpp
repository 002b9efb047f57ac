#include "insula/core/json_schema.hpp"

namespace insula::detail {

boost::json::object simple_schema(std::string_view type, std::string_view format) {
    boost::json::object schema;
    schema["type"] = type;
    if (!format.empty()) {
        schema["format"] = format;
    }
    return schema;
}

boost::json::object integer_schema(std::int64_t min, std::uint64_t max) {
    auto schema = simple_schema("integer");
    schema["minimum"] = min;
    schema["maximum"] = max;
    return schema;
}

boost::json::object nullable_schema(boost::json::object schema) {
    // Where one type is named, 3.1 lists it with "null"; a schema without a type allows null
    // already.
    if (auto* type = schema.if_contains("type"); type && type->is_string()) {
        boost::json::array types;
        types.emplace_back(*type);
        types.emplace_back("null");
        *type = std::move(types);
    }
    if (auto* choices = schema.if_contains("enum"); choices && choices->is_array()) {
        choices->get_array().emplace_back(nullptr);
    }
    return schema;
}

boost::json::object array_schema(boost::json::object items) {
    auto schema = simple_schema("array");
    schema["items"] = std::move(items);
    schema["maxItems"] = json_items_max;
    return schema;
}

boost::json::object object_schema(boost::json::object properties, boost::json::array required) {
    auto schema = simple_schema("object");
    schema["properties"] = std::move(properties);
    if (!required.empty()) {
        schema["required"] = std::move(required);
    }
    schema["additionalProperties"] = false;
    return schema;
}

}  // namespace insula::detail
