// The description of the API against the route table it is made from. Whether answers are as it
// says, the system tests look at, all of them.
#include "api/openapi.hpp"

#include "api/docs_style.hpp"
#include "api/routes.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/crypto.hpp"
#include "insula/http/problem.hpp"

#include <boost/json.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace insula::api {
namespace {

using boost::json::object;
using boost::json::value;

const object& document() {
    static const object made = openapi_document({"1.2.3", "https://insula.example", true});
    return made;
}

const object& operation_of(const http::route_row<endpoint>& row) {
    return document()
        .at("paths")
        .at(row.pattern)
        .at(ascii_lower(http::name(row.method)))
        .as_object();
}

bool is_a_page(const http::route_row<endpoint>& row) {
    return row.endpoint.about.tag == "pages";
}

std::string where(const http::route_row<endpoint>& row) {
    return std::string(http::name(row.method)) + " " + std::string(row.pattern);
}

const value* found(const value& in, std::string_view pointer) {
    boost::system::error_code failed;
    return in.find_pointer(pointer, failed);
}

/// Every reference below, with what it is said of.
void expect_references_resolve(const value& in) {
    static const value whole = document();
    if (const auto* list = in.if_array()) {
        for (const auto& one : *list) {
            expect_references_resolve(one);
        }
    } else if (const auto* members = in.if_object()) {
        for (const auto& member : *members) {
            if (member.key() == "$ref") {
                const auto ref = std::string_view(member.value().as_string());
                EXPECT_TRUE(ref.starts_with("#/components/")) << ref;
                EXPECT_NE(found(whole, ref.substr(1)), nullptr) << ref;
            } else {
                expect_references_resolve(member.value());
            }
        }
    }
}

/// The codes an operation names for a status.
std::set<std::string> codes_of(const object& operation, unsigned status) {
    const auto* response =
        operation.at("responses").as_object().if_contains(std::to_string(status));
    if (response == nullptr) {
        return {};
    }
    static const value whole = document();
    const auto* ref = response->as_object().if_contains("$ref");
    const value& about =
        ref == nullptr ? *response : *found(whole, std::string_view(ref->as_string()).substr(1));
    const auto* content = found(about, "/content/application~1problem+json/schema/allOf");
    std::set<std::string> codes;
    if (content != nullptr) {
        EXPECT_EQ(content->at(0).at("$ref").as_string(), "#/components/schemas/Problem");
        for (const auto& one : content->at(1).at("properties").at("code").at("enum").as_array()) {
            codes.emplace(one.as_string());
        }
    }
    return codes;
}

}  // namespace

TEST(openapi, describes_every_route_but_the_pages_of_dev) {
    std::size_t operations = 0;
    for (const auto& path : document().at("paths").as_object()) {
        operations += path.value().as_object().size();
    }
    std::size_t routed = 0;
    for (const auto& row : routes.rows()) {
        if (is_a_page(row)) {
            EXPECT_FALSE(document().at("paths").as_object().contains(row.pattern));
        } else {
            ++routed;
            EXPECT_TRUE(document().at("paths").as_object().contains(row.pattern)) << where(row);
        }
    }
    EXPECT_EQ(operations, routed);
    EXPECT_EQ(document().at("openapi").as_string(), "3.1.0");
    EXPECT_EQ(document().at("info").at("version").as_string(), "1.2.3");
}

TEST(openapi, operations_have_an_id_of_their_own_a_tag_and_a_summary) {
    std::set<std::string> ids;
    std::set<std::string> tags;
    for (const auto& tag : document().at("tags").as_array()) {
        tags.emplace(tag.at("name").as_string());
    }
    for (const auto& row : routes.rows()) {
        const std::string id(row.endpoint.about.id);
        EXPECT_TRUE(ids.insert(id).second) << id << " is the id of two operations";
        EXPECT_FALSE(id.empty()) << where(row);
        EXPECT_TRUE(std::ranges::all_of(
            id, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }))
            << id << " becomes the name of a function";
        EXPECT_FALSE(row.endpoint.about.summary.empty()) << where(row);
        EXPECT_FALSE(row.endpoint.about.summary.ends_with('.')) << where(row);
        if (!is_a_page(row)) {
            EXPECT_TRUE(tags.contains(std::string(row.endpoint.about.tag))) << where(row);
        }
    }
}

