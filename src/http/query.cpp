#include "insula/http/query.hpp"

#include "http/target.hpp"

#include "insula/core/text.hpp"

#include <algorithm>

namespace insula::http {

void query_string::clear() noexcept {
    text_.clear();
    pairs_.clear();
}

std::string_view query_string::name(std::size_t index) const noexcept {
    return std::string_view(text_).substr(pairs_[index].name, pairs_[index].name_size);
}

std::string_view query_string::value(std::size_t index) const noexcept {
    return std::string_view(text_).substr(pairs_[index].value, pairs_[index].value_size);
}

std::optional<std::string_view> query_string::find(std::string_view wanted) const noexcept {
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
        if (name(i) == wanted)
            return value(i);
    }
    return std::nullopt;
}

bool query_string::append(std::string_view part) {
    const auto equals = part.find('=');
    const auto start = text_.size();
    if (!percent_decode(part.substr(0, equals), true, text_))
        return false;
    const auto middle = text_.size();
    if (equals != std::string_view::npos && !percent_decode(part.substr(equals + 1), true, text_))
        return false;
    const auto u32 = [](std::size_t n) {
        return static_cast<std::uint32_t>(n);
    };  // a header is far smaller
    pairs_.push_back({u32(start), u32(middle - start), u32(middle), u32(text_.size() - middle)});
    // Each by itself: the end of one and the beginning of the next may make a character together.
    const auto all = std::string_view(text_);
    return valid_utf8(all.substr(start, middle - start)) && valid_utf8(all.substr(middle)) &&
           all.find('\0', start) == std::string_view::npos;
}

result<> query_string::parse(std::string_view text) {
    clear();
    while (!text.empty()) {
        const auto end = text.find('&');
        const auto part = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (part.empty())
            continue;
        if (pairs_.size() == parameters_max) {
            return error::validation("query", "too_many", "at most 32 parameters");
        }
        if (!append(part))
            return error(errc::malformed_request,
                         "a percent-encoding in the query is wrong, or it is not UTF-8 text");
        const auto added = name(pairs_.size() - 1);
        for (std::size_t i = 0; i + 1 < pairs_.size(); ++i) {
            if (name(i) != added)
                continue;
            // The name is the client's text: only a plain one is repeated in the answer.
            const bool plain =
                added.size() <= 64 && std::all_of(added.begin(), added.end(), [](char c) {
                    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '_' || c == '-';
                });
            return error::validation(plain ? "query/" + std::string(added) : "query", "duplicate",
                                     "given more than once");
        }
    }
    return {};
}

}  // namespace insula::http
