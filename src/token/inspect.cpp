#include "insula/token/inspect.hpp"

#include "token/claims_text.hpp"
#include "token/header_text.hpp"
#include "token/strict_json.hpp"

#include "insula/core/base64.hpp"

#include <fmt/format.h>

namespace insula::token {

namespace {

/// Why, for a person. In the order of the enumeration.
constexpr std::string_view sentences[refusal_count] = {
    "The token (or its header or payload) is longer than any token this service signs.",
    ("An access token has exactly three segments separated by dots; this has not (five would be an "
     "encrypted token)."),
    "A segment is not strict base64url: a foreign character, padding, or bits left over.",
    ("The header is not the small JSON object it must be: broken syntax, a duplicate member, or a "
     "member that is not a string."),
    ("The header has members that a token of this service never has (crit, jwk, jku, x5c, x5u, b64 "
     "and the like); they are never acted on."),
    "The header's typ is not at+jwt: this is another kind of token.",
    ("The header's kid names no key of this service: another installation, or a key that was "
     "deleted."),
    "The key that signed this token was revoked.",
    "The header's alg is not the algorithm of the key it names.",
    "The signature is wrong: the token was changed, cut, or signed by somebody else.",
    ("The signature is right, but the claims are not those of an access token: one is missing, "
     "doubled, out of range or of the wrong type."),
    "The signature is right, but iss is not this service.",
    "The signature is right, but aud is not this service.",
    "The token has expired.",
    "The token is not valid yet: it was issued by a clock that is ahead of this one.",
};

std::string shown(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (code < ' ' || code > '~') {
            out += fmt::format("\\x{:02x}", code);
        } else {
            out += c;
        }
    }
    return out;
}

/// Decoded text followed by the padding strict_json wants; empty when it does not decode.
std::string padded(std::string_view segment) {
    const auto octets = base64url_decode(segment);
    if (!octets) {
        return {};
    }
    std::string text(as_text(*octets));
    text.append(json_padding, ' ');
    return text;
}

std::string_view without_padding(std::string_view text) {
    return text.substr(0, text.size() < json_padding ? 0 : text.size() - json_padding);
}

std::string lifetime(std::string_view payload, const authority& who, timestamp now) {
    parsed_claims got;
    if (payload.empty() || read_claims(without_padding(payload), who, got)) {
        return {};
    }
    return fmt::format(" It was issued at {} and expires at {}; here it is {}.",
                       rfc3339(got.what.issued_at), rfc3339(got.what.expires_at), rfc3339(now));
}

}  // namespace

inspection inspect(std::string_view token, const authority& who,
                   std::shared_ptr<const key_set> keys, timestamp now) {
    inspection out;
    while (!token.empty() &&
           (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) {
        token.remove_suffix(1);  // it came from a terminal or a file
    }
    std::string payload;
    if (token.size() <= token_bytes_max) {
        const auto first = token.find('.');
        const auto header_text = padded(token.substr(0, first));
        header got;
        if (!header_text.empty() && !read_header(without_padding(header_text), got)) {
            out.kid = got.kid;
        }
        if (const auto* const entry = keys->find(out.kid)) {
            out.state = entry->state;
        }
        out.header = shown(without_padding(header_text));
        if (first != std::string_view::npos) {
            const auto rest = token.substr(first + 1);
            payload = padded(rest.substr(0, rest.find('.')));
            out.payload = shown(without_padding(payload));
        }
    }
    verifier check(who, std::move(keys));
    const auto verdict = check.verify(token, now);
    if (verdict) {
        out.what = *verdict;
        out.sentence = "The token is good." + lifetime(payload, who, now);
        return out;
    }
    out.why = verdict.error();
    out.sentence = sentences[static_cast<std::size_t>(*out.why)];
    if (*out.why == refusal::expired || *out.why == refusal::not_yet_valid) {
        out.sentence += lifetime(payload, who, now);
    }
    return out;
}

}  // namespace insula::token
