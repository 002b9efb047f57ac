#pragma once
// Unicode text: checks, trimming, canonical forms (libutf8proc for NFKC and case folding, libidn2
// for domains). Offsets and sizes are in bytes unless a name says code points.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace insula {

/// Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
[[nodiscard]] bool valid_utf8(std::string_view text) noexcept;

/// The number of code points of valid UTF-8.
[[nodiscard]] std::size_t count_code_points(std::string_view text) noexcept;

/// True when valid UTF-8 has a control character: general category Cc (C0, DEL, C1), or a line or
/// paragraph separator, or one of the bidirectional formatting characters that reorder what follows
/// (U+202A–202E, U+2066–2069).
[[nodiscard]] bool has_control_characters(std::string_view text) noexcept;
/// True for category Cc only, tab, line feed and carriage return allowed: for text of several
/// lines.
[[nodiscard]] bool has_control_characters_but_line_breaks(std::string_view text) noexcept;

/// True when valid UTF-8 has a character with the Unicode property White_Space.
[[nodiscard]] bool has_white_space(std::string_view text) noexcept;

/// Without White_Space characters at both ends. A view into `text`.
[[nodiscard]] std::string_view trim(std::string_view text) noexcept;

/// NFKC_Casefold: compatibility composition, full case folding, default-ignorable code points
/// removed. nullopt for invalid UTF-8.
[[nodiscard]] std::optional<std::string> nfkc_casefold(std::string_view text);

/// A domain in its ASCII form (IDNA2008 with UTS 46 non-transitional mapping), lower case, without
/// the root dot. nullopt when it is not a domain: empty or too long labels, forbidden characters,
/// bad punycode.
[[nodiscard]] std::optional<std::string> idna_to_ascii(std::string_view domain);

/// Lower-case ASCII letters; every other byte as it is.
[[nodiscard]] std::string ascii_lower(std::string_view text);

/// The longest prefix of at most `bytes_max` bytes that does not cut a code point.
[[nodiscard]] std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max) noexcept;

}  // namespace insula
