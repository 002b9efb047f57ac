#pragma once
// The one decision about what a request's target means: everything that routes, authorises or logs
// uses its result.

#include <cstdint>
#include <string>
#include <string_view>

namespace insula::http {

enum class target_form : std::uint8_t { malformed, origin, asterisk };

struct split_target {
    target_form form = target_form::malformed;
    std::string_view path;   // raw, starts with '/'
    std::string_view query;  // raw, without '?'
};

/// `target` has passed the guard (visible ASCII only). absolute-form (http, https) loses scheme and
/// authority; `*` is for OPTIONS only; authority-form (CONNECT) is malformed here (RFC 9112 3.2).
split_target split(std::string_view target, bool options) noexcept;

enum class path_verdict : std::uint8_t { ok, malformed, names_nothing };

/// Decodes once. malformed (400): bad percent-encoding, control characters, not UTF-8.
/// names_nothing (404): an encoded slash or any backslash, empty or dot segments, before or after
/// decoding, a trailing slash. `out` is a view of `raw` or of `storage`.
path_verdict canonical_path(std::string_view raw, std::string& storage, std::string_view& out);

/// Appends `text` decoded; false on a bad escape. `plus` makes '+' a space.
bool percent_decode(std::string_view text, bool plus, std::string& out);

}  // namespace insula::http
