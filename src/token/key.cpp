#include "insula/token/key.hpp"

#include "token/algorithm.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/crypto.hpp"
#include "insula/core/random.hpp"

#include <algorithm>
#include <array>

namespace insula::token {

namespace {

constexpr std::size_t kid_characters_max = 64;

/// What base64url can spell: it goes into headers and JSON without escaping.
bool valid_kid(std::string_view kid) {
    return !kid.empty() && kid.size() <= kid_characters_max &&
           std::all_of(kid.begin(), kid.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
           });
}

std::string make_kid(const algorithm_row& row, const key::parts& of) {
    if (row.has_public_half) {
        return jwk_thumbprint(row.required_jwk_members(of));
    }
    std::array<std::uint8_t, 16> random;
    random_bytes(random);
    return base64url_encode(random);
}

std::shared_ptr<const key::parts> finish(const algorithm_row& row, key::parts of, std::string kid) {
    of.alg = row.id;
    of.signature_bytes = row.signature_bytes(of);
    of.header_segment = base64url_encode(as_bytes(R"({"alg":")" + std::string(row.name) +
                                                  R"(","kid":")" + kid + R"(","typ":"at+jwt"})"));
    of.kid = std::move(kid);
    return std::make_shared<const key::parts>(std::move(of));
}

/// Additional data of the seal: no kid contains the separator.
std::string sealed_for(algorithm value, std::string_view kid) {
    return "insula token key|" + std::string(name(value)) + "|" + std::string(kid);
}

}  // namespace

key key::generate(algorithm value) {
    const auto& row = row_of(value);
    auto made = row.generate();
    auto kid = make_kid(row, made);
    return key(finish(row, std::move(made), std::move(kid)));
}

result<key> key::import_private(algorithm value, std::string kid,
                                std::span<const std::uint8_t> material) {
    const auto& row = row_of(value);
    if (!valid_kid(kid)) {
        return error(errc::internal, {}, "a stored key has an impossible kid");
    }
    auto made = row.import_private(material);
    if (!made) {
        return error(errc::internal, {}, "key " + kid + " is no key of " + std::string(row.name));
    }
    if (row.has_public_half && jwk_thumbprint(row.required_jwk_members(*made)) != kid) {
        return error(errc::internal, {}, "key " + kid + " has another thumbprint");
    }
    return key(finish(row, std::move(*made), std::move(kid)));
}

secret_bytes key::export_private() const {
    return row_of(alg()).export_private(*parts_);
}

algorithm key::alg() const noexcept {
    return parts_->alg;
}

const std::string& key::kid() const noexcept {
    return parts_->kid;
}

bool key::has_public_half() const noexcept {
    return row_of(alg()).has_public_half;
}

std::string key::public_jwk() const {
    if (!has_public_half()) {
        return {};
    }
    return "{" + row_of(alg()).required_jwk_members(*parts_) + R"(,"kid":")" + kid() +
           R"(","alg":")" + std::string(name(alg())) + R"(","use":"sig"})";
}

std::vector<std::uint8_t> seal_key(const key& value, const secret_bytes& key_encryption_key) {
    const auto material = value.export_private();
    return seal(key_encryption_key.view(), material.view(),
                as_bytes(sealed_for(value.alg(), value.kid())));
}

result<key> open_key(algorithm value, std::string kid, std::span<const std::uint8_t> sealed,
                     const secret_bytes& key_encryption_key) {
    const auto material = open(key_encryption_key.view(), sealed, as_bytes(sealed_for(value, kid)));
    if (!material) {
        return error(errc::internal, {},
                     "key " + kid + " does not open with this key-encryption key");
    }
    return key::import_private(value, std::move(kid), material->view());
}

}  // namespace insula::token
