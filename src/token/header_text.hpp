#pragma once
// The slow way through a token's header: for headers that are not, byte for byte, one of ours.

#include "insula/token/token.hpp"

#include <optional>
#include <string_view>

namespace insula::token {

/// What a header may say, and nothing else. Views into the decoded text.
struct header {
    std::string_view alg;
    std::string_view kid;
    std::string_view typ;
};

/// `text` is followed by json_padding readable bytes. A member besides alg, kid and typ is refused:
/// crit, jwk, jku, x5c, x5u and b64 exist to steer the verifier (RFC 8725 sections 3.9 and 3.10),
/// and no token of ours has another one. Strings only, no duplicates. Nothing: `out` is whole,
/// though members may be empty.
std::optional<refusal> read_header(std::string_view text, header& out);

/// Segments above this are refused undecoded; ours have 80 to 146 characters.
inline constexpr std::size_t header_characters_max = 256;

}  // namespace insula::token
