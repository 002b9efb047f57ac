#pragma once
// OpenSSL objects that free themselves, and its errors as exceptions.

#include "insula/core/error.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <memory>

namespace insula::detail {

struct openssl_free {
    void operator()(EVP_MD* md) const noexcept { EVP_MD_free(md); }
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    void operator()(EVP_CIPHER* cipher) const noexcept { EVP_CIPHER_free(cipher); }
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
};
template <class T>
using openssl_ptr = std::unique_ptr<T, openssl_free>;

/// Throws with what OpenSSL says and leaves its error queue empty.
[[noreturn]] inline void throw_openssl(const char* what) {
    char reason[160] = "no reason given";
    if (const auto code = ERR_get_error()) {
        ERR_error_string_n(code, reason, sizeof reason);
    }
    ERR_clear_error();
    throw infrastructure_error(std::string("OpenSSL: ") + what + ": " + reason);
}

inline void require_openssl(int ok, const char* what) {
    if (ok != 1) {
        throw_openssl(what);
    }
}

template <class T>
openssl_ptr<T> own_openssl(T* object, const char* what) {
    if (!object) {
        throw_openssl(what);
    }
    return openssl_ptr<T>(object);
}

}  // namespace insula::detail
