// Every route of the API with parameters, fields and bodies of any kind (G63): a request as lines,
// see support/api_stand.hpp. No 500, nothing thrown; a body and its canonical text get the same
// answer; and the schema that is published and the decoder that decides are of one mind. The
// mutator makes requests out of the route table, so a new route is searched the day it is added.
#include "api/routes.hpp"
#include "support/api_stand.hpp"
#include "support/fuzz.hpp"
#include "support/schema_words.hpp"

#include "insula/core/json.hpp"
#include "insula/core/text.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cstring>
#include <random>

namespace insula {
namespace {

using fuzz::outcome;
using fuzz::require;

const api::endpoint* endpoint_of(const outcome& out) {
    for (const auto& row : api::routes.rows()) {
        if (out.route != nullptr && row.pattern == out.route->pattern &&
            row.method == out.route->method) {
            return &row.endpoint;
        }
    }
    return nullptr;
}

bool same_verdict(const outcome& a, const outcome& b) {
    return a.status == b.status && a.code == b.code && a.fields == b.fields;
}

/// What the decoder says of the shape of a body.
bool refused_for_its_shape(const outcome& out) {
    return std::ranges::any_of(out.fields, [](const field_error& f) {
        return !f.pointer.starts_with("query") &&
               (f.code == "required" || f.code == "unknown_member" || f.code == "wrong_type");
    });
}

void check(std::string_view input) {
    const fuzz::request_text request(input);
    auto& stand = fuzz::api_stand::get();
    const auto out = stand.serve(request, request.body);
    require(out.status >= 200 && out.status < 600, "no status");
    require(out.status < 500 || out.code == errc::overloaded, "a 500");
    for (const auto& f : out.fields) {
        require(!f.code.empty() && valid_utf8(f.pointer) && valid_utf8(f.detail),
                "a field error that cannot be sent");
    }
    require(valid_utf8(out.body), "an answer that is not UTF-8");
    const auto* route = endpoint_of(out);
    const auto tree = parse_json(request.body);
    if (route == nullptr || route->about.request == nullptr || !tree) {
        return;
    }
    const auto canonical = to_json_text(*tree);
    require(same_verdict(out, stand.serve(request, canonical)),
            "another verdict on the canonical text");
    const auto why = fuzz::misfit(*tree, route->about.request());
    if (out.status < 300 || out.code == errc::overloaded) {
        require(why.empty(), "taken, though the published schema says: " + why);
    } else if (out.code == errc::validation_failed && refused_for_its_shape(out)) {
        require(!why.empty(), "refused for its shape, though the published schema takes it");
    }
}

std::string_view method_text(http::method m) {
    return http::name(m);
}

/// A request for a route of the table, with words that may be right.
std::string request_for(std::mt19937& dice) {
    const auto rows = api::routes.rows();
    const auto& row = rows[dice() % rows.size()];
    const auto& about = row.endpoint.about;
    std::string path(row.pattern);
    for (auto at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
        path.replace(at, path.find('}', at) - at + 1, fuzz::word_for_path(dice));
    }
    char separator = '?';
    for (const auto& parameter : about.query) {
        if (dice() % 3 == 0) {
            path += separator + std::string(parameter.name) + "=" +
                    fuzz::text_of(fuzz::sample(parameter.schema(), dice));
            separator = '&';
        }
    }
    static constexpr const char* roles[] = {"owner", "admin", "member", "operator", "assumed"};
    std::string text = std::string(method_text(row.method)) + " " + path +
                       "\nAuthorization: Bearer " + roles[dice() % 5] + "\n";
    if (about.if_match && dice() % 2 == 0) {
        text += "If-Match: \"1\", W/\"2\"\n";
    }
    if (about.creates && dice() % 2 == 0) {
        text += "Idempotency-Key: key\n";
    }
    text += "\n";
    if (about.request != nullptr) {
        text += boost::json::serialize(fuzz::sample(about.request(), dice));
    }
    return text;
}

}  // namespace
}  // namespace insula

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t size_max);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t size_max, unsigned seed) {
    if (seed % 4 != 0) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    std::mt19937 dice(seed);
    const auto text = insula::request_for(dice);
    const auto taken = std::min(text.size(), size_max);
    std::memcpy(data, text.data(), taken);
    return taken;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    insula::check(insula::fuzz::as_text(data, size));
    return 0;
}
