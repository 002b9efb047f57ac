// Any octets on a connection: no crash, and the same answers whole and octet by octet (G60, G63).
#include "../unit/http/reader_run.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using insula::http::test::reader_run;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto whole = reader_run().feed(bytes, std::string::npos);
    const auto octets = reader_run().feed(bytes, 1);
    const bool same = whole.statuses == octets.statuses && whole.bodies == octets.bodies &&
                      whole.closed == octets.closed;
    if (!same)
        std::abort();
    return 0;
}
