#include "json_schema.hpp"

#include "described.hpp"

#include <algorithm>
#include <regex>
#include <set>

namespace insula::test {
namespace {

bool is_a(const json::value& value, std::string_view type) {
    return (type == "string" && value.is_string()) || (type == "boolean" && value.is_bool()) ||
           (type == "integer" && (value.is_int64() || value.is_uint64())) ||
           (type == "number" && value.is_number()) || (type == "object" && value.is_object()) ||
           (type == "array" && value.is_array()) || (type == "null" && value.is_null());
}

bool type_fits(const json::value& value, const json::value& types) {
    if (types.is_array()) {
        return std::ranges::any_of(types.as_array(), [&](const json::value& one) {
            return is_a(value, std::string_view(one.as_string()));
        });
    }
    return is_a(value, std::string_view(types.as_string()));
}

std::size_t code_points(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool format_fits(const std::string& text, std::string_view format) {
    static const std::regex uuid("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");
    static const std::regex time(
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z");
    if (format == "uuid") {
        return std::regex_match(text, uuid);
    }
    if (format == "date-time") {
        return std::regex_match(text, time);
    }
    return format == "email" || format == "password" || format == "uri-reference";
}

std::string text_misfit(const std::string& text, const json::object& schema) {
    if (const auto* limit = schema.if_contains("minLength");
        limit != nullptr && code_points(text) < limit->to_number<std::size_t>()) {
        return " is too short";
    }
    if (const auto* limit = schema.if_contains("maxLength");
        limit != nullptr && code_points(text) > limit->to_number<std::size_t>()) {
        return " is too long";
    }
    if (const auto* pattern = schema.if_contains("pattern");
        pattern != nullptr &&
        !std::regex_search(text, std::regex(std::string(pattern->as_string())))) {
        return " is not like " + std::string(pattern->as_string());
    }
    if (const auto* format = schema.if_contains("format");
        format != nullptr && !format_fits(text, format->as_string())) {
        return " is no " + std::string(format->as_string());
    }
    return "";
}

std::string members_misfit(const json::object& document, const json::object& value,
                           const json::object& schema, const std::string& at) {
    if (const auto* required = schema.if_contains("required")) {
        for (const auto& name : required->as_array()) {
            if (!value.contains(name.as_string())) {
                return at + " has no " + std::string(name.as_string());
            }
        }
    }
    const auto* known = schema.if_contains("properties");
    const bool closed = schema.contains("additionalProperties");
    for (const auto& member : value) {
        const auto* described =
            known == nullptr ? nullptr : known->as_object().if_contains(member.key());
        if (described == nullptr) {
            if (closed) {
                return at + " has a member that is not described: " + std::string(member.key());
            }
            continue;
        }
        auto why = misfit(document, member.value(), described->as_object(),
                          at + "/" + std::string(member.key()));
        if (!why.empty()) {
            return why;
        }
    }
    return "";
}

void expect_known_words(const json::object& schema) {
    static const std::set<std::string_view> known{
        "$ref",    "type",      "properties", "required",   "additionalProperties",
        "items",   "enum",      "anyOf",      "allOf",      "format",
        "pattern", "minLength", "maxLength",  "minimum",    "maximum",
        "default", "title",     "writeOnly",  "description"};
    for (const auto& word : schema) {
        if (!known.contains(word.key())) {
            throw std::runtime_error("json_schema.cpp does not know the word " +
                                     std::string(word.key()));
        }
    }
}

std::string alternatives_misfit(const json::object& document, const json::value& value,
                                const json::object& schema, const std::string& at) {
    std::string why;
    if (const auto* any = schema.if_contains("anyOf")) {
        for (const auto& one : any->as_array()) {
            why = misfit(document, value, one.as_object(), at);
            if (why.empty()) {
                break;
            }
        }
    }
    if (const auto* all = schema.if_contains("allOf"); all != nullptr && why.empty()) {
        for (const auto& one : all->as_array()) {
            why = misfit(document, value, one.as_object(), at);
            if (!why.empty()) {
                break;
            }
        }
    }
    return why;
}

}  // namespace

std::string misfit(const json::object& document, const json::value& value,
                   const json::object& maybe_reference, const std::string& at) {
    const auto& schema = resolved(document, maybe_reference);
    expect_known_words(schema);
    if (auto why = alternatives_misfit(document, value, schema, at); !why.empty()) {
        return why;
    }
    if (const auto* types = schema.if_contains("type");
        types != nullptr && !type_fits(value, *types)) {
        return at + " is no " + json::serialize(*types) + " but " + json::serialize(value);
    }
    if (const auto* choices = schema.if_contains("enum");
        choices != nullptr &&
        std::ranges::find(choices->as_array(), value) == choices->as_array().end()) {
        return at + " is none of the values described: " + json::serialize(value);
    }
    if (const auto* limit = schema.if_contains("minimum");
        limit != nullptr && value.is_int64() && value.as_int64() < limit->as_int64()) {
        return at + " is too small";
    }
    if (value.is_string()) {
        const auto why = text_misfit(std::string(value.as_string()), schema);
        return why.empty() ? why : at + why + ": " + json::serialize(value);
    }
    if (value.is_object()) {
        return members_misfit(document, value.as_object(), schema, at);
    }
    if (value.is_array() && schema.contains("items")) {
        for (const auto& one : value.as_array()) {
            auto why = misfit(document, one, schema.at("items").as_object(), at + "/*");
            if (!why.empty()) {
                return why;
            }
        }
    }
    return "";
}

}  // namespace insula::test
