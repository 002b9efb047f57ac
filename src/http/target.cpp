#include "http/target.hpp"

#include "http/characters.hpp"
#include "http/guard.hpp"

#include "insula/core/text.hpp"

#include <algorithm>

namespace insula::http {
namespace {

bool control(char c) noexcept {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

split_target split_origin(std::string_view target) noexcept {
    const auto question = target.find('?');
    return {target_form::origin, target.substr(0, question),
            question == std::string_view::npos ? std::string_view() : target.substr(question + 1)};
}

bool empty_or_dot_segment(std::string_view path) noexcept {
    if (path == "/")
        return false;
    std::size_t at = 1;
    while (true) {
        const auto slash = path.find('/', at);
        const auto segment = path.substr(at, slash == std::string_view::npos ? slash : slash - at);
        if (segment.empty() || segment == "." || segment == "..")
            return true;
        if (slash == std::string_view::npos)
            return false;
        at = slash + 1;
    }
}

/// %2F, %5C and a plain backslash: one party's separator, another's ordinary character.
bool hidden_separator(std::string_view raw) noexcept {
    if (raw.find('\\') != std::string_view::npos)
        return true;
    for (auto at = raw.find('%'); at != std::string_view::npos; at = raw.find('%', at + 1)) {
        const auto code = raw.substr(at + 1, 2);
        if (iequals(code, "2f") || iequals(code, "5c"))
            return true;
    }
    return false;
}

/// Nearly no path has one: looked at without leaving early, so that compilers take many at once.
bool has_escape(std::string_view raw) noexcept {
    bool found = false;
    for (const char c : raw)
        found |= c == '%' || c == '\\';
    return found;
}

}  // namespace

split_target split(std::string_view target, bool options) noexcept {
    if (target.empty())
        return {};
    if (target.front() == '/')
        return split_origin(target);
    if (target == "*")
        return options ? split_target{target_form::asterisk, {}, {}} : split_target{};
    const auto scheme_end = target.find("://");
    if (scheme_end == std::string_view::npos)
        return {};
    const auto scheme = target.substr(0, scheme_end);
    if (!iequals(scheme, "http") && !iequals(scheme, "https"))
        return {};
    const auto rest = target.substr(scheme_end + 3);
    const auto authority_end = rest.find_first_of("/?");
    if (!valid_host(rest.substr(0, authority_end)))
        return {};
    if (authority_end == std::string_view::npos)
        return {target_form::origin, "/", {}};
    if (rest[authority_end] == '/')
        return split_origin(rest.substr(authority_end));
    return {target_form::origin, "/", rest.substr(authority_end + 1)};
}

bool percent_decode(std::string_view text, bool plus, std::string& out) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out.push_back(plus && text[i] == '+' ? ' ' : text[i]);
            continue;
        }
        if (text.size() - i < 3)
            return false;
        const int high = hex(static_cast<unsigned char>(text[i + 1]));
        const int low = hex(static_cast<unsigned char>(text[i + 2]));
        if (high < 0 || low < 0)
            return false;
        out.push_back(static_cast<char>(high * 16 + low));
        i += 2;
    }
    return true;
}

path_verdict canonical_path(std::string_view raw, std::string& storage, std::string_view& out) {
    out = raw;
    if (has_escape(raw)) {
        storage.clear();
        if (!percent_decode(raw, false, storage))
            return path_verdict::malformed;
        if (std::any_of(storage.begin(), storage.end(), control) || !valid_utf8(storage))
            return path_verdict::malformed;
        if (hidden_separator(raw))
            return path_verdict::names_nothing;
        out = storage;
    }
    return empty_or_dot_segment(out) ? path_verdict::names_nothing : path_verdict::ok;
}

}  // namespace insula::http