TEST(openapi, what_a_route_answers_has_a_schema) {
    for (const auto& row : routes.rows()) {
        if (is_a_page(row)) {
            continue;
        }
        const auto& about = row.endpoint.about;
        const auto& success =
            operation_of(row).at("responses").at(std::to_string(about.success)).as_object();
        if (about.success == 204) {
            EXPECT_FALSE(success.contains("content")) << where(row) << " has no body";
        } else if (about.success != 202) {  // which may be an answer without a word
            EXPECT_TRUE(success.contains("content")) << where(row);
        }
        EXPECT_TRUE(success.at("headers").as_object().contains("X-Request-ID"));
        EXPECT_EQ(success.at("headers").as_object().contains("ETag"), about.etag);
        EXPECT_EQ(success.at("headers").as_object().contains("Location"), about.location);
        if (about.success == 201) {
            EXPECT_TRUE(about.location) << where(row) << ": where is what was made?";
        }
    }
}

TEST(openapi, a_route_that_reads_a_body_says_which) {
    for (const auto& row : routes.rows()) {
        if (is_a_page(row)) {
            continue;
        }
        const bool reads = row.options.body != http::body_rule::none;
        EXPECT_EQ(row.endpoint.about.request != nullptr, reads) << where(row);
        EXPECT_EQ(operation_of(row).contains("requestBody"), reads) << where(row);
        if (reads) {
            EXPECT_EQ(operation_of(row).at("requestBody").at("required").as_bool(),
                      row.options.body == http::body_rule::json)
                << where(row);
        }
    }
}

// A generated client's types are these names. A schema that has none stands on the spot, without
// one: give it a line in src/api/components.cpp.
TEST(openapi, bodies_and_answers_are_named) {
    for (const auto& row : routes.rows()) {
        if (is_a_page(row)) {
            continue;
        }
        const auto& operation = operation_of(row);
        if (operation.contains("requestBody")) {
            EXPECT_TRUE(operation.at("requestBody")
                            .at("content")
                            .at("application/json")
                            .at("schema")
                            .as_object()
                            .contains("$ref"))
                << where(row);
        }
        if (row.endpoint.about.response != nullptr && row.endpoint.about.media.ends_with("json") &&
            row.pattern != "/openapi.json") {
            const auto& success =
                operation.at("responses").at(std::to_string(row.endpoint.about.success));
            EXPECT_TRUE(success.at("content")
                            .at(row.endpoint.about.media)
                            .at("schema")
                            .as_object()
                            .contains("$ref"))
                << where(row);
        }
    }
}

TEST(openapi, parameters_of_the_path_are_there_and_typed) {
    for (const auto& row : routes.rows()) {
        std::set<std::string> wanted;
        std::string_view rest = row.pattern;
        for (auto open = rest.find('{'); open != std::string_view::npos; open = rest.find('{')) {
            const auto close = rest.find('}', open);
            wanted.emplace(rest.substr(open + 1, close - open - 1));
            rest.remove_prefix(close + 1);
        }
        std::set<std::string> got;
        std::set<std::string> names;
        const auto* all = is_a_page(row) ? nullptr : operation_of(row).if_contains("parameters");
        for (const auto& one : all == nullptr ? boost::json::array{} : all->as_array()) {
            EXPECT_TRUE(names.emplace(one.at("name").as_string()).second) << where(row);
            const auto& schema = one.at("schema").as_object();
            if (one.at("in").as_string() == "path") {
                got.emplace(one.at("name").as_string());
                EXPECT_TRUE(one.at("required").as_bool());
                EXPECT_TRUE(schema.contains("format") || schema.contains("pattern"))
                    << where(row) << ": any text is no type";
            }
            EXPECT_TRUE(schema.contains("type") || schema.contains("$ref")) << where(row);
        }
        EXPECT_EQ(got, wanted) << where(row);
        EXPECT_EQ(names.contains("If-Match"), row.endpoint.about.if_match) << where(row);
        EXPECT_EQ(names.contains("Idempotency-Key"), row.endpoint.about.creates) << where(row);
    }
}

