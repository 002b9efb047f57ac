#pragma once

#include "insula/http/request.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace insula::http {

/// Cross-origin answers, built once from the configured origins: nothing a client sent is ever
/// written back.
class cors {
public:
    explicit cors(const std::vector<std::string>& origins);

    bool enabled() const noexcept { return any_ || !origins_.empty(); }
    /// The fields for a response to a request with this Origin ("" without one); immortal as this
    /// object.
    std::string_view fields(std::optional<std::string_view> origin) const noexcept;
    /// Fields of a preflight's answer besides fields(): methods, headers, age. "" when `r` is not a
    /// preflight.
    std::string preflight(const request& r, std::string_view allow) const;

private:
    struct entry {
        std::string origin;
        std::string fields;
    };
    bool any_ = false;
    std::vector<entry> origins_;
};

}  // namespace insula::http
