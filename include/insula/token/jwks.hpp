#pragma once

#include "insula/token/key_set.hpp"

#include <string>
#include <string_view>

namespace insula::token {

/// RFC 7517 document: the public halves of active and retiring keys. HS256 and revoked keys never
/// appear.
std::string jwks_json(const key_set& keys);

/// OpenID Connect discovery document: issuer, jwks_uri and the algorithms in use. `issuer` is the
/// public URL without a slash at its end (one is dropped).
std::string openid_configuration_json(std::string_view issuer, const key_set& keys);

}  // namespace insula::token
