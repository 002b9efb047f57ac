#include "insula/token/jwks.hpp"

#include "insula/core/json_writer.hpp"

#include <algorithm>
#include <vector>

namespace insula::token {

namespace {

bool published(const key_entry& entry) {
    return entry.state != key_state::revoked && entry.value.has_public_half();
}

}  // namespace

std::string jwks_json(const key_set& keys) {
    std::string text;
    json_writer json(text);
    json.begin_object().key("keys").begin_array();
    for (const auto& entry : keys.entries()) {
        if (published(entry)) {
            json.raw(entry.value.public_jwk());
        }
    }
    json.end_array().end_object();
    return text;
}

std::string openid_configuration_json(std::string_view issuer, const key_set& keys) {
    if (issuer.ends_with('/')) {
        issuer.remove_suffix(1);
    }
    std::vector<std::string_view> algorithms;
    for (const auto& entry : keys.entries()) {
        const auto one = name(entry.value.alg());
        if (published(entry) &&
            std::find(algorithms.begin(), algorithms.end(), one) == algorithms.end()) {
            algorithms.push_back(one);
        }
    }
    std::string text;
    json_writer json(text);
    json.begin_object().member("issuer", issuer);
    json.member("jwks_uri", std::string(issuer) + "/.well-known/jwks.json");
    // There is no authorization endpoint here; these are members every reader of such a document
    // expects (OpenID Connect Discovery 1.0 section 3).
    json.key("response_types_supported").begin_array().value("none").end_array();
    json.key("subject_types_supported").begin_array().value("public").end_array();
    json.key("id_token_signing_alg_values_supported").begin_array();
    for (const auto one : algorithms) {
        json.value(one);
    }
    json.end_array().end_object();
    return text;
}

}  // namespace insula::token
