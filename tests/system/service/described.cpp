#include "described.hpp"

#include <algorithm>

namespace insula::test {
namespace {

bool is_a(const json::value& value, std::string_view type) {
    return (type == "string" && value.is_string()) || (type == "boolean" && value.is_bool()) ||
           (type == "integer" && (value.is_int64() || value.is_uint64())) ||
           (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "null" && value.is_null());
}

bool fits(const json::value& value, const json::object& schema, const std::string& at,
          std::string& why);

bool members_fit(const json::object& value, const json::object& schema, const std::string& at,
                 std::string& why) {
    const auto& known = schema.at("properties").as_object();
    for (const auto& name : schema.at("required").as_array()) {
        if (!value.contains(name.as_string())) {
            why = at + " has no " + std::string(name.as_string());
            return false;
        }
    }
    for (const auto& member : value) {
        const auto* described = known.if_contains(member.key());
        if (described == nullptr) {
            why = at + " has a member that is not described: " + std::string(member.key());
            return false;
        }
        if (!fits(member.value(), described->as_object(), at + "/" + std::string(member.key()),
                  why)) {
            return false;
        }
    }
    return true;
}

/// As much of JSON Schema as the document uses for answers.
bool fits(const json::value& value, const json::object& schema, const std::string& at,
          std::string& why) {
    if (const auto* any = schema.if_contains("anyOf")) {
        return std::ranges::any_of(any->as_array(), [&](const json::value& one) {
            return fits(value, one.as_object(), at, why);
        });
    }
    if (!is_a(value, std::string_view(schema.at("type").as_string()))) {
        why = at + " is no " + std::string(schema.at("type").as_string()) + " but " +
              json::serialize(value);
        return false;
    }
    if (const auto* choices = schema.if_contains("enum")) {
        why = at + " is none of the values described: " + json::serialize(value);
        return std::ranges::find(choices->as_array(), value) != choices->as_array().end();
    }
    if (value.is_object()) {
        return members_fit(value.as_object(), schema, at, why);
    }
    return !value.is_array() || std::ranges::all_of(value.as_array(), [&](const json::value& one) {
        return fits(one, schema.at("items").as_object(), at + "/*", why);
    });
}

}  // namespace

testing::AssertionResult is_described(http_client& client, const http_answer& answer,
                                      std::string_view method, std::string_view path) {
    const auto document = parse(get(client, "/openapi.json"));
    const auto& responses = document.at("paths").at(path).at(method).at("responses").as_object();
    const auto* about = responses.if_contains(std::to_string(answer.status));
    if (about == nullptr) {
        return testing::AssertionFailure() << "this status is not described: " << answer.text();
    }
    if (answer.status >= 400) {
        return is_problem(answer, answer.status, "");
    }
    std::string why;
    const auto& schema = about->at("content").at("application/json").at("schema").as_object();
    if (!fits(parse(answer), schema, "", why)) {
        return testing::AssertionFailure() << why << " in " << answer.text();
    }
    return testing::AssertionSuccess();
}

}  // namespace insula::test
