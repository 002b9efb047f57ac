#include "token/header_text.hpp"

#include "token/strict_json.hpp"

namespace insula::token {

std::optional<refusal> read_header(std::string_view text, header& out) {
    strict_json json(text);
    if (!json.open_object()) {
        return refusal::bad_header;
    }
    strict_json::names seen;
    bool first = true;
    bool foreign = false;
    std::string_view name;
    auto got = strict_json::step::bad;
    while ((got = json.next(name, first)) == strict_json::step::member) {
        if (!seen.add(name)) {
            return refusal::bad_header;
        }
        auto* const into = name == "alg"   ? &out.alg
                           : name == "kid" ? &out.kid
                           : name == "typ" ? &out.typ
                                           : nullptr;
        foreign = foreign || into == nullptr;
        if (!(into != nullptr ? json.string(*into) : json.skip())) {
            return refusal::bad_header;
        }
    }
    if (got != strict_json::step::end || !json.finished()) {
        return refusal::bad_header;
    }
    if (foreign) {
        return refusal::forbidden_header;
    }
    return std::nullopt;
}

}  // namespace insula::token
