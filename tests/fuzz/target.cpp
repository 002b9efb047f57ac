// Request targets and query strings: the one decision about path and parameters (G05, G64). Paths
// are decoded once and then final; pairs mean the same when they are written down again.
#include "http/target.hpp"

#include "support/fuzz.hpp"

#include "insula/core/text.hpp"
#include "insula/http/query.hpp"

#include <algorithm>

namespace insula::http {
namespace {

using fuzz::require;

std::string escaped(std::string_view text) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : text) {
        const auto octet = static_cast<unsigned char>(c);
        out += {'%', digits[octet >> 4], digits[octet & 15]};
    }
    return out;
}

void check_query(std::string_view text) {
    query_string query;
    if (const auto parsed = query.parse(text); !parsed) {
        require(
            parsed.error() == errc::malformed_request || parsed.error() == errc::validation_failed,
            "query: refused with another code");
        return;
    }
    require(query.size() <= query_string::parameters_max, "query: more pairs than the bound");
    std::string written;
    for (std::size_t i = 0; i < query.size(); ++i) {
        const auto name = query.name(i);
        require(valid_utf8(name) && valid_utf8(query.value(i)), "query: not UTF-8");
        require(name.find('\0') == std::string_view::npos &&
                    query.value(i).find('\0') == std::string_view::npos,
                "query: NUL");
        require(query.find(name) == query.value(i), "query: a name twice, or not found");
        written += (i == 0 ? "" : "&") + escaped(name) + "=" + escaped(query.value(i));
    }
    query_string again;
    require(again.parse(written).has_value(), "query: what was read cannot be written");
    require(again.size() == query.size(), "query: another number of pairs");
    for (std::size_t i = 0; i < query.size(); ++i) {
        require(again.name(i) == query.name(i) && again.value(i) == query.value(i),
                "query: another pair");
    }
}

void check_path(std::string_view raw) {
    std::string storage;
    std::string_view path;
    if (canonical_path(raw, storage, path) != path_verdict::ok) {
        return;
    }
    require(path.starts_with('/') && valid_utf8(path), "path: not absolute UTF-8");
    require(!has_control_characters(path), "path: control characters");
    require(path == "/" || !path.ends_with('/'), "path: a slash at the end");
    require(path.find("//") == std::string_view::npos && path.find('\\') == std::string_view::npos,
            "path: empty segments or a backslash");
    for (std::size_t at = 0; at < path.size();) {
        const auto next = std::min(path.find('/', at + 1), path.size());
        const auto segment = path.substr(at + 1, next - at - 1);
        require(segment != "." && segment != "..", "path: dot segments");
        at = next;
    }
    require(std::ranges::count(path, '/') == std::ranges::count(raw, '/'),
            "path: more or fewer segments than were sent");
}

}  // namespace
}  // namespace insula::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace insula::http;
    const auto text = insula::fuzz::as_text(data, size);
    check_query(text);
    if (!std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; })) {
        return 0;  // the guard lets nothing else through as a target
    }
    if (text.starts_with('/')) {
        check_path(text);
    }
    for (const bool options : {false, true}) {
        const auto target = split(text, options);
        if (target.form == target_form::origin) {
            insula::fuzz::require(target.path.starts_with('/'), "target: the path is not absolute");
            check_path(target.path);
            check_query(target.query);
        }
        insula::fuzz::require(target.form != target_form::asterisk || (options && text == "*"),
                              "target: * where it has no meaning");
    }
    return 0;
}