TEST(openapi, every_error_of_a_route_is_described_under_its_status) {
    for (const auto& row : routes.rows()) {
        if (is_a_page(row)) {
            continue;
        }
        const auto& operation = operation_of(row);
        for (const auto code : row.endpoint.about.errors) {
            EXPECT_TRUE(
                codes_of(operation, http::kind_of(code).status).contains(std::string(name(code))))
                << where(row) << " " << name(code);
        }
        for (const auto code : {errc::rate_limited, errc::internal, errc::overloaded}) {
            EXPECT_TRUE(
                codes_of(operation, http::kind_of(code).status).contains(std::string(name(code))))
                << where(row) << " " << name(code);
        }
        const bool needs_token = row.policy != http::policy::anonymous;
        EXPECT_EQ(
            codes_of(operation, 401).contains("invalid_token"),
            needs_token || std::ranges::find(row.endpoint.about.errors, errc::invalid_token) !=
                               row.endpoint.about.errors.end())
            << where(row);
        if (needs_token) {
            EXPECT_TRUE(codes_of(operation, 403).contains("tenant_mismatch")) << where(row);
        }
    }
}

TEST(openapi, the_codes_of_problems_are_all_of_them) {
    static const value whole = document();
    const auto& codes = whole.at("components").at("schemas").at("ErrorCode").at("enum").as_array();
    EXPECT_EQ(codes.size(), static_cast<std::size_t>(errc_last));
    EXPECT_EQ(
        whole.at("components").at("schemas").at("Problem").at("properties").at("code").at("$ref"),
        value("#/components/schemas/ErrorCode"));
}

TEST(openapi, references_lead_somewhere) {
    expect_references_resolve(document());
}

TEST(openapi, without_the_example_there_are_no_projects) {
    const auto text = boost::json::serialize(
        openapi_document({"1", "https://insula.example", false}).at("paths"));
    EXPECT_EQ(text.find("projects"), std::string::npos);
    EXPECT_NE(boost::json::serialize(document().at("paths")).find("projects"), std::string::npos);
}

TEST(docs_page, shows_every_operation_and_type_and_its_links_lead_somewhere) {
    const auto page = docs_page(document());
    std::set<std::string> ids;
    const auto each = [&](std::string_view before, auto&& found_one) {
        for (auto at = page.find(before); at != std::string::npos; at = page.find(before, at + 1)) {
            const auto begin = at + before.size();
            found_one(page.substr(begin, page.find_first_of("\" >", begin) - begin));
        }
    };
    for (const std::string_view before : {" id=\"", " id="}) {
        each(before, [&](const std::string& id) {
            if (!id.empty()) {
                EXPECT_TRUE(ids.insert(id).second) << id << " twice";
            }
        });
    }
    each("href=\"#", [&](const std::string& id) { EXPECT_TRUE(ids.contains(id)) << id; });
    for (const auto& row : routes.rows()) {
        EXPECT_EQ(ids.contains(std::string(row.endpoint.about.id)), !is_a_page(row)) << where(row);
    }
    for (const auto& type : document().at("components").at("schemas").as_object()) {
        EXPECT_TRUE(ids.contains(std::string(type.key()))) << type.key();
    }
}

TEST(docs_page, needs_no_script_and_nothing_from_elsewhere) {
    const auto page = docs_page(document());
    for (const std::string_view never : {"<script", "javascript:", "src=", "@import", "url(",
                                         "style=", "onclick", "http://", "https://"}) {
        EXPECT_EQ(page.find(never), std::string::npos) << never;
    }
}

// The browser applies what the policy names by its hash, and nothing else.
TEST(docs_page, its_policy_allows_its_own_style_alone) {
    const auto page = docs_page(document());
    const auto begin = page.find("<style>") + 7;
    const auto style = page.substr(begin, page.find("</style>") - begin);
    EXPECT_EQ(page.find("<style", begin), std::string::npos);
    EXPECT_EQ(docs_policy(), "default-src 'none'; style-src 'sha256-" +
                                 base64_encode(sha256(style)) +
                                 "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
}

TEST(docs_page, words_of_the_document_are_no_markup) {
    auto odd = document();
    odd["info"] = object{{"title", "<b>&\"x"}, {"version", "<i>"}, {"description", "<u>"}};
    const auto page = docs_page(odd);
    for (const std::string_view never : {"<b>&", "<i>", "<u>"}) {
        EXPECT_EQ(page.find(never), std::string::npos);
    }
    EXPECT_NE(page.find("&lt;b&gt;&amp;&quot;x"), std::string::npos);
}

}  // namespace insula::api
