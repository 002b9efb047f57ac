#include "token/algorithm.hpp"
#include "token/claims_text.hpp"
#include "token/header_text.hpp"
#include "token/strict_json.hpp"
#include "token/text_codec.hpp"

#include "insula/token/token.hpp"

#include <array>
#include <stdexcept>
#include <unordered_map>

namespace insula::token {

namespace {

constexpr std::string_view refusal_names[refusal_count] = {
    "too_long",   "not_three_segments", "bad_base64url",  "bad_header",      "forbidden_header",
    "wrong_type", "unknown_key",        "revoked_key",    "wrong_algorithm", "bad_signature",
    "bad_claims", "wrong_issuer",       "wrong_audience", "expired",         "not_yet_valid",
};

// How much longer than our longest a payload may be: room for a claim that a newer version adds
// while two versions run side by side (a token without act has 55 bytes more). Small, because a
// stranger's junk is hashed up to there and must not cost more than a good token does.
constexpr std::size_t payload_slack_bytes = 32;

constexpr std::size_t base64url_size(std::size_t bytes) {
    return (bytes * 4 + 2) / 3;
}

/// One key with its context.
struct slot {
    const key_entry* entry = nullptr;
    std::string_view header_segment;
    std::size_t signature_characters = 0;
    std::size_t signature_bytes = 0;
    std::unique_ptr<check_context> context;
};

/// The token cut at its dots; the header is known to be that of `by`.
struct cut_token {
    slot* by = nullptr;
    std::size_t header_size = 0;
};

/// `first` is where its first dot is.
bool has_three_segments(std::string_view token, std::size_t first) {
    const auto second = token.find('.', first + 1);
    return second != std::string_view::npos &&
           token.find('.', second + 1) == std::string_view::npos;
}

}  // namespace

std::string_view name(refusal value) noexcept {
    return refusal_names[static_cast<std::size_t>(value)];
}

void throw_exception_from_error(const refusal& why, const boost::source_location&) {
    throw std::logic_error("claims asked of a refused token: " + std::string(name(why)));
}

struct verifier::state {
    authority who;
    std::shared_ptr<const key_set> keys;
    std::vector<slot> slots;
    std::unordered_map<std::string_view, slot*> by_header;
    slot* last = nullptr;  // the key of the last known header: nearly always the next one's too
    std::size_t payload_characters_max = 0;

    void prepare(std::shared_ptr<const key_set> from) {
        by_header.clear();
        slots.clear();
        last = nullptr;
        keys = std::move(from);
        slots.reserve(keys->entries().size());
        for (const auto& entry : keys->entries()) {
            const auto& parts = entry.value.inner();
            const auto& row = row_of(parts.alg);
            slots.push_back(
                {.entry = &entry,
                 .header_segment = parts.header_segment,
                 .signature_characters = base64url_size(parts.signature_bytes),
                 .signature_bytes = parts.signature_bytes,
                 // A revoked key is refused before its signature is looked at.
                 .context = entry.state == key_state::revoked ? nullptr : row.make_check(parts)});
            by_header.emplace(slots.back().header_segment, &slots.back());
        }
    }

    slot* slot_of(const key_entry& entry) {
        return &slots[static_cast<std::size_t>(&entry - keys->entries().data())];
    }

