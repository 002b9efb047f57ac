#pragma once
// The two text forms every token is full of, read fast: on processors with AVX2 16 to 32 characters
// at a time, else character by character, with the same answer (text_codec_test compares them).

#include "insula/core/uuid.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace insula::token {

/// As core's base64url_decode: strict and canonical, into a buffer of at least text.size() * 3 / 4
/// bytes. What lies behind the decoded bytes in `out` is overwritten with anything. Nothing: not
/// strict base64url.
std::optional<std::size_t> decode_base64url(std::string_view text,
                                            std::span<std::uint8_t> out) noexcept;

/// How large a buffer decode_base64url() wants for the fast way: it writes whole groups.
constexpr std::size_t decode_room(std::size_t characters) {
    return (characters + 31) / 32 * 24 + 8;
}

/// Exactly 36 characters, lower case: the one spelling our tokens have.
bool parse_canonical_uuid(std::string_view text, uuid& out) noexcept;

/// For tests: the portable way whatever the processor can.
bool parse_canonical_uuid_portably(std::string_view text, uuid& out) noexcept;

}  // namespace insula::token
