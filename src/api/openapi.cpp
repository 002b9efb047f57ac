#include "routes.hpp"
#include "schemas.hpp"

#include "insula/api/service.hpp"
#include "insula/http/problem.hpp"

#include <algorithm>
#include <map>
#include <string>

namespace insula::api {
namespace {

using boost::json::array;
using boost::json::object;

std::string lower(std::string_view method) {
    return ascii_lower(method);
}

object json_content(object schema_of_body) {
    return {{"application/json", object{{"schema", std::move(schema_of_body)}}}};
}

object problem_response(std::string_view description) {
    return {{"description", boost::json::string(description)},
            {"content",
             object{{"application/problem+json",
                     object{{"schema", object{{"$ref", "#/components/schemas/Problem"}}}}}}}};
}

/// Errors that every route of a kind may answer; the table adds its own.
std::vector<errc> all_errors(const http::route_row<endpoint>& row) {
    std::vector<errc> codes(row.endpoint.about.errors.begin(), row.endpoint.about.errors.end());
    codes.insert(codes.end(),
                 {errc::malformed_request, errc::rate_limited, errc::internal, errc::overloaded});
    if (row.options.body != http::body_rule::none) {
        codes.insert(codes.end(), {errc::malformed_json, errc::validation_failed,
                                   errc::payload_too_large, errc::unsupported_media_type});
    }
    if (row.endpoint.about.creates) {
        codes.insert(codes.end(), {errc::idempotency_in_progress, errc::idempotency_key_reused});
    }
    if (!row.endpoint.about.query.empty()) {
        codes.push_back(errc::validation_failed);
    }
    if (row.policy != http::policy::anonymous) {
        codes.insert(codes.end(),
                     {errc::unauthenticated, errc::invalid_token, errc::tenant_mismatch});
    }
    if (row.policy > http::policy::user) {
        codes.push_back(errc::forbidden);
    }
    if (row.policy > http::policy::user && row.policy != http::policy::operator_) {
        codes.insert(codes.end(), {errc::tenant_not_ready, errc::tenant_suspended,
                                   errc::tenant_pending_deletion});
    }
    return codes;
}

object responses(const http::route_row<endpoint>& row) {
    const auto& about = row.endpoint.about;
    object success{{"description", boost::json::string(about.summary)}};
    if (about.response != nullptr) {
        success["content"] = json_content(about.response());
    }
    if (about.etag) {
        success["headers"] = object{{"ETag", object{{"schema", schema::text()}}}};
    }
    object all{{std::to_string(about.success), std::move(success)}};
    if (about.etag && row.method == http::method::get) {
        all["304"] = object{{"description", "Not modified"}};
    }
    std::map<unsigned, std::string> by_status;
    for (const auto code : all_errors(row)) {
        auto& text = by_status[http::kind_of(code).status];
        const std::string code_name(name(code));
        if (text.find(code_name) == std::string::npos) {
            text += (text.empty() ? "" : ", ") + code_name;
        }
    }
    for (const auto& [status, text] : by_status) {
        all[std::to_string(status)] = problem_response(text);
    }
    return all;
}

array parameters(const http::route_row<endpoint>& row) {
    array all;
    std::string_view rest = row.pattern;
    for (auto open = rest.find('{'); open != std::string_view::npos; open = rest.find('{')) {
        const auto close = rest.find('}', open);
        all.push_back(object{{"name", boost::json::string(rest.substr(open + 1, close - open - 1))},
                             {"in", "path"},
                             {"required", true},
                             {"schema", schema::text()}});
        rest.remove_prefix(close + 1);
    }
    for (const auto& query : row.endpoint.about.query) {
        all.push_back(object{{"name", boost::json::string(query.name)},
                             {"in", "query"},
                             {"required", false},
                             {"description", boost::json::string(query.description)},
                             {"schema", query.schema()}});
    }
    if (row.endpoint.about.creates) {
        all.push_back(object{
            {"name", "Idempotency-Key"},
            {"in", "header"},
            {"required", false},
            {"description", "a repeat with the same body within 24 hours gets the first answer"},
            {"schema", object{{"type", "string"}, {"minLength", 1}, {"maxLength", 128}}}});
    }
    if (row.endpoint.about.if_match) {
        all.push_back(object{{"name", "If-Match"},
                             {"in", "header"},
                             {"required", false},
                             {"description", "change only this version"},
                             {"schema", schema::text()}});
    }
    return all;
}

/// OpenAPI 3.1 lets a security requirement name the roles it takes.
array roles_needed(http::policy policy) {
    switch (policy) {
        case http::policy::member:
            return {"member"};
        case http::policy::admin:
            return {"admin"};
        case http::policy::owner:
            return {"owner"};
        case http::policy::operator_:
            return {"operator"};
        default:
            return {};
    }
}

object describe(const http::route_row<endpoint>& row) {
    const auto& about = row.endpoint.about;
    object one{{"operationId", boost::json::string(about.id)},
               {"summary", boost::json::string(about.summary)},
               {"tags", array{boost::json::string(about.tag)}},
               {"responses", responses(row)}};
    if (auto all = parameters(row); !all.empty()) {
        one["parameters"] = std::move(all);
    }
    if (about.request != nullptr) {
        one["requestBody"] = object{{"required", row.options.body == http::body_rule::json},
                                    {"content", json_content(about.request())}};
    }
    one["security"] = row.policy == http::policy::anonymous
                          ? array{}
                          : array{object{{"bearer", roles_needed(row.policy)}}};
    return one;
}

}  // namespace

std::string openapi_json(const services& with) {
    object paths;
    for (const auto& row : routes.rows()) {
        if (row.endpoint.about.tag == "pages" ||
            (!with.projects && row.endpoint.about.tag == "projects")) {
            continue;
        }
        auto& path = paths[row.pattern];
        if (!path.is_object()) {
            path = object{};
        }
        path.as_object()[lower(http::name(row.method))] = describe(row);
    }
    const object document{
        {"openapi", "3.1.0"},
        {"info", object{{"title", "Insula"}, {"version", boost::json::string(with.version)}}},
        {"servers", array{object{{"url", boost::json::string(with.public_url)}}}},
        {"paths", std::move(paths)},
        {"components",
         object{{"schemas", object{{"Problem", schema::problem()}}},
                {"securitySchemes", object{{"bearer", object{{"type", "http"},
                                                             {"scheme", "bearer"},
                                                             {"bearerFormat", "JWT"}}}}}}}};
    return boost::json::serialize(document);
}

}  // namespace insula::api
