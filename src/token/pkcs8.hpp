#pragma once
// Private keys as PKCS#8 (RFC 5958), the one stored form of all algorithms with a public half.

#include "token/openssl.hpp"

#include "insula/core/bytes.hpp"
#include "insula/core/secret.hpp"

namespace insula::token {

/// The key pair; nothing when the octets are not exactly one PKCS#8 structure that OpenSSL knows.
/// Whether it is a key of the right kind is the caller's to look at.
pkey_ptr read_pkcs8(bytes_view der);

secret_bytes write_pkcs8(EVP_PKEY* pair);

}  // namespace insula::token
