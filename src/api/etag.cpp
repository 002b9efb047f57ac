#include "etag.hpp"

#include "insula/core/base64.hpp"
#include "insula/core/crypto.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace insula::api {
namespace {

struct entity_tag {
    bool weak = false;
    std::string_view opaque;
};

std::string_view trim_blanks(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    return text;
}

/// One tag from the front of `rest`; nullopt when it is none.
std::optional<entity_tag> take_tag(std::string_view& rest) {
    entity_tag tag;
    if (rest.starts_with("W/")) {
        tag.weak = true;
        rest.remove_prefix(2);
    }
    if (rest.empty() || rest.front() != '"') {
        return std::nullopt;
    }
    const auto end = rest.find('"', 1);
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    tag.opaque = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    return tag;
}

/// The tags of a list; nullopt when it is malformed.
std::optional<std::vector<entity_tag>> parse_tags(std::string_view rest) {
    std::vector<entity_tag> tags;
    for (;;) {
        rest = trim_blanks(rest);
        if (rest.empty()) {
            return tags.empty() ? std::nullopt : std::optional(std::move(tags));
        }
        if (rest.front() == ',') {  // empty list elements are allowed (RFC 9110 section 5.6.1)
            rest.remove_prefix(1);
            continue;
        }
        const auto tag = take_tag(rest);
        rest = trim_blanks(rest);
        if (!tag || (!rest.empty() && rest.front() != ',')) {
            return std::nullopt;
        }
        tags.push_back(*tag);
    }
}

std::optional<std::int32_t> version_of(std::string_view opaque) {
    opaque = opaque.substr(0, opaque.find('-'));
    if (opaque.size() < 2 || opaque.front() != 'v' || opaque[1] == '0') {
        return std::nullopt;
    }
    std::int32_t version = 0;
    const auto* end = opaque.data() + opaque.size();
    const auto [at, failed] = std::from_chars(opaque.data() + 1, end, version);
    return failed == std::errc() && at == end && version > 0 ? std::optional(version)
                                                             : std::nullopt;
}

/// All fields of that name as one list (RFC 9110 section 5.3).
std::optional<std::string> joined(const http::request& r, std::string_view name) {
    if (!r.header(name)) {
        return std::nullopt;
    }
    std::string all;
    for (const auto& field : r.fields) {
        if (field.name.size() == name.size() &&
            std::ranges::equal(field.name, name,
                               [](char a, char b) { return (a | 0x20) == (b | 0x20); })) {
            all += all.empty() ? "" : ", ";
            all += field.value;
        }
    }
    return all;
}

/// If-None-Match names that tag, weakly compared, or any.
bool client_has(const http::request& r, std::string_view quoted) {
    const auto text = joined(r, "If-None-Match");
    if (!text) {
        return false;
    }
    if (*text == "*") {
        return true;
    }
    const auto tags = parse_tags(*text);
    return tags && std::ranges::any_of(*tags, [&](const entity_tag& tag) {
               return tag.opaque == quoted.substr(1, quoted.size() - 2);
           });
}

}  // namespace

std::string etag(std::int32_t version) {
    std::array<char, 16> text{'"', 'v'};  // 2 + 11 + 1 at most
    auto* const end = std::to_chars(text.data() + 2, text.data() + text.size() - 1, version).ptr;
    *end = '"';
    return {text.data(), end + 1};
}

result<std::optional<if_match>> read_if_match(const http::request& r) {
    const auto text = joined(r, "If-Match");
    if (!text) {
        return std::optional<if_match>();
    }
    if (*text == "*") {
        return std::optional<if_match>(if_match{.any = true, .versions = {}});
    }
    const auto tags = parse_tags(*text);
    if (!tags) {
        return error(errc::malformed_request,
                     "If-Match must be * or a list of entity tags, such as \"v1\".");
    }
    if_match condition;
    for (const auto& tag : *tags) {
        if (const auto version = version_of(tag.opaque); version && !tag.weak) {
            condition.versions.push_back(*version);
        }
    }
    return std::optional<if_match>(std::move(condition));
}

bool not_modified(const http::request& r, std::int32_t version) {
    return r.header("If-None-Match") && client_has(r, etag(version));
}

http::response answer_tagged(const http::request& r, std::int32_t version, std::string body) {
    const auto digest = sha256(body);
    const auto tag = "\"v" + std::to_string(version) + "-" +
                     base64url_encode(bytes_view(digest).first(12)) + "\"";
    const bool reads = r.method == http::method::get || r.method == http::method::head;
    if (reads && client_has(r, tag)) {
        return http::response(304, {}, {}).set("ETag", tag);
    }
    return http::response::json(200, std::move(body)).set("ETag", tag);
}

}  // namespace insula::api
