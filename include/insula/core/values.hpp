#pragma once
// Values of the API as types (API.md section 2). Text becomes one only through parse(); after that
// nobody checks again. Default-constructed values are empty: they exist so that structs can be
// decoded into.

#include "insula/core/secret.hpp"

#include <boost/assert/source_location.hpp>
#include <boost/json/fwd.hpp>
#include <boost/system/result.hpp>

#include <compare>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace insula {

/// Why a text is not a value. `code` is stable (`too_long`, `reserved`, …), `detail` is for people;
/// neither repeats the text. Both refer to static storage or are short.
struct value_problem {
    std::string code;
    std::string detail;

    // Not an aggregate: as one it could be made of a single string, and result<std::string,
    // value_problem> would not know which side a string is.
    value_problem() = default;
    value_problem(std::string c, std::string d) : code(std::move(c)), detail(std::move(d)) {}
};
[[noreturn]] void throw_exception_from_error(const value_problem& problem,
                                             const boost::source_location& where);

template <class T>
using value_result = boost::system::result<T, value_problem>;

/// An e-mail address as its owner typed it, and the one form in which addresses are compared.
class email_address {
public:
    static constexpr std::size_t code_points_min = 3;
    static constexpr std::size_t code_points_max = 254;

    /// Codes: too_short, too_long, invalid_utf8, control_character, invalid_email.
    [[nodiscard]] static value_result<email_address> parse(std::string_view text);
    [[nodiscard]] static boost::json::object schema();

    /// As typed.
    [[nodiscard]] const std::string& str() const noexcept { return typed_; }
    /// Local part in NFKC_Casefold, domain in ASCII: unique in the database.
    [[nodiscard]] const std::string& canonical() const noexcept { return canonical_; }
    /// The canonical part before the @.
    [[nodiscard]] std::string_view local_part() const noexcept {
        return std::string_view(canonical_).substr(0, canonical_.find('@'));
    }
    /// The canonical (ASCII) part after the @.
    [[nodiscard]] std::string_view domain() const noexcept {
        return std::string_view(canonical_).substr(canonical_.find('@') + 1);
    }
    [[nodiscard]] bool empty() const noexcept { return typed_.empty(); }

    /// By canonical form.
    friend bool operator==(const email_address& a, const email_address& b) noexcept {
        return a.canonical_ == b.canonical_;
    }

private:
    std::string typed_;
    std::string canonical_;
};

namespace detail {

/// What a line of text must be; see text_value.
struct text_rule {
    std::size_t code_points_min;
    std::size_t code_points_max;
    bool trimmed;
    bool line_breaks;
};
[[nodiscard]] value_result<std::string> check_text(std::string_view text, const text_rule& rule);
[[nodiscard]] boost::json::object text_schema(const text_rule& rule);

/// Text within bounds of code points, without control characters. Codes: too_short, too_long,
/// invalid_utf8, control_character.
template <class Rule>
class text_value {
public:
    static constexpr std::size_t code_points_min = Rule::rule.code_points_min;
    static constexpr std::size_t code_points_max = Rule::rule.code_points_max;

    [[nodiscard]] static value_result<text_value> parse(std::string_view text) {
        auto checked = check_text(text, Rule::rule);
        if (!checked) {
            return checked.error();
        }
        text_value value;
        value.text_ = std::move(*checked);
        return value;
    }
    [[nodiscard]] static boost::json::object schema();

    [[nodiscard]] const std::string& str() const noexcept { return text_; }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
    auto operator<=>(const text_value&) const = default;

private:
    std::string text_;
};

struct person_name_rule {
    static constexpr text_rule rule{1, 100, true, false};
};
struct tenant_name_rule {
    static constexpr text_rule rule{1, 100, true, false};
};
struct project_name_rule {
    static constexpr text_rule rule{1, 200, true, false};
};
struct description_rule {
    static constexpr text_rule rule{0, 1000, false, true};
};
struct reason_rule {
    static constexpr text_rule rule{1, 500, true, false};
};

}  // namespace detail

/// A user's full name: 1–100 code points after trimming.
using person_name = detail::text_value<detail::person_name_rule>;
/// A tenant's name: 1–100 code points after trimming.
using tenant_name = detail::text_value<detail::tenant_name_rule>;
using display_name = tenant_name;
/// A project's name: 1–200 code points after trimming.
using project_name = detail::text_value<detail::project_name_rule>;
/// A project's description: at most 1000 code points, kept as typed, line breaks allowed.
using description = detail::text_value<detail::description_rule>;
/// Why an operator assumes an identity: 1–500 code points after trimming.
using reason_text = detail::text_value<detail::reason_rule>;

/// A tenant's public alias: `[a-z][a-z0-9]*(-[a-z0-9]+)*`, 1–56 characters, not reserved.
class slug {
public:
    static constexpr std::size_t size_max = 56;
    static constexpr std::string_view pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$";

    /// The whole text must match. Codes: too_short, too_long, invalid_slug, reserved.
    [[nodiscard]] static value_result<slug> parse(std::string_view text);
    [[nodiscard]] static bool is_reserved(std::string_view text) noexcept;
    /// Sorted; for whoever checks that the database's constraint knows the same words.
    [[nodiscard]] static std::span<const std::string_view> reserved_words() noexcept;
    [[nodiscard]] static boost::json::object schema();

    [[nodiscard]] const std::string& str() const noexcept { return text_; }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
    auto operator<=>(const slug&) const = default;

private:
    std::string text_;
};

/// A new password: 10–128 code points, at most 1024 bytes, valid UTF-8. Strength (zxcvbn) is
/// identity's matter. Kept as typed: never normalised, never logged, wiped.
class password_text {
public:
    static constexpr std::size_t code_points_min = 10;
    static constexpr std::size_t code_points_max = 128;
    static constexpr std::size_t bytes_max = 1024;

    /// Codes: too_short, too_long, invalid_utf8.
    [[nodiscard]] static value_result<password_text> parse(std::string_view text);
    [[nodiscard]] static boost::json::object schema();

    [[nodiscard]] std::string_view view() const noexcept { return text_.view(); }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }

private:
    secret_string text_;
};

/// A password somebody tries at login. One that cannot be right because of its length is *wrong*,
/// not invalid: only more than 1024 bytes (a denial of service through the hash) are refused, as
/// too_long.
class password_attempt {
public:
    static constexpr std::size_t bytes_max = 1024;

    [[nodiscard]] static value_result<password_attempt> parse(std::string_view text);
    [[nodiscard]] static boost::json::object schema();

    [[nodiscard]] std::string_view view() const noexcept { return text_.view(); }
    /// False when no password of this length can have been set; hash a dummy all the same.
    [[nodiscard]] bool possible() const noexcept { return possible_; }

private:
    secret_string text_;
    bool possible_ = false;
};

/// An opaque token that a client gives back (refresh, mail, registration): 1–512 bytes.
/// Whether it is one of ours is for its owner to say; anything else is simply unknown.
class opaque_token {
public:
    static constexpr std::size_t size_max = 512;

    /// Codes: too_short, too_long.
    [[nodiscard]] static value_result<opaque_token> parse(std::string_view text);
    [[nodiscard]] static boost::json::object schema();

    [[nodiscard]] std::string_view view() const noexcept { return text_.view(); }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }

private:
    secret_string text_;
};

}  // namespace insula
