#include "schemas.hpp"

#include "insula/core/errc.hpp"

#include <boost/json/array.hpp>

namespace insula::api::schema {

object text() {
    return {{"type", "string"}};
}
object uuid() {
    return {{"type", "string"}, {"format", "uuid"}};
}
object time() {
    return {{"type", "string"}, {"format", "date-time"}};
}
object integer() {
    return {{"type", "integer"}};
}
object boolean() {
    return {{"type", "boolean"}};
}
object one_of(std::initializer_list<std::string_view> choices) {
    boost::json::array values;
    for (const auto choice : choices) {
        values.emplace_back(boost::json::string(choice));
    }
    return {{"type", "string"}, {"enum", std::move(values)}};
}
object nullable(object inner) {
    return {{"anyOf", boost::json::array{std::move(inner), object{{"type", "null"}}}}};
}
object array_of(object items) {
    return {{"type", "array"}, {"items", std::move(items)}};
}
object of(std::initializer_list<std::pair<std::string_view, object>> members) {
    object properties;
    boost::json::array required;
    for (const auto& [name, what] : members) {
        properties[name] = what;
        required.emplace_back(boost::json::string(name));
    }
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"required", std::move(required)},
            {"additionalProperties", false}};
}
object page_of(object items) {
    return of({{"items", array_of(std::move(items))}, {"next_cursor", nullable(text())}});
}
object limit() {
    return {{"type", "integer"}, {"minimum", 1}, {"maximum", 100}, {"default", 50}};
}
object cursor() {
    return text();
}
object problem() {
    boost::json::array codes;
    for (int code = 1; code <= static_cast<int>(errc_last); ++code) {
        codes.emplace_back(boost::json::string(name(static_cast<errc>(code))));
    }
    auto errors = array_of(of({{"pointer", text()}, {"code", text()}, {"detail", text()}}));
    errors["description"] = "what is wrong with the body, by JSON Pointer, or with query/<name>";
    auto tenants = array_of(of({{"slug", text()}, {"name", text()}}));
    tenants["description"] = "of tenant_required: which there are";
    object properties{{"type", object{{"type", "string"}, {"format", "uri-reference"}}},
                      {"title", text()},
                      {"status", integer()},
                      {"detail", text()},
                      {"code", object{{"type", "string"}, {"enum", std::move(codes)}}},
                      {"request_id", text()},
                      {"errors", std::move(errors)},
                      {"tenants", std::move(tenants)}};
    return {{"type", "object"},
            {"properties", std::move(properties)},
            {"required",
             boost::json::array{"type", "title", "status", "detail", "code", "request_id"}}};
}
object any_object() {
    return {{"type", "object"}};
}
object health() {
    return of({{"status", one_of({"alive"})}});
}
object readiness() {
    return of({{"status", one_of({"ready", "not_ready"})}, {"problems", array_of(text())}});
}
object jwks() {
    object key{{"type", "object"},
               {"properties", object{{"kty", one_of({"EC", "OKP", "RSA"})},
                                     {"kid", text()},
                                     {"alg", one_of({"ES256", "EdDSA", "RS256"})},
                                     {"use", one_of({"sig"})},
                                     {"crv", text()},
                                     {"x", text()},
                                     {"y", text()},
                                     {"n", text()},
                                     {"e", text()}}},
               {"required", boost::json::array{"kty", "kid", "alg", "use"}},
               {"additionalProperties", false}};
    return of({{"keys", array_of(std::move(key))}});
}
object openid_configuration() {
    return of({{"issuer", text()},
               {"jwks_uri", text()},
               {"response_types_supported", array_of(text())},
               {"subject_types_supported", array_of(text())},
               {"id_token_signing_alg_values_supported", array_of(text())}});
}

}  // namespace insula::api::schema
