#pragma once
// decode<T>: a JSON tree into a struct described with BOOST_DESCRIBE_STRUCT, in one pass that
// collects every field error.
//
// Members may be: value types (static value_result<T> parse), ids and uuid (static optional<T>
// parse), timestamp, std::string, secret_string, bool, integers (range-checked), double, enums
// described with BOOST_DESCRIBE_ENUM, boost::json::value / object (taken as they are), described
// structs, std::vector of any of these, std::optional<X> (may be absent, null refused) and
// patch_field<X> (absent, null or X).
//
// Field codes: required, unknown_member, wrong_type, out_of_range, invalid_id, invalid_time,
// invalid_choice, too_many_items, null_character, and the codes of the value types.

#include "insula/core/error.hpp"
#include "insula/core/secret.hpp"
#include "insula/core/time.hpp"
#include "insula/core/values.hpp"

#include <boost/describe/enumerators.hpp>
#include <boost/describe/members.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <boost/mp11/algorithm.hpp>

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace insula {

/// A member that may be left out (nothing changes), null (cleared) or a value: PATCH and optional
/// texts.
template <class T>
class patch_field {
public:
    patch_field() = default;
    static patch_field null_value() {
        patch_field field;
        field.present_ = true;
        return field;
    }
    explicit patch_field(T value) : present_(true), value_(std::move(value)) {}

    [[nodiscard]] bool absent() const noexcept { return !present_; }
    [[nodiscard]] bool is_null() const noexcept { return present_ && !value_; }
    [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
    [[nodiscard]] const T& value() const { return value_.value(); }
    [[nodiscard]] const T& operator*() const { return *value_; }
    [[nodiscard]] const T* operator->() const { return &*value_; }
    /// nullopt for both absent and null.
    [[nodiscard]] const std::optional<T>& as_optional() const noexcept { return value_; }

private:
    bool present_ = false;
    std::optional<T> value_;
};

/// Items of one JSON array.
inline constexpr std::size_t json_items_max = 1000;

namespace detail {

/// Where the decoder stands (a JSON pointer) and what it found wrong so far.
class decode_context {
public:
    /// Goes into a member or an item; the destructor comes back.
    class step {
    public:
        step(decode_context& context, std::string_view member);
        step(decode_context& context, std::size_t index);
        step(const step&) = delete;
        step& operator=(const step&) = delete;
        ~step() { context_.pointer_.resize(size_); }

    private:
        decode_context& context_;
        std::size_t size_;
    };

    void add(std::string_view code, std::string_view detail);
    void add(const value_problem& problem) { add(problem.code, problem.detail); }
    void missing(std::string_view member);
    /// Adds unknown_member for each member of `object` that is not among `names`.
    void refuse_unknown(const boost::json::object& object, const std::string_view* names,
                        std::size_t count);
    [[nodiscard]] bool failed() const noexcept { return !errors_.empty(); }
    [[nodiscard]] std::vector<field_error> take() noexcept { return std::move(errors_); }

private:
    std::string pointer_;
    std::vector<field_error> errors_;
};

/// The text of a string value; adds wrong_type and answers nullopt for anything else.
std::optional<std::string_view> text_of(decode_context& context, const boost::json::value& value);
const boost::json::object* object_of(decode_context& context, const boost::json::value& value);
const boost::json::array* array_of(decode_context& context, const boost::json::value& value);
bool decode_signed(decode_context& context, const boost::json::value& value, std::int64_t min,
                   std::int64_t max, std::int64_t& out);
bool decode_unsigned(decode_context& context, const boost::json::value& value, std::uint64_t max,
                     std::uint64_t& out);
void decode_value(decode_context& context, const boost::json::value& value, bool& out);
void decode_value(decode_context& context, const boost::json::value& value, double& out);
void decode_value(decode_context& context, const boost::json::value& value, std::string& out);
void decode_value(decode_context& context, const boost::json::value& value, secret_string& out);
void decode_value(decode_context& context, const boost::json::value& value, timestamp& out);

template <class T>
concept parsed_value = requires(std::string_view text) {
    { T::parse(text) } -> std::same_as<value_result<T>>;
};
template <class T>
concept parsed_id = requires(std::string_view text) {
    { T::parse(text) } -> std::same_as<std::optional<T>>;
};
template <class T>
concept described_struct = std::is_class_v<T> && boost::describe::has_describe_members<T>::value;
template <class T>
concept described_enum = std::is_enum_v<T> && boost::describe::has_describe_enumerators<T>::value;
template <class T>
concept json_integer = std::integral<T> && !std::same_as<T, bool>;

template <class T>
using struct_members = boost::describe::describe_members<T, boost::describe::mod_any_access |
                                                                boost::describe::mod_inherited>;

template <class T>
inline constexpr bool may_be_absent = false;
template <class T>
inline constexpr bool may_be_absent<std::optional<T>> = true;
template <class T>
inline constexpr bool may_be_absent<patch_field<T>> = true;

// Declared first: the overloads below call each other in any order.
template <json_integer T>
void decode_value(decode_context& context, const boost::json::value& value, T& out);
template <parsed_value T>
void decode_value(decode_context& context, const boost::json::value& value, T& out);
template <parsed_id T>
void decode_value(decode_context& context, const boost::json::value& value, T& out);
template <described_enum T>
void decode_value(decode_context& context, const boost::json::value& value, T& out);
template <described_struct T>
void decode_value(decode_context& context, const boost::json::value& value, T& out);
template <class T>
void decode_value(decode_context& context, const boost::json::value& value, std::vector<T>& out);
template <class T>
void decode_value(decode_context& context, const boost::json::value& value, std::optional<T>& out);
template <class T>
void decode_value(decode_context& context, const boost::json::value& value, patch_field<T>& out);

inline void decode_value(decode_context&, const boost::json::value& value,
                         boost::json::value& out) {
    out = value;
}
inline void decode_value(decode_context& context, const boost::json::value& value,
                         boost::json::object& out) {
    if (const auto* object = object_of(context, value)) {
        out = *object;
    }
}

template <json_integer T>
void decode_value(decode_context& context, const boost::json::value& value, T& out) {
    using limits = std::numeric_limits<T>;
    if constexpr (std::is_signed_v<T>) {
        std::int64_t wide = 0;
        if (decode_signed(context, value, limits::min(), limits::max(), wide)) {
            out = static_cast<T>(wide);
        }
    } else {
        std::uint64_t wide = 0;
        if (decode_unsigned(context, value, limits::max(), wide)) {
            out = static_cast<T>(wide);
        }
    }
}

template <parsed_value T>
void decode_value(decode_context& context, const boost::json::value& value, T& out) {
    const auto text = text_of(context, value);
    if (!text) {
        return;
    }
    auto parsed = T::parse(*text);
    if (parsed) {
        out = std::move(*parsed);
    } else {
        context.add(parsed.error());
    }
}

template <parsed_id T>
void decode_value(decode_context& context, const boost::json::value& value, T& out) {
    const auto text = text_of(context, value);
    if (!text) {
        return;
    }
    auto parsed = T::parse(*text);
    if (parsed) {
        out = std::move(*parsed);
    } else {
        context.add("invalid_id", "must be a UUID");
    }
}

template <described_enum T>
void decode_value(decode_context& context, const boost::json::value& value, T& out) {
    const auto text = text_of(context, value);
    if (!text) {
        return;
    }
    bool found = false;
    std::string choices;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto D) {
        if (*text == D.name) {
            out = D.value;
            found = true;
        }
        choices += choices.empty() ? "must be one of: " : ", ";
        choices += D.name;
    });
    if (!found) {
        context.add("invalid_choice", choices);
    }
}

template <described_struct T>
void decode_value(decode_context& context, const boost::json::value& value, T& out) {
    const auto* object = object_of(context, value);
    if (!object) {
        return;
    }
    constexpr std::size_t count = boost::mp11::mp_size<struct_members<T>>::value;
    std::string_view names[count + 1];
    std::size_t next = 0;
    boost::mp11::mp_for_each<struct_members<T>>([&](auto D) {
        names[next++] = D.name;
        auto& member = out.*D.pointer;
        const auto* found = object->if_contains(D.name);
        if (found) {
            const decode_context::step step(context, std::string_view(D.name));
            decode_value(context, *found, member);
        } else if (!may_be_absent<std::remove_cvref_t<decltype(member)>>) {
            context.missing(D.name);
        }
    });
    context.refuse_unknown(*object, names, count);
}

template <class T>
void decode_value(decode_context& context, const boost::json::value& value, std::vector<T>& out) {
    const auto* array = array_of(context, value);
    if (!array) {
        return;
    }
    out.clear();
    out.reserve(array->size());
    for (std::size_t i = 0; i < array->size(); ++i) {
        const decode_context::step step(context, i);
        T item{};
        decode_value(context, (*array)[i], item);
        out.push_back(std::move(item));
    }
}

template <class T>
void decode_value(decode_context& context, const boost::json::value& value, std::optional<T>& out) {
    decode_value(context, value, out.emplace());
}

template <class T>
void decode_value(decode_context& context, const boost::json::value& value, patch_field<T>& out) {
    if (value.is_null()) {
        out = patch_field<T>::null_value();
        return;
    }
    T inner{};
    decode_value(context, value, inner);
    out = patch_field<T>(std::move(inner));
}

}  // namespace detail

/// The struct, or validation_failed (422) with all field errors (64 at most).
template <detail::described_struct T>
[[nodiscard]] result<T> decode(const boost::json::value& value) {
    detail::decode_context context;
    T out{};
    detail::decode_value(context, value, out);
    if (context.failed()) {
        return error::validation(context.take());
    }
    return out;
}

/// One parameter of a query or a path: `pointer` is what the error names, e.g. "query/status".
template <class T>
    requires detail::parsed_value<T> || detail::parsed_id<T> || detail::described_enum<T>
[[nodiscard]] result<T> decode_parameter(std::string_view text, std::string_view pointer) {
    detail::decode_context context;
    T out{};
    detail::decode_value(context, boost::json::value(boost::json::string(text)), out);
    if (context.failed()) {
        auto errors = context.take();
        errors.front().pointer = pointer;
        return error::validation(std::move(errors));
    }
    return out;
}

/// An integer parameter within [min, max]: "query/limit". Only digits with an optional minus sign.
[[nodiscard]] result<std::int64_t> decode_integer_parameter(std::string_view text,
                                                            std::string_view pointer,
                                                            std::int64_t min, std::int64_t max);

}  // namespace insula
