#include "insula/core/random.hpp"

#include "core/openssl.hpp"

#include "insula/core/base64.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>

namespace insula {
namespace {

template <std::size_t Size>
secret_string random_token() {
    std::array<std::uint8_t, Size> data{};
    detail::require_openssl(RAND_priv_bytes(data.data(), static_cast<int>(data.size())),
                            "no randomness");
    std::string text = base64url_encode(data);
    secret_string token(text);
    wipe(data.data(), data.size());
    wipe(text.data(), text.size());
    return token;
}

}  // namespace

void random_bytes(std::span<std::uint8_t> out) {
    while (!out.empty()) {
        const auto part = out.first(std::min<std::size_t>(out.size(), 1U << 20));
        detail::require_openssl(RAND_bytes(part.data(), static_cast<int>(part.size())),
                                "no randomness");
        out = out.subspan(part.size());
    }
}

std::uint64_t random_u64() {
    std::uint64_t value = 0;
    random_bytes({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
    return value;
}

secret_string random_token_256() {
    return random_token<32>();
}
secret_string random_token_128() {
    return random_token<16>();
}

}  // namespace insula
