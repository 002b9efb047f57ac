#include "token/pkcs8.hpp"

#include <openssl/err.h>

namespace insula::token {

pkey_ptr read_pkcs8(bytes_view der) {
    const std::uint8_t* at = der.data();
    const pkcs8_ptr info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
    pkey_ptr pair;
    if (info && at == der.data() + der.size()) {
        pair.reset(EVP_PKCS82PKEY(info.get()));
    }
    if (!pair) {
        ERR_clear_error();
    }
    return pair;
}

secret_bytes write_pkcs8(EVP_PKEY* pair) {
    const pkcs8_ptr info(EVP_PKEY2PKCS8(pair));
    expect_openssl(info != nullptr, "PKCS#8");
    const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr);
    expect_openssl(size > 0, "PKCS#8");
    secret_bytes der(static_cast<std::size_t>(size));
    auto* out = der.writable().data();
    expect_openssl(i2d_PKCS8_PRIV_KEY_INFO(info.get(), &out) == size, "PKCS#8");
    return der;
}

}  // namespace insula::token
