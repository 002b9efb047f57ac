#pragma once
// Base64 and base64url (RFC 4648), decoded strictly: one text for each sequence of bytes.

#include "insula/core/bytes.hpp"

#include <optional>

namespace insula {

/// Alphabet of RFC 4648 section 5, without padding.
[[nodiscard]] std::string base64url_encode(bytes_view data);
/// nullopt on padding, white space, a foreign character, an impossible length or bits left over
/// that are not zero: so a token has exactly one spelling.
[[nodiscard]] std::optional<bytes> base64url_decode(std::string_view text);
/// The same into a buffer of at least text.size() * 3 / 4 bytes; the number of bytes written, or
/// nullopt.
[[nodiscard]] std::optional<std::size_t> base64url_decode(std::string_view text,
                                                          std::span<std::uint8_t> out) noexcept;

/// Alphabet of RFC 4648 section 4, with padding.
[[nodiscard]] std::string base64_encode(bytes_view data);
/// Padding is required; otherwise as strict as base64url_decode.
[[nodiscard]] std::optional<bytes> base64_decode(std::string_view text);

}  // namespace insula
