#include "insula/http/request.hpp"

#include "http/guard.hpp"

#include <algorithm>

namespace insula::http {

std::string_view name(method m) noexcept {
    static constexpr std::array<std::string_view, 8> names{"GET",    "POST", "PUT",     "PATCH",
                                                           "DELETE", "HEAD", "OPTIONS", "OTHER"};
    return names[static_cast<std::size_t>(m)];
}

/// Methods are case-sensitive (RFC 9110 9.1): "get" is another method.
method parse_method(std::string_view token) noexcept {
    for (const auto m : {method::get, method::post, method::put, method::patch, method::delete_,
                         method::head, method::options}) {
        if (token == name(m))
            return m;
    }
    return method::other;
}

std::optional<std::string_view> request::header(std::string_view wanted) const noexcept {
    for (const auto& f : fields) {
        if (f.name.size() == wanted.size() && iequals(f.name, wanted))
            return f.value;
    }
    return std::nullopt;
}

std::size_t request::header_count(std::string_view wanted) const noexcept {
    return static_cast<std::size_t>(std::count_if(
        fields.begin(), fields.end(), [&](const field& f) { return iequals(f.name, wanted); }));
}

}  // namespace insula::http
