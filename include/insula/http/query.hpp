#pragma once

#include "insula/core/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::http {

/// The query of a target as pairs, decoded once ('+' is a space, as forms and URLSearchParams send
/// it). Storage is kept between requests.
class query_string {
public:
    static constexpr std::size_t parameters_max = 32;

    /// Replaces the content. `text` is what follows '?'. Errors: malformed_request (bad
    /// percent-encoding, NUL, not UTF-8), validation_failed (`query/<name>`: a name that occurs
    /// twice, or more than parameters_max parameters).
    result<> parse(std::string_view text);
    void clear() noexcept;

    /// nullopt when absent; "" when given without a value.
    std::optional<std::string_view> find(std::string_view name) const noexcept;
    std::size_t size() const noexcept { return pairs_.size(); }
    std::string_view name(std::size_t index) const noexcept;
    std::string_view value(std::size_t index) const noexcept;

private:
    struct pair {
        std::uint32_t name, name_size, value, value_size;  // offsets into text_
    };
    bool append(std::string_view part);

    std::string text_;
    std::vector<pair> pairs_;
};

}  // namespace insula::http
