#pragma once
// Claims as the JSON text inside a token, both ways.

#include "insula/token/claims.hpp"
#include "insula/token/token.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace insula::token {

/// Years up to 9999: behind them rfc3339() and PostgreSQL part.
inline constexpr std::int64_t seconds_max = 253402300799;

/// The text of `what` in the one order our tokens have.
std::string write_claims(const authority& who, const claims& what);

/// The longest text write_claims() makes for this authority.
std::size_t claims_bytes_max(const authority& who);

struct parsed_claims {
    claims what;
    std::optional<std::int64_t> not_before;  // seconds since 1970
};

/// Reads the payload of a token whose signature was right. `text` is followed by json_padding
/// readable bytes. Checks everything but the times against a clock. Unknown members are passed over
/// (RFC 7519 section 4), but must be JSON. Nothing: `out` is whole.
std::optional<refusal> read_claims(std::string_view text, const authority& who, parsed_claims& out);

/// Printable ASCII without quotes and backslashes, 1 to 255 characters; else std::invalid_argument.
void require_valid(const authority& who);

}  // namespace insula::token
