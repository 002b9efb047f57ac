#pragma once
// Writing JSON straight into a string: what responses and log lines are made of.

#include "insula/core/ids.hpp"
#include "insula/core/time.hpp"

#include <boost/json/fwd.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace insula {

/// Appends `text` as a JSON string with its quotes. Control characters are escaped, invalid UTF-8
/// becomes U+FFFD, U+2028 and U+2029 are escaped (a script may embed the result). Never fails.
void append_json_string(std::string& out, std::string_view text);

/// Appends JSON to a string it does not own. Puts the commas; the caller closes what it opens and
/// gives a key before each value in an object (not checked beyond an assertion in debug builds).
class json_writer {
public:
    /// Makes room for a small object at once: growing to it doubling by doubling costs as much as
    /// writing it.
    explicit json_writer(std::string& out) : out_(out) {
        if (out_.capacity() < first_room) {
            out_.reserve(first_room);
        }
    }

    json_writer& begin_object() { return open('{'); }
    json_writer& end_object() { return close('}'); }
    json_writer& begin_array() { return open('['); }
    json_writer& end_array() { return close(']'); }

    json_writer& key(std::string_view name);

    json_writer& null();
    json_writer& value(std::nullptr_t) { return null(); }
    json_writer& value(std::string_view text);
    json_writer& value(const char* text) { return value(std::string_view(text)); }
    json_writer& value(const std::string& text) { return value(std::string_view(text)); }
    json_writer& value(bool truth);
    template <class Integer>
        requires(std::integral<Integer> && !std::same_as<Integer, bool>)
    json_writer& value(Integer number) {
        if constexpr (std::is_signed_v<Integer>) {
            return integer(static_cast<std::int64_t>(number));
        } else {
            return unsigned_integer(static_cast<std::uint64_t>(number));
        }
    }
    /// Shortest text that reads back the same; null for infinities and NaN, which JSON cannot say.
    json_writer& value(double number);
    json_writer& value(const uuid& id);
    template <class Tag>
    json_writer& value(const basic_id<Tag>& id) {
        return value(id.value());
    }
    json_writer& value(timestamp at);
    /// Any value type with str().
    template <class T>
        requires requires(const T& v) {
            { v.str() } -> std::same_as<const std::string&>;
        }
    json_writer& value(const T& v) {
        return value(std::string_view(v.str()));
    }
    template <class T>
    json_writer& value(const std::optional<T>& maybe) {
        return maybe ? value(*maybe) : null();
    }
    json_writer& value(const boost::json::value& tree);

    template <class T>
    json_writer& member(std::string_view name, const T& v) {
        key(name);
        return value(v);
    }

    /// Appends text that is JSON already (a jsonb column).
    json_writer& raw(std::string_view json);
    /// Appends ready members, `"a":1,"b":2`; nothing for an empty text.
    json_writer& raw_members(std::string_view members);

private:
    static constexpr std::size_t first_room = 320;

    json_writer& open(char bracket) {
        separate();
        out_.push_back(bracket);
        comma_ = false;
        return *this;
    }
    json_writer& close(char bracket) {
        out_.push_back(bracket);
        comma_ = true;
        return *this;
    }
    void separate() {
        if (comma_) {
            out_.push_back(',');
        }
    }
    json_writer& integer(std::int64_t number);
    json_writer& unsigned_integer(std::uint64_t number);

    std::string& out_;
    bool comma_ = false;
};

}  // namespace insula
