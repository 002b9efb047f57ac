#include "openapi.hpp"

#include "components.hpp"
#include "routes.hpp"
#include "schemas.hpp"

#include "insula/core/values.hpp"
#include "insula/http/problem.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace insula::api {
namespace {

using boost::json::array;
using boost::json::object;

using described_row = http::route_row<endpoint>;

boost::json::string words(std::string_view text) {
    return boost::json::string(text);
}

bool has_error(const described_row& row, errc code) {
    return std::ranges::find(row.endpoint.about.errors, code) != row.endpoint.about.errors.end();
}

/// A token is taken where it is sent, and not asked for.
bool takes_a_token(const described_row& row) {
    return row.policy == http::policy::anonymous && has_error(row, errc::invalid_token);
}

/// Whoever shows a token may name its tenant; whoever gets one may say there for which.
bool takes_a_slug(const described_row& row) {
    return row.policy != http::policy::anonymous || takes_a_token(row) ||
           row.endpoint.about.id == "login";
}

/// The row's own errors and those of everything that comes before its handler.
std::set<errc> all_errors(const described_row& row) {
    const auto& about = row.endpoint.about;
    std::set<errc> codes(about.errors.begin(), about.errors.end());
    codes.insert({errc::malformed_request, errc::request_timeout, errc::payload_too_large,
                  errc::rate_limited, errc::header_too_large, errc::internal, errc::not_implemented,
                  errc::overloaded});
    if (row.options.body != http::body_rule::none) {
        codes.insert({errc::malformed_json, errc::validation_failed, errc::unsupported_media_type});
    }
    if (about.creates) {
        codes.insert(
            {errc::idempotency_in_progress, errc::idempotency_key_reused, errc::validation_failed});
    }
    if (!about.query.empty()) {
        codes.insert(errc::validation_failed);
    }
    if (row.pattern.find('{') != std::string_view::npos) {
        codes.insert(errc::not_found);
    }
    if (about.if_match) {
        codes.insert(errc::precondition_failed);
    }
    if (row.policy != http::policy::anonymous) {
        codes.insert({errc::unauthenticated, errc::invalid_token, errc::tenant_mismatch});
    }
    if (row.policy != http::policy::anonymous && row.policy != http::policy::operator_ &&
        !about.any_tenant_state) {
        codes.insert({errc::tenant_suspended, errc::tenant_pending_deletion});
    }
    if (row.policy > http::policy::user) {
        codes.insert(errc::forbidden);
    }
    if (row.policy > http::policy::user && row.policy != http::policy::operator_) {
        codes.insert(errc::tenant_not_ready);
    }
    return codes;
}

using codes_by_status = std::map<unsigned, std::set<errc>>;

codes_by_status grouped(const std::set<errc>& codes) {
    codes_by_status groups;
    for (const auto code : codes) {
        groups[http::kind_of(code).status].insert(code);
    }
    return groups;
}

/// slug_taken and email_taken: "SlugTakenOrEmailTaken".
std::string response_name(const std::set<errc>& codes) {
    std::string name;
    for (const auto code : codes) {
        name += name.empty() ? "" : "Or";
        bool begins = true;
        for (const char c : insula::name(code)) {
            if (c != '_') {
                name += begins ? static_cast<char>(c - 'a' + 'A') : c;
            }
            begins = c == '_';
        }
    }
    return name;
}

/// A problem whose code is one of these.
object problem_response(unsigned status, const std::set<errc>& codes) {
    array names;
    std::string sentence;
    for (const auto code : codes) {
        names.emplace_back(words(name(code)));
        sentence += (sentence.empty() ? "" : ". ") + std::string(http::kind_of(code).title);
    }
    object headers{{"X-Request-ID", reference_to("headers", "X-Request-ID")}};
    if (status == 401) {
        headers["WWW-Authenticate"] = reference_to("headers", "WWW-Authenticate");
    }
    if (status == 429 || status == 503) {
        headers["Retry-After"] = reference_to("headers", "Retry-After");
    }
    if (codes.contains(errc::idempotency_in_progress)) {
        headers["Retry-After"] = reference_to("headers", "Retry-After-In-Progress");
    }
    const object own_codes{
        {"type", "object"},
        {"properties", object{{"code", object{{"type", "string"}, {"enum", std::move(names)}}}}}};
    return {{"description", words(sentence)},
            {"headers", std::move(headers)},
            {"content",
             object{{"application/problem+json",
                     object{{"schema", object{{"allOf", array{reference_to("schemas", "Problem"),
                                                              own_codes}}}}}}}}};
}

std::string_view meaning(unsigned success) {
    switch (success) {
        case 201:
            return "Made";
        case 202:
            return "Accepted; it is done after the answer";
        case 204:
            return "Done";
        default:
            return "The answer";
    }
}

object content_of(std::string_view media, const object& schema) {
    return {{media, object{{"schema", with_references(schema)}}}};
}

object success_response(const operation& about) {
    object headers{{"X-Request-ID", reference_to("headers", "X-Request-ID")}};
    if (about.etag) {
        headers["ETag"] = reference_to("headers", "ETag");
    }
    if (about.location) {
        headers["Location"] = reference_to("headers", "Location");
    }
    object success{{"description", words(meaning(about.success))}, {"headers", std::move(headers)}};
    if (about.response != nullptr) {
        success["content"] = content_of(about.media, about.response());
    }
    return success;
}

object responses(const described_row& row) {
    const auto& about = row.endpoint.about;
    object all{{std::to_string(about.success), success_response(about)}};
    if (about.etag && row.method == http::method::get) {
        all["304"] = reference_to("responses", "NotModified");
    }
    for (const auto& [status, codes] : grouped(all_errors(row))) {
        all[std::to_string(status)] = reference_to("responses", response_name(codes));
    }
    if (about.unready != nullptr) {
        auto either = problem_response(503, {errc::overloaded});
        either["description"] = "Not ready, or overloaded";
        either["content"].as_object()["application/json"] =
            object{{"schema", with_references(about.unready())}};
        all["503"] = std::move(either);
    }
    return all;
}

/// What stands in a path, by its name.
object path_schema(std::string_view name) {
    if (name == "slug") {
        return slug::schema();
    }
    if (name == "registration_id") {
        return {{"type", "string"}, {"pattern", "^[A-Za-z0-9_-]{22}$"}};
    }
    if (name == "type") {
        return {{"type", "string"}, {"pattern", "^[a-z_]+$"}};
    }
    return schema::uuid();
}

object parameter_of(std::string_view name, std::string_view in, object schema_of_it,
                    std::string_view description) {
    object one{{"name", words(name)}, {"in", words(in)}, {"required", in == "path"}};
    if (!description.empty()) {
        one["description"] = words(description);
    }
    one["schema"] = std::move(schema_of_it);
    return one;
}

object header_parameter(std::string_view name) {
    if (name == "Idempotency-Key") {
        return parameter_of(name, "header",
                            {{"type", "string"}, {"minLength", 1}, {"maxLength", 128}},
                            "A repeat with the same body within 24 hours gets the first answer");
    }
    if (name == "X-Tenant-Slug") {
        return parameter_of(
            name, "header", slug::schema(),
            "The tenant: of the access token, no other (403 tenant_mismatch); at log-in the one to "
            "log in to");
    }
    return parameter_of(name, "header", schema::text(),
                        name == "If-Match" ? "Change only this version: the ETag that was read"
                                           : "Answer 304 when this version is still the last");
}

array parameters(const described_row& row) {
    const auto& about = row.endpoint.about;
    array all;
    std::string_view rest = row.pattern;
    for (auto open = rest.find('{'); open != std::string_view::npos; open = rest.find('{')) {
        const auto close = rest.find('}', open);
        const auto name = rest.substr(open + 1, close - open - 1);
        all.push_back(parameter_of(name, "path", path_schema(name), ""));
        rest.remove_prefix(close + 1);
    }
    for (const auto& query : about.query) {
        all.push_back(parameter_of(query.name, "query", query.schema(), query.description));
    }
    for (const auto& [wanted, name] :
         {std::pair{about.creates, "Idempotency-Key"}, std::pair{about.if_match, "If-Match"},
          std::pair{about.etag && row.method == http::method::get, "If-None-Match"},
          std::pair{takes_a_slug(row), "X-Tenant-Slug"}}) {
        if (wanted) {
            all.push_back(header_parameter(name));
        }
    }
    return all;
}

object component_headers() {
    const auto header = [](std::string_view description, object schema_of_it, bool always = true) {
        return object{{"description", words(description)},
                      {"required", always},
                      {"schema", std::move(schema_of_it)}};
    };
    const object seconds{{"type", "integer"}, {"minimum", 1}};
    return {{"X-Request-ID",
             header("The request's own, where it is of 1 to 64 letters, digits, dots, lines and "
                    "dashes; or a new one. The log has it, too",
                    schema::text())},
            {"ETag", header("The version", schema::text())},
            {"Location", header("Where it is to be found, or to be watched", schema::text())},
            {"Retry-After", header("Seconds to wait", seconds)},
            {"Retry-After-In-Progress",
             header("Seconds to wait, of idempotency_in_progress", seconds, false)},
            {"WWW-Authenticate", header("Bearer, and with a token that is not valid "
                                        "error=\"invalid_token\"",
                                        schema::text())}};
}

/// OpenAPI 3.1 lets a security requirement name the roles it takes.
array security(const described_row& row) {
    switch (row.policy) {
        case http::policy::anonymous:
            return takes_a_token(row) ? array{object{}, object{{"bearer", array{}}}} : array{};
        case http::policy::user:
            return {object{{"bearer", array{}}}};
        case http::policy::member:
            return {object{{"bearer", array{"member"}}}};
        case http::policy::admin:
            return {object{{"bearer", array{"admin"}}}};
        case http::policy::owner:
            return {object{{"bearer", array{"owner"}}}};
        case http::policy::operator_:
            return {object{{"bearer", array{"operator"}}}};
    }
    return {};
}

object describe(const described_row& row) {
    const auto& about = row.endpoint.about;
    object one{{"operationId", words(about.id)},
               {"summary", words(about.summary)},
               {"tags", array{words(about.tag)}},
               {"security", security(row)}};
    if (auto all = parameters(row); !all.empty()) {
        one["parameters"] = std::move(all);
    }
    if (about.request != nullptr) {
        one["requestBody"] = object{{"required", row.options.body == http::body_rule::json},
                                    {"content", content_of("application/json", about.request())}};
    }
    one["responses"] = responses(row);
    return one;
}

/// The pages of `insula dev` are for people, and another schema's tenants have no projects.
bool is_described(const described_row& row, const published& about) {
    const auto tag = row.endpoint.about.tag;
    return tag != "pages" && (about.projects || tag != "projects");
}

/// The resources in the order of the route table.
array tags(const published& about) {
    array all;
    std::set<std::string_view> seen;
    for (const auto& row : routes.rows()) {
        if (is_described(row, about) && seen.insert(row.endpoint.about.tag).second) {
            all.push_back(object{{"name", words(row.endpoint.about.tag)}});
        }
    }
    return all;
}

object component_responses(const published& about) {
    object all{{"NotModified",
                object{{"description", "The version of If-None-Match is still the last"},
                       {"headers", object{{"X-Request-ID", reference_to("headers", "X-Request-ID")},
                                          {"ETag", reference_to("headers", "ETag")}}}}}};
    for (const auto& row : routes.rows()) {
        if (!is_described(row, about)) {
            continue;
        }
        for (const auto& [status, codes] : grouped(all_errors(row))) {
            all[response_name(codes)] = problem_response(status, codes);
        }
    }
    return all;
}

constexpr std::string_view introduction =
    "Register a tenant, watch it become ready, verify the mail address, log in; every other call "
    "takes the access token, which names its tenant. Bodies are JSON in UTF-8, times RFC 3339 in "
    "UTC. Errors are application/problem+json (RFC 9457) with a stable code. Lists answer items "
    "and next_cursor, which is null at the end.";

}  // namespace

object openapi_document(const published& about) {
    object paths;
    for (const auto& row : routes.rows()) {
        if (!is_described(row, about)) {
            continue;
        }
        auto& path = paths[row.pattern];
        if (!path.is_object()) {
            path = object{};
        }
        path.as_object()[ascii_lower(http::name(row.method))] = describe(row);
    }
    const object bearer{{"type", "http"},
                        {"scheme", "bearer"},
                        {"bearerFormat", "JWT"},
                        {"description", "The access token of a log-in"}};
    return {{"openapi", "3.1.0"},
            {"info", object{{"title", "Insula"},
                            {"version", words(about.version)},
                            {"description", words(introduction)}}},
            {"servers", array{object{{"url", words(about.public_url)}}}},
            {"tags", tags(about)},
            {"paths", std::move(paths)},
            {"components", object{{"schemas", component_schemas()},
                                  {"responses", component_responses(about)},
                                  {"headers", component_headers()},
                                  {"securitySchemes", object{{"bearer", bearer}}}}}};
}

}  // namespace insula::api
