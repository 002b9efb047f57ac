#pragma once
// Filters in the query, and the pages that lists answer. limit_parameter() and only_parameters()
// are in endpoint.hpp.

#include "insula/core/json_writer.hpp"
#include "insula/core/values.hpp"
#include "insula/http/request.hpp"
#include "insula/http/response.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::api {

/// A parameter that is one of the API's values; nullopt when absent.
template <class Value>
result<std::optional<Value>> value_parameter(const http::request& r, std::string_view name) {
    const auto text = r.query.find(name);
    if (!text) {
        return std::optional<Value>();
    }
    auto value = Value::parse(*text);
    if (!value) {
        return error::validation("query/" + std::string(name), value.error().code,
                                 value.error().detail);
    }
    return std::optional<Value>(std::move(*value));
}

/// A parameter that is an id; nullopt when absent.
template <class Id>
result<std::optional<Id>> id_parameter(const http::request& r, std::string_view name) {
    const auto text = r.query.find(name);
    if (!text) {
        return std::optional<Id>();
    }
    if (auto id = Id::parse(*text)) {
        return id;
    }
    return error::validation("query/" + std::string(name), "invalid_id", "must be a UUID");
}

/// A parameter that is one of some names; nullopt when absent.
template <class Choice, std::size_t N, class NameOf>
result<std::optional<Choice>> choice_parameter(const http::request& r, std::string_view name,
                                               const Choice (&choices)[N], NameOf name_of) {
    const auto text = r.query.find(name);
    if (!text) {
        return std::optional<Choice>();
    }
    std::string known;
    for (const auto choice : choices) {
        if (name_of(choice) == *text) {
            return std::optional<Choice>(choice);
        }
        known += (known.empty() ? "" : ", ") + std::string(name_of(choice));
    }
    return error::validation("query/" + std::string(name), "unknown_value",
                             "must be one of " + known);
}

/// {items, next_cursor} of what was read with one row more than the page has.
template <class Item, class Write, class Cursor>
http::response answer_page(const std::vector<Item>& found, int limit, Write write,
                           Cursor cursor_of) {
    const auto shown = std::min(found.size(), static_cast<std::size_t>(limit));
    std::string text;
    json_writer out(text);
    out.begin_object().key("items").begin_array();
    for (std::size_t i = 0; i < shown; ++i) {
        write(out, found[i]);
    }
    out.end_array().key("next_cursor");
    if (found.size() > shown) {
        out.value(cursor_of(found[shown - 1]));
    } else {
        out.null();
    }
    out.end_object();
    return http::response::json(200, std::move(text));
}

}  // namespace insula::api
