#pragma once
// The encodings of mail.

#include <string>
#include <string_view>

namespace insula::mail {

/// Printable ASCII and spaces only.
bool is_plain_ascii(std::string_view text) noexcept;

/// Valid UTF-8 on one line: control characters become spaces, invalid bytes U+FFFD.
std::string one_line(std::string_view text);

/// RFC 2047 encoded words (UTF-8, B), each at most 75 characters, no character cut, folded by CRLF
/// and a space.
std::string encoded_words(std::string_view text);

/// Lines ended by CRLF, a last one that has no end included; lone CR and LF count as ends.
std::string with_crlf(std::string_view text);

/// True when a text with CRLF line ends may be sent as 7bit (RFC 2045 section 2.7): ASCII without
/// control characters but tab, lines of at most 998.
bool fits_7bit(std::string_view text) noexcept;

/// RFC 2045 section 6.7, of a text with CRLF line ends: lines of at most 76 characters, soft breaks
/// not inside a character.
std::string quoted_printable(std::string_view text);

}  // namespace insula::mail
