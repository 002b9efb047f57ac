#pragma once
// schema_of<T>: the OpenAPI 3.1 (JSON Schema 2020-12) schema of a struct that decode<T> accepts, so
// that what is published and what is checked come from one description.

#include "insula/core/json_decode.hpp"

#include <boost/json/array.hpp>

namespace insula {

namespace detail {

/// {"type": type} and, unless empty, {"format": format}.
[[nodiscard]] boost::json::object simple_schema(std::string_view type,
                                                std::string_view format = {});
[[nodiscard]] boost::json::object integer_schema(std::int64_t min, std::uint64_t max);
/// The same schema, null allowed too.
[[nodiscard]] boost::json::object nullable_schema(boost::json::object schema);
[[nodiscard]] boost::json::object array_schema(boost::json::object items);
[[nodiscard]] boost::json::object object_schema(boost::json::object properties,
                                                boost::json::array required);

template <class T>
struct schema_builder {
    static boost::json::object make() {
        if constexpr (std::same_as<T, bool>) {
            return simple_schema("boolean");
        } else if constexpr (json_integer<T>) {
            return integer_schema(static_cast<std::int64_t>(std::numeric_limits<T>::min()),
                                  static_cast<std::uint64_t>(std::numeric_limits<T>::max()));
        } else if constexpr (std::same_as<T, double>) {
            return simple_schema("number");
        } else if constexpr (std::same_as<T, std::string> || std::same_as<T, secret_string>) {
            return simple_schema("string");
        } else if constexpr (std::same_as<T, timestamp>) {
            return simple_schema("string", "date-time");
        } else if constexpr (std::same_as<T, boost::json::value>) {
            return {};
        } else if constexpr (std::same_as<T, boost::json::object>) {
            return simple_schema("object");
        } else if constexpr (requires { T::schema(); }) {
            return T::schema();
        } else if constexpr (parsed_id<T>) {
            return simple_schema("string", "uuid");
        } else if constexpr (described_enum<T>) {
            auto schema = simple_schema("string");
            boost::json::array choices;
            boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>(
                [&](auto D) { choices.emplace_back(D.name); });
            schema["enum"] = std::move(choices);
            return schema;
        } else {
            static_assert(described_struct<T>, "no JSON schema for this type");
            return make_struct();
        }
    }

private:
    static boost::json::object make_struct();
};

template <class T>
struct schema_builder<std::optional<T>> : schema_builder<T> {};

template <class T>
struct schema_builder<patch_field<T>> {
    static boost::json::object make() { return nullable_schema(schema_builder<T>::make()); }
};

template <class T>
struct schema_builder<std::vector<T>> {
    static boost::json::object make() { return array_schema(schema_builder<T>::make()); }
};

template <class T>
boost::json::object schema_builder<T>::make_struct() {
    boost::json::object properties;
    boost::json::array required;
    boost::mp11::mp_for_each<struct_members<T>>([&](auto D) {
        using member = std::remove_cvref_t<decltype(std::declval<T&>().*D.pointer)>;
        properties[D.name] = schema_builder<member>::make();
        if (!may_be_absent<member>) {
            required.emplace_back(D.name);
        }
    });
    return object_schema(std::move(properties), std::move(required));
}

}  // namespace detail

template <class T>
[[nodiscard]] boost::json::object schema_of() {
    return detail::schema_builder<T>::make();
}

}  // namespace insula
