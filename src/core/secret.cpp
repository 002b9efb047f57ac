#include "insula/core/secret.hpp"

#include <openssl/crypto.h>

namespace insula {

void wipe(void* data, std::size_t size) noexcept {
    OPENSSL_cleanse(data, size);
}

bool equal_constant_time(bytes_view a, bytes_view b) noexcept {
    return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

}  // namespace insula
