#include "insula/http/router.hpp"

#include <string>

namespace insula::http {

std::string_view allow_value(unsigned mask) noexcept {
    static const auto values = [] {
        std::array<std::string, 1u << routed_methods> all;
        for (unsigned bits = 1; bits < all.size(); ++bits) {
            for (std::size_t m = 0; m < routed_methods; ++m) {
                if ((bits & (1u << m)) == 0)
                    continue;
                all[bits] += name(static_cast<method>(m));
                all[bits] += ", ";
                if (static_cast<method>(m) == method::get)
                    all[bits] += "HEAD, ";
            }
            all[bits] += "OPTIONS";
        }
        return all;
    }();
    return values[mask & (values.size() - 1)];
}

}  // namespace insula::http
