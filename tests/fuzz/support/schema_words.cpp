#include "support/schema_words.hpp"

#include "support/fuzz.hpp"

#include "insula/core/text.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>

namespace insula::fuzz {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

constexpr std::array words{"acme",
                           "ada@example.com",
                           "correct horse battery staple 7",
                           "Ada Lovelace",
                           "0193a5d2-7c3e-7000-8000-0000000000ab",
                           "member",
                           "owner",
                           "",
                           "x",
                           "a\xc3\xbc\xe2\x80\xae",
                           "2026-11-23T06:30:00Z",
                           "AAAAAAAAAAAAAAAAAAAAAA"};

std::string word(std::mt19937& dice) {
    return words.at(dice() % words.size());
}

value text_sample(const object& schema, std::mt19937& dice) {
    if (const auto* choices = schema.if_contains("enum")) {
        return choices->as_array().at(dice() % choices->as_array().size());
    }
    const auto* format = schema.if_contains("format");
    if (format != nullptr && dice() % 8 != 0) {
        if (format->as_string() == "email") {
            return "ada@example.com";
        }
        if (format->as_string() == "uuid") {
            return "0193a5d2-7c3e-7000-8000-0000000000ab";
        }
    }
    if (schema.contains("pattern") && dice() % 4 != 0) {
        return "acme-2";
    }
    if (schema.contains("maxLength") && dice() % 16 == 0) {
        const auto size = schema.at("maxLength").to_number<std::size_t>() + dice() % 2;
        return value(boost::json::string(size, 'a'));
    }
    return value(boost::json::string(word(dice)));
}

value object_sample(const object& schema, std::mt19937& dice) {
    object made;
    const auto* properties = schema.if_contains("properties");
    if (properties == nullptr) {
        return made;
    }
    const auto* required = schema.if_contains("required");
    for (const auto& [name, inner] : properties->as_object()) {
        const bool needed =
            required != nullptr &&
            std::ranges::find(required->as_array(), value(name)) != required->as_array().end();
        if (dice() % 32 != 0 && (needed || dice() % 2 == 0)) {
            made[name] = sample(inner.as_object(), dice);
        }
    }
    if (dice() % 32 == 0) {
        made[word(dice)] = word(dice);
    }
    return made;
}

bool type_fits(const value& v, std::string_view type) {
    return (type == "string" && v.is_string()) || (type == "boolean" && v.is_bool()) ||
           (type == "integer" && (v.is_int64() || v.is_uint64())) ||
           (type == "number" && v.is_number()) || (type == "object" && v.is_object()) ||
           (type == "array" && v.is_array()) || (type == "null" && v.is_null());
}

std::string text_misfit(std::string_view text, const object& schema) {
    const auto points = count_code_points(text);
    const auto* least = schema.if_contains("minLength");
    const auto* most = schema.if_contains("maxLength");
    if (least != nullptr && points < least->to_number<std::size_t>()) {
        return "too short";
    }
    return most != nullptr && points > most->to_number<std::size_t>() ? "too long" : "";
}

std::string object_misfit(const object& v, const object& schema) {
    if (const auto* required = schema.if_contains("required")) {
        for (const auto& name : required->as_array()) {
            if (!v.contains(name.as_string())) {
                return "there is no " + std::string(name.as_string());
            }
        }
    }
    const auto* properties = schema.if_contains("properties");
    for (const auto& [name, member] : v) {
        const auto* inner =
            properties == nullptr ? nullptr : properties->as_object().if_contains(name);
        if (inner == nullptr) {
            if (schema.contains("additionalProperties")) {
                return "unknown member";
            }
            continue;
        }
        if (auto why = misfit(member, inner->as_object()); !why.empty()) {
            return std::string(name) + ": " + why;
        }
    }
    return "";
}

}  // namespace

value sample(const object& schema, std::mt19937& dice) {
    if (dice() % 64 == 0) {
        static const std::array<value, 6> odd{value(nullptr), value(true),     value(-1),
                                              value(1.5),     value(object()), value(array())};
        return odd.at(dice() % odd.size());
    }
    if (const auto* any = schema.if_contains("anyOf")) {
        return sample(any->as_array().at(dice() % any->as_array().size()).as_object(), dice);
    }
    const auto types = schema.contains("type") ? schema.at("type") : value("string");
    const auto& chosen =
        types.is_array() ? types.as_array().at(dice() % types.as_array().size()) : types;
    const std::string_view name = chosen.as_string();
    if (name == "object") {
        return object_sample(schema, dice);
    }
    if (name == "array") {
        array items;
        for (auto count = dice() % 3; count > 0 && schema.contains("items"); --count) {
            items.push_back(sample(schema.at("items").as_object(), dice));
        }
        return items;
    }
    if (name == "boolean") {
        return dice() % 2 == 0;
    }
    if (name == "integer" || name == "number") {
        return static_cast<std::int64_t>(dice() % 200);
    }
    return name == "null" ? value(nullptr) : text_sample(schema, dice);
}

std::string text_of(const value& v) {
    return v.is_string() ? replace_all(std::string(v.as_string()), " ", "+")
                         : boost::json::serialize(v);
}

std::string word_for_path(std::mt19937& dice) {
    auto text = replace_all(word(dice), " ", "%20");
    return text.empty() || static_cast<unsigned char>(text.back()) > 0x7f ? "%C3%BC" : text;
}

std::string misfit(const value& v, const object& schema) {
    if (const auto* any = schema.if_contains("anyOf")) {
        std::string why;
        for (const auto& one : any->as_array()) {
            why = misfit(v, one.as_object());
            if (why.empty()) {
                return "";
            }
        }
        return why;
    }
    if (const auto* choices = schema.if_contains("enum")) {
        if (std::ranges::find(choices->as_array(), v) == choices->as_array().end()) {
            return "not one of the choices";
        }
    }
    if (const auto* type = schema.if_contains("type")) {
        const auto choices = type->is_array() ? type->as_array() : array{*type};
        if (std::ranges::none_of(
                choices, [&v](const value& one) { return type_fits(v, one.as_string()); })) {
            return "not of type " + boost::json::serialize(*type);
        }
    }
    if (v.is_string()) {
        return text_misfit(v.as_string(), schema);
    }
    if (v.is_object()) {
        return object_misfit(v.as_object(), schema);
    }
    if (v.is_array() && schema.contains("items")) {
        for (const auto& item : v.as_array()) {
            if (auto why = misfit(item, schema.at("items").as_object()); !why.empty()) {
                return why;
            }
        }
    }
    return "";
}

}  // namespace insula::fuzz
