#pragma once
// OpenSSL handles that free themselves, and the algorithms fetched once: a fetch costs more than a
// digest (FACTS.md 8).

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>

namespace insula::token {

template <auto Free>
struct openssl_deleter {
    template <class T>
    void operator()(T* handle) const noexcept {
        Free(handle);
    }
};

using pkey_ptr = std::unique_ptr<EVP_PKEY, openssl_deleter<EVP_PKEY_free>>;
using pkey_ctx_ptr = std::unique_ptr<EVP_PKEY_CTX, openssl_deleter<EVP_PKEY_CTX_free>>;
using md_ctx_ptr = std::unique_ptr<EVP_MD_CTX, openssl_deleter<EVP_MD_CTX_free>>;
using bignum_ptr = std::unique_ptr<BIGNUM, openssl_deleter<BN_clear_free>>;
using ecdsa_sig_ptr = std::unique_ptr<ECDSA_SIG, openssl_deleter<ECDSA_SIG_free>>;
using pkcs8_ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, openssl_deleter<PKCS8_PRIV_KEY_INFO_free>>;

/// Throws infrastructure_error with `what` when `ok` is false: out of memory or a broken
/// installation, never the fault of a token.
void expect_openssl(bool ok, const char* what);

/// SHA-256, fetched once for the process.
const EVP_MD* sha256_md();

}  // namespace insula::token
