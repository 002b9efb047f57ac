#include "insula/core/json_decode.hpp"

#include "insula/core/text.hpp"

#include <boost/json/array.hpp>

#include <algorithm>
#include <charconv>
#include <span>

namespace insula {
namespace detail {
namespace {

// Enough for any form; a hostile body shall not make a large answer.
constexpr std::size_t errors_max = 64;
constexpr std::size_t name_bytes_max = 128;

// RFC 6901 section 3: ~ and / are what a pointer escapes. A client's own name may be of any size:
// cut it.
void append_step(std::string& pointer, std::string_view name) {
    pointer.push_back('/');
    for (const char c : utf8_prefix(name, name_bytes_max)) {
        if (c == '~') {
            pointer += "~0";
        } else if (c == '/') {
            pointer += "~1";
        } else {
            pointer.push_back(c);
        }
    }
}

}  // namespace

decode_context::step::step(decode_context& context, std::string_view member)
    : context_(context), size_(context.pointer_.size()) {
    append_step(context_.pointer_, member);
}

decode_context::step::step(decode_context& context, std::size_t index)
    : step(context, std::string_view(std::to_string(index))) {}

void decode_context::add(std::string_view code, std::string_view detail) {
    if (errors_.size() < errors_max) {
        errors_.push_back({pointer_, std::string(code), std::string(detail)});
    }
}

void decode_context::missing(std::string_view member) {
    const step here(*this, member);
    add("required", "is required");
}

void decode_context::refuse_unknown(const boost::json::object& object,
                                    const std::string_view* names, std::size_t count) {
    const std::span known(names, count);
    for (const auto& member : object) {
        const std::string_view key(member.key().data(), member.key().size());
        if (std::find(known.begin(), known.end(), key) == known.end()) {
            const step here(*this, key);
            add("unknown_member", "is not a member of this object");
        }
    }
}

std::optional<std::string_view> text_of(decode_context& context, const boost::json::value& value) {
    if (const auto* text = value.if_string()) {
        return std::string_view(text->data(), text->size());
    }
    context.add("wrong_type", "must be a string");
    return std::nullopt;
}

const boost::json::object* object_of(decode_context& context, const boost::json::value& value) {
    const auto* object = value.if_object();
    if (!object) {
        context.add("wrong_type", "must be an object");
    }
    return object;
}

const boost::json::array* array_of(decode_context& context, const boost::json::value& value) {
    const auto* array = value.if_array();
    if (!array) {
        context.add("wrong_type", "must be an array");
    } else if (array->size() > json_items_max) {
        context.add("too_many_items",
                    "must have at most " + std::to_string(json_items_max) + " items");
        return nullptr;
    }
    return array;
}

bool decode_signed(decode_context& context, const boost::json::value& value, std::int64_t min,
                   std::int64_t max, std::int64_t& out) {
    const auto* small = value.if_int64();
    if (small && *small >= min && *small <= max) {
        out = *small;
        return true;
    }
    if (!value.is_number()) {
        context.add("wrong_type", "must be an integer");
    } else if (value.is_double()) {
        // An integer beyond 64 bits arrives as a double too.
        context.add("out_of_range", "must be an integer within range");
    } else {
        context.add("out_of_range",
                    "must be from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return false;
}

bool decode_unsigned(decode_context& context, const boost::json::value& value, std::uint64_t max,
                     std::uint64_t& out) {
    const auto* small = value.if_int64();
    const auto* large = value.if_uint64();
    if (small && *small >= 0 && static_cast<std::uint64_t>(*small) <= max) {
        out = static_cast<std::uint64_t>(*small);
        return true;
    }
    if (large && *large <= max) {
        out = *large;
        return true;
    }
    if (!value.is_number()) {
        context.add("wrong_type", "must be an integer");
    } else if (value.is_double()) {
        context.add("out_of_range", "must be an integer within range");
    } else {
        context.add("out_of_range", "must be from 0 to " + std::to_string(max));
    }
    return false;
}

void decode_value(decode_context& context, const boost::json::value& value, bool& out) {
    if (const auto* truth = value.if_bool()) {
        out = *truth;
    } else {
        context.add("wrong_type", "must be true or false");
    }
}

void decode_value(decode_context& context, const boost::json::value& value, double& out) {
    if (!value.is_number()) {
        context.add("wrong_type", "must be a number");
    } else {
        out = value.to_number<double>();
    }
}

void decode_value(decode_context& context, const boost::json::value& value, std::string& out) {
    const auto text = text_of(context, value);
    if (!text) {
        return;
    }
    // PostgreSQL's text cannot hold it: refused here it is the client's error, there it would be
    // ours.
    if (text->find('\0') != std::string_view::npos) {
        context.add("null_character", "must not contain U+0000");
        return;
    }
    out = *text;
}

void decode_value(decode_context& context, const boost::json::value& value, secret_string& out) {
    if (const auto text = text_of(context, value)) {
        out = secret_string(*text);
    }
}

void decode_value(decode_context& context, const boost::json::value& value, timestamp& out) {
    const auto text = text_of(context, value);
    if (!text) {
        return;
    }
    if (const auto at = parse_rfc3339(*text)) {
        out = *at;
    } else {
        context.add("invalid_time", "must be an RFC 3339 date and time");
    }
}

}  // namespace detail

result<std::int64_t> decode_integer_parameter(std::string_view text, std::string_view pointer,
                                              std::int64_t min, std::int64_t max) {
    std::int64_t number = 0;
    const auto* end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, number);
    const bool digits = !text.empty() && read.ptr == end;
    if (!digits || read.ec == std::errc::invalid_argument) {
        return error::validation(std::string(pointer), "wrong_type", "must be an integer");
    }
    if (read.ec != std::errc() || number < min || number > max) {
        return error::validation(
            std::string(pointer), "out_of_range",
            "must be from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return number;
}

}  // namespace insula