    std::optional<refusal> cut(std::string_view token, cut_token& out);
    std::optional<refusal> read_foreign_header(std::string_view segment, cut_token& out);
    std::optional<refusal> check_signature(std::string_view token, std::size_t dot, slot& by);
};

/// Finds the key. The header of nearly every token is, byte for byte, the one we write: no
/// decoding.
std::optional<refusal> verifier::state::cut(std::string_view token, cut_token& out) {
    if (last != nullptr) {
        const auto size = last->header_segment.size();
        if (token.size() > size && token[size] == '.' &&
            token.substr(0, size) == last->header_segment) {
            out = {last, size};
            return std::nullopt;
        }
    }
    const auto dot = token.find('.');
    if (dot == std::string_view::npos) {
        return refusal::not_three_segments;
    }
    const auto segment = token.substr(0, dot);
    if (segment.size() > header_characters_max) {
        return has_three_segments(token, dot) ? refusal::too_long : refusal::not_three_segments;
    }
    out.header_size = dot;
    if (const auto known = by_header.find(segment); known != by_header.end()) {
        out.by = last = known->second;
        return std::nullopt;
    }
    if (!has_three_segments(token, dot)) {
        return refusal::not_three_segments;
    }
    return read_foreign_header(segment, out);
}

/// Our own key with another spelling of the header is allowed; the algorithm comes from the key,
/// and what the token says about it may only agree.
std::optional<refusal> verifier::state::read_foreign_header(std::string_view segment,
                                                            cut_token& out) {
    std::array<std::uint8_t, header_characters_max + json_padding> text;
    const auto size = decode_base64url(segment, text);
    if (!size) {
        return refusal::bad_base64url;
    }
    header got;
    if (const auto bad = read_header(as_text({text.data(), *size}), got)) {
        return bad;
    }
    if (got.typ != "at+jwt") {
        return refusal::wrong_type;
    }
    const auto* const entry = keys->find(got.kid);
    if (entry == nullptr) {
        return refusal::unknown_key;
    }
    if (got.alg != name(entry->value.alg())) {
        return refusal::wrong_algorithm;
    }
    out.by = slot_of(*entry);
    return std::nullopt;
}

/// `dot` is the second one.
std::optional<refusal> verifier::state::check_signature(std::string_view token, std::size_t dot,
                                                        slot& by) {
    const auto segment = token.substr(dot + 1);
    std::array<std::uint8_t, decode_room(base64url_size(signature_bytes_max))> signature;
    const bool size_fits = segment.size() == by.signature_characters;
    if (!size_fits || decode_base64url(segment, signature) != by.signature_bytes) {
        // Only the reason is looked for here; a known header let the third dot pass so far.
        if (segment.find('.') != std::string_view::npos) {
            return refusal::not_three_segments;
        }
        return size_fits ? refusal::bad_base64url : refusal::bad_signature;
    }
    if (!by.context->check(token.substr(0, dot), {signature.data(), by.signature_bytes})) {
        return refusal::bad_signature;
    }
    return std::nullopt;
}

verifier::verifier(authority who, std::shared_ptr<const key_set> keys)
    : state_(std::make_unique<state>()) {
    require_valid(who);
    state_->payload_characters_max = base64url_size(claims_bytes_max(who) + payload_slack_bytes);
    state_->who = std::move(who);
    state_->prepare(std::move(keys));
}

verifier::~verifier() = default;
verifier::verifier(verifier&&) noexcept = default;
verifier& verifier::operator=(verifier&&) noexcept = default;

void verifier::use(std::shared_ptr<const key_set> keys) {
    state_->prepare(std::move(keys));
}

const key_set& verifier::keys() const noexcept {
    return *state_->keys;
}

verified verifier::verify(std::string_view token, timestamp now) {
    auto& s = *state_;
    if (token.size() > token_bytes_max) {
        return refusal::too_long;
    }
    cut_token at;
    if (const auto bad = s.cut(token, at)) {
        return *bad;
    }
    const auto dot = token.find('.', at.header_size + 1);
    if (dot == std::string_view::npos) {
        return refusal::not_three_segments;
    }
    if (at.by->entry->state == key_state::revoked) {
        return refusal::revoked_key;
    }
    const auto payload = token.substr(at.header_size + 1, dot - at.header_size - 1);
    if (payload.size() > s.payload_characters_max) {
        return refusal::too_long;
    }
    if (const auto bad = s.check_signature(token, dot, *at.by)) {
        return *bad;
    }

    // From here on somebody with our key wrote it; the rest is as strict nevertheless.
    std::array<char, token_bytes_max> text;
    const auto size = decode_base64url(
        payload, {reinterpret_cast<std::uint8_t*>(text.data()), text.size() - json_padding});
    if (!size) {
        return refusal::bad_base64url;
    }
    parsed_claims got;
    if (const auto bad = read_claims({text.data(), *size}, s.who, got)) {
        return *bad;
    }
    if (now >= got.what.expires_at) {
        return refusal::expired;
    }
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
    if (got.what.issued_at > seconds + iat_ahead_max ||
        (got.not_before && *got.not_before > seconds.time_since_epoch().count())) {
        return refusal::not_yet_valid;
    }
    return got.what;
}

}  // namespace insula::token
