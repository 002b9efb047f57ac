#include "insula/core/values.hpp"

#include "insula/core/text.hpp"

#include <boost/json/object.hpp>

#include <algorithm>
#include <array>

namespace insula {
namespace {

// Sorted, for binary search. Names that a host name or a path of ours, or of nearly every
// deployment, needs.
constexpr std::array<std::string_view, 80> reserved_slugs{
    "abuse",         "account",   "accounts",   "admin",      "administrator",
    "api",           "app",       "assets",     "audit",      "auth",
    "autoconfig",    "billing",   "cdn",        "console",    "control",
    "dns",           "docs",      "email",      "ftp",        "graphql",
    "health",        "healthz",   "help",       "hostmaster", "http",
    "https",         "imap",      "insula",     "internal",   "invites",
    "jwks",          "livez",     "localhost",  "login",      "logout",
    "mail",          "me",        "members",    "metrics",    "mx",
    "none",          "ns",        "null",       "oauth",      "openapi",
    "operator",      "operators", "owner",      "pop",        "postgres",
    "postmaster",    "private",   "public",     "readyz",     "register",
    "registrations", "root",      "schema",     "security",   "sessions",
    "signin",        "signup",    "smtp",       "sso",        "static",
    "status",        "superuser", "support",    "system",     "tenant",
    "tenants",       "token",     "undefined",  "user",       "users",
    "webmail",       "webmaster", "well-known", "worker",     "www"};
static_assert(std::is_sorted(reserved_slugs.begin(), reserved_slugs.end()));

constexpr bool is_lower(char c) noexcept {
    return c >= 'a' && c <= 'z';
}
constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

// [a-z][a-z0-9]*(-[a-z0-9]+)*
bool matches_slug(std::string_view text) noexcept {
    bool after_hyphen = true;
    for (const char c : text) {
        if (c == '-') {
            if (after_hyphen) {
                return false;
            }
            after_hyphen = true;
        } else if (is_lower(c) || is_digit(c)) {
            after_hyphen = false;
        } else {
            return false;
        }
    }
    return !text.empty() && is_lower(text.front()) && !after_hyphen;
}

value_problem too_short(std::size_t min) {
    return {"too_short", "must have at least " + std::to_string(min) +
                             (min == 1 ? " character" : " characters")};
}
value_problem too_long(std::size_t max) {
    return {"too_long", "must have at most " + std::to_string(max) + " characters"};
}
value_problem invalid_utf8() {
    return {"invalid_utf8", "must be valid UTF-8"};
}
value_problem invalid_email() {
    return {"invalid_email", "must be an e-mail address"};
}

// RFC 5322 dot-atom, and any letter beyond ASCII (RFC 6531). Quoted local parts are refused: what
// they allow (spaces, commas, angle brackets) is what header injection is made of.
bool is_local_part(std::string_view local) noexcept {
    return !local.empty() && local.front() != '.' && local.back() != '.' &&
           local.find("..") == std::string_view::npos &&
           local.find_first_of("\"(),:;<>@[\\]") == std::string_view::npos;
}

// False for what leaves a gap where it is shown: white space, and what only changes its neighbours
// (zero width space, variation selectors, tags). The folded form is without most of that.
bool shows_something(std::string_view text) {
    constexpr std::string_view braille_blank = "\xe2\xa0\x80";
    const auto folded = nfkc_casefold(text).value_or(std::string());
    auto rest = trim(folded);
    while (rest.starts_with(braille_blank)) {
        rest = trim(rest.substr(braille_blank.size()));
    }
    return !rest.empty();
}

boost::json::object string_schema(std::size_t min, std::size_t max) {
    boost::json::object schema;
    schema["type"] = "string";
    if (min > 0) {
        schema["minLength"] = min;
    }
    schema["maxLength"] = max;
    return schema;
}

}  // namespace

value_result<email_address> email_address::parse(std::string_view text) {
    // Bytes first: nothing below is done for a megabyte of text.
    if (text.size() > code_points_max * 4) {
        return too_long(code_points_max);
    }
    if (!valid_utf8(text)) {
        return invalid_utf8();
    }
    const auto size = count_code_points(text);
    if (size < code_points_min) {
        return too_short(code_points_min);
    }
    if (size > code_points_max) {
        return too_long(code_points_max);
    }
    if (has_control_characters(text)) {
        return value_problem{"control_character", "must not contain control characters"};
    }
    const auto at = text.find('@');
    if (at == std::string_view::npos || has_white_space(text) || text.ends_with('.')) {
        return invalid_email();
    }
    // The domain is not case-folded as text: that would make straße.de and strasse.de one domain.
    const auto local = nfkc_casefold(text.substr(0, at));
    const auto domain = idna_to_ascii(text.substr(at + 1));
    if (!local || !domain || !is_local_part(text.substr(0, at)) || !is_local_part(*local) ||
        has_white_space(*local) || has_control_characters(*local)) {
        return invalid_email();
    }
    email_address email;
    email.canonical_ = *local + "@" + *domain;
    // One character may fold to eighteen, a domain grows in ASCII, and this form is what mail
    // carries.
    if (count_code_points(email.canonical_) > code_points_max) {
        return too_long(code_points_max);
    }
    email.typed_ = text;
    return email;
}

boost::json::object email_address::schema() {
    auto schema = string_schema(code_points_min, code_points_max);
    schema["format"] = "email";
    return schema;
}

namespace detail {

value_result<std::string> check_text(std::string_view text, const text_rule& rule) {
    if (!valid_utf8(text)) {
        return invalid_utf8();
    }
    if (rule.trimmed) {
        text = trim(text);
    }
    const auto size = count_code_points(text);
    if (size < rule.code_points_min) {
        return too_short(rule.code_points_min);
    }
    if (size > rule.code_points_max) {
        return too_long(rule.code_points_max);
    }
    if (rule.line_breaks ? has_control_characters_but_line_breaks(text)
                         : has_control_characters(text)) {
        return value_problem{"control_character", "must not contain control characters"};
    }
    if (rule.code_points_min > 0 && !shows_something(text)) {
        return value_problem{"too_short", "must have a character that can be seen"};
    }
    return std::string(text);
}

boost::json::object text_schema(const text_rule& rule) {
    return string_schema(rule.code_points_min, rule.code_points_max);
}

template <class Rule>
boost::json::object text_value<Rule>::schema() {
    return text_schema(Rule::rule);
}

template class text_value<person_name_rule>;
template class text_value<tenant_name_rule>;
template class text_value<project_name_rule>;
template class text_value<description_rule>;
template class text_value<reason_rule>;

}  // namespace detail

value_result<slug> slug::parse(std::string_view text) {
    if (text.empty()) {
        return too_short(1);
    }
    if (text.size() > size_max) {
        return too_long(size_max);
    }
    if (!matches_slug(text)) {
        return value_problem{"invalid_slug",
                             "must be lower-case letters and digits in groups joined by single "
                             "hyphens, and begin with a letter"};
    }
    if (is_reserved(text)) {
        return value_problem{"reserved", "is a reserved word"};
    }
    slug value;
    value.text_ = text;
    return value;
}

bool slug::is_reserved(std::string_view text) noexcept {
    return std::binary_search(reserved_slugs.begin(), reserved_slugs.end(), text);
}

std::span<const std::string_view> slug::reserved_words() noexcept {
    return reserved_slugs;
}

boost::json::object slug::schema() {
    auto schema = string_schema(1, size_max);
    schema["pattern"] = pattern;
    return schema;
}

value_result<password_text> password_text::parse(std::string_view text) {
    if (text.size() > bytes_max) {
        return too_long(code_points_max);
    }
    if (!valid_utf8(text)) {
        return invalid_utf8();
    }
    const auto size = count_code_points(text);
    if (size < code_points_min) {
        return too_short(code_points_min);
    }
    if (size > code_points_max) {
        return too_long(code_points_max);
    }
    password_text value;
    value.text_ = secret_string(text);
    return value;
}

boost::json::object password_text::schema() {
    auto schema = string_schema(code_points_min, code_points_max);
    schema["format"] = "password";
    schema["writeOnly"] = true;
    return schema;
}

value_result<password_attempt> password_attempt::parse(std::string_view text) {
    if (text.size() > bytes_max) {
        return too_long(password_text::code_points_max);
    }
    password_attempt value;
    value.text_ = secret_string(text);
    value.possible_ = password_text::parse(text).has_value();
    return value;
}

boost::json::object password_attempt::schema() {
    auto schema = string_schema(0, bytes_max);
    schema["format"] = "password";
    schema["writeOnly"] = true;
    return schema;
}

value_result<opaque_token> opaque_token::parse(std::string_view text) {
    if (text.empty()) {
        return too_short(1);
    }
    if (text.size() > size_max) {
        return too_long(size_max);
    }
    opaque_token value;
    value.text_ = secret_string(text);
    return value;
}

boost::json::object opaque_token::schema() {
    return string_schema(1, size_max);
}

}  // namespace insula
