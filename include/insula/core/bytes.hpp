#pragma once
// Views of bytes, and the one place that turns characters into them.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace insula {

using bytes = std::vector<std::uint8_t>;
using bytes_view = std::span<const std::uint8_t>;

[[nodiscard]] inline bytes_view as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] inline std::string_view as_text(bytes_view data) noexcept {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

}  // namespace insula
