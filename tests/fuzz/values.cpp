// The rules for values (slug, e-mail, names, ids, times, base64): whatever text arrives, a value
// has one form, and that form is itself a value (G05, G17).
#include "insula/core/values.hpp"

#include "support/fuzz.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/ids.hpp"
#include "insula/core/text.hpp"
#include "insula/core/time.hpp"

#include <algorithm>

namespace insula {
namespace {

using fuzz::require;

bool lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool digit(char c) {
    return c >= '0' && c <= '9';
}

/// The rule of API.md section 2, written down a second time: [a-z][a-z0-9]*(-[a-z0-9]+)*.
bool slug_by_hand(std::string_view text) {
    if (text.empty() || text.size() > slug::size_max || !lower(text.front()) ||
        text.back() == '-' || text.find("--") != std::string_view::npos) {
        return false;
    }
    return std::ranges::all_of(text, [](char c) { return lower(c) || digit(c) || c == '-'; });
}

void check_slug(std::string_view text) {
    const auto value = slug::parse(text);
    require(value.has_value() == (slug_by_hand(text) && !slug::is_reserved(text)),
            "slug: not what the rule says");
    require(!value || value->str() == text, "slug: another text than was given");
}

void check_email(std::string_view text) {
    const auto value = email_address::parse(text);
    if (!value) {
        return;
    }
    require(value->str() == text, "email: not kept as typed");
    const auto& canonical = value->canonical();
    require(valid_utf8(text) && !has_control_characters(text) && !has_control_characters(canonical),
            "email: control characters");
    require(std::ranges::count(canonical, '@') == 1, "email: not one @ in the canonical form");
    require(value->local_part().size() + 1 + value->domain().size() == canonical.size(),
            "email: its parts are not the whole");
    require(
        std::ranges::all_of(value->domain(),
                            [](char c) { return lower(c) || digit(c) || c == '-' || c == '.'; }),
        "email: the domain is not in lower-case ASCII");
    const auto again = email_address::parse(canonical);
    require(again.has_value(), "email: the canonical form is no address");
    require(again->canonical() == canonical, "email: the canonical form has another one");
    // G17: local parts that fold alike are one identity. (Of domains IDNA decides: straße.example
    // and strasse.example are two.)
    const auto at = text.rfind('@');
    if (const auto folded = nfkc_casefold(text.substr(0, at)); folded && at != text.npos) {
        const auto other = email_address::parse(*folded + std::string(text.substr(at)));
        require(!other || other->canonical() == canonical, "email: its folded form is another one");
    }
}

template <class Value>
void check_text(std::string_view text) {
    const auto value = Value::parse(text);
    if (!value) {
        return;
    }
    const auto points = count_code_points(value->str());
    require(valid_utf8(value->str()), "text: not UTF-8");
    require(points >= Value::code_points_min && points <= Value::code_points_max,
            "text: out of bounds");
    require(text.find(value->str()) != std::string_view::npos, "text: not what was given");
    const auto again = Value::parse(value->str());
    require(again && again->str() == value->str(), "text: changes when it is read again");
}

void check_plain(std::string_view text) {
    if (const auto id = uuid::parse(text)) {
        require(ascii_lower(text) == id->str(), "uuid: another text than was given");
        require(uuid::parse(id->str()) == id, "uuid: does not come back");
    }
    if (const auto at = parse_rfc3339(text)) {
        const auto canonical = rfc3339(*at);
        const auto again = parse_rfc3339(canonical);
        require(canonical.size() == rfc3339_size && again.has_value(), "time: not one of ours");
        require(rfc3339(*again) == canonical, "time: does not come back");
    }
    if (const auto octets = base64url_decode(text)) {
        require(base64url_encode(*octets) == text, "base64url: two texts for the same octets");
    }
    if (const auto octets = base64_decode(text)) {
        require(base64_encode(*octets) == text, "base64: two texts for the same octets");
    }
    require(base64url_decode(base64url_encode(as_bytes(text))) ==
                bytes(as_bytes(text).begin(), as_bytes(text).end()),
            "base64url: does not come back");
}

void check_unicode(std::string_view text) {
    const auto folded = nfkc_casefold(text);
    require(folded.has_value() == valid_utf8(text), "nfkc_casefold: another opinion of UTF-8");
    if (folded) {
        require(valid_utf8(*folded), "nfkc_casefold: not UTF-8");
        require(nfkc_casefold(*folded) == *folded, "nfkc_casefold: changes when done again");
        const auto trimmed = trim(text);
        require(trim(trimmed) == trimmed, "trim: changes when done again");
    }
    if (const auto domain = idna_to_ascii(text)) {
        require(idna_to_ascii(*domain) == *domain, "idna_to_ascii: changes when done again");
        require(domain->size() <= 253, "idna_to_ascii: longer than a domain can be");
    }
    for (const std::size_t most : {std::size_t{0}, text.size() / 2, text.size()}) {
        const auto prefix = utf8_prefix(text, most);
        require(prefix.size() <= most && text.starts_with(prefix), "utf8_prefix: no prefix");
        require(!valid_utf8(text) || valid_utf8(prefix), "utf8_prefix: cuts a code point");
    }
}

}  // namespace
}  // namespace insula

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = insula::fuzz::as_text(data, size);
    insula::check_slug(text);
    insula::check_email(text);
    insula::check_text<insula::person_name>(text);
    insula::check_text<insula::project_name>(text);
    insula::check_text<insula::description>(text);
    insula::check_text<insula::reason_text>(text);
    insula::check_plain(text);
    insula::check_unicode(text);
    return 0;
}
