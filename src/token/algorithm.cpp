#include "token/algorithm.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/crypto.hpp"
#include "insula/core/error.hpp"

#include <openssl/err.h>

namespace insula::token {

namespace {

// In the order of the enumeration.
const algorithm_row* const table[] = {&es256_row, &hs256_row, &eddsa_row, &rs256_row};

}  // namespace

void expect_openssl(bool ok, const char* what) {
    if (!ok) {
        ERR_clear_error();
        throw infrastructure_error(std::string("OpenSSL failed: ") + what);
    }
}

const EVP_MD* sha256_md() {
    static EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    expect_openssl(md != nullptr, "fetch SHA-256");
    return md;
}

const algorithm_row& row_of(algorithm value) noexcept {
    return *table[static_cast<std::size_t>(value)];
}

std::string_view name(algorithm value) noexcept {
    return row_of(value).name;
}

std::optional<algorithm> parse_algorithm(std::string_view text) noexcept {
    for (const auto* row : table) {
        if (row->name == text) {
            return row->id;
        }
    }
    return std::nullopt;
}

std::string jwk_thumbprint(std::string_view required_members) {
    std::string object = "{";
    object += required_members;
    object += "}";
    return base64url_encode(sha256(object));
}

}  // namespace insula::token
