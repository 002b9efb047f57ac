#pragma once
// RFC 9112 as a table: octets in, statuses out, connection kept or closed. Run on the reader alone
// and on real sockets, whole and octet by octet; the answers must be the same.

#include <ostream>
#include <string>
#include <vector>

namespace insula::http::test {

struct framing_case {
    const char* name;
    std::string bytes;
    std::vector<unsigned> statuses;  // one for each response, in order
    bool closed;                     // by us, although the client would go on
};

inline void PrintTo(const framing_case& c, std::ostream* out) {
    *out << c.name;
}

/// Routes every case may use: GET /ok (200), POST /ok (200, echoes nothing). Header limit 1024,
/// body limit 64.
const std::vector<framing_case>& framing_cases();

std::vector<framing_case> more_framing_cases();

inline constexpr std::size_t case_header_bytes_max = 1024;
inline constexpr std::size_t case_body_bytes_max = 64;

}  // namespace insula::http::test
