#include "schemas.hpp"

#include <boost/json/array.hpp>

namespace insula::api::schema {

object text() {
    return {{"type", "string"}};
}
object uuid() {
    return {{"type", "string"}, {"format", "uuid"}};
}
object time() {
    return {{"type", "string"}, {"format", "date-time"}};
}
object integer() {
    return {{"type", "integer"}};
}
object boolean() {
    return {{"type", "boolean"}};
}
object one_of(std::initializer_list<std::string_view> choices) {
    boost::json::array values;
    for (const auto choice : choices) {
        values.emplace_back(boost::json::string(choice));
    }
    return {{"type", "string"}, {"enum", std::move(values)}};
}
object nullable(object inner) {
    return {{"anyOf", boost::json::array{std::move(inner), object{{"type", "null"}}}}};
}
object array_of(object items) {
    return {{"type", "array"}, {"items", std::move(items)}};
}
object of(std::initializer_list<std::pair<std::string_view, object>> members) {
    object properties;
    boost::json::array required;
    for (const auto& [name, what] : members) {
        properties[name] = what;
        required.emplace_back(boost::json::string(name));
    }
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"required", std::move(required)},
            {"additionalProperties", false}};
}
object page_of(object items) {
    return of({{"items", array_of(std::move(items))}, {"next_cursor", nullable(text())}});
}
object limit() {
    return {{"type", "integer"}, {"minimum", 1}, {"maximum", 100}, {"default", 50}};
}
object cursor() {
    return text();
}
object problem() {
    auto errors = array_of(of({{"pointer", text()}, {"code", text()}, {"detail", text()}}));
    object properties{{"type", object{{"type", "string"}, {"format", "uri-reference"}}},
                      {"title", text()},
                      {"status", integer()},
                      {"detail", text()},
                      {"code", text()},
                      {"request_id", text()},
                      {"errors", std::move(errors)}};
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"required", boost::json::array{"type", "title", "status", "code", "request_id"}}};
}

}  // namespace insula::api::schema
