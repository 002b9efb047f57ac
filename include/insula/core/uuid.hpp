#pragma once
// UUIDs (RFC 9562): 16 bytes, ordered bytewise, which for version 7 is the order of creation.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace insula {

struct uuid {
    std::array<std::uint8_t, 16> bytes{};

    /// 36 characters, lower case, hyphenated.
    [[nodiscard]] std::string str() const;
    /// 32 lower-case digits without hyphens, as schema and role names use.
    [[nodiscard]] std::string hex() const;
    /// Writes the 36 characters of str() to `out`; no terminator.
    void write(char* out) const noexcept;
    /// Accepts exactly the hyphenated form of 36 characters, either case; no braces, no white
    /// space.
    [[nodiscard]] static std::optional<uuid> parse(std::string_view text) noexcept;
    [[nodiscard]] bool is_nil() const noexcept { return *this == uuid{}; }

    auto operator<=>(const uuid&) const = default;
};

/// A new version 7 UUID (RFC 9562 section 5.7): 48 bits of milliseconds since 1970, 12 bits of
/// their fraction (section 6.2, method 3), 62 random bits. Strictly increasing over all threads of
/// this process: where the clock stands or goes back, the first 60 bits count on. Throws
/// infrastructure_error when the operating system has no randomness.
[[nodiscard]] uuid make_uuid_v7();

}  // namespace insula

template <>
struct std::hash<insula::uuid> {
    std::size_t operator()(const insula::uuid& id) const noexcept {
        // The low half of a version 7 UUID is random; mixing in the high half covers other
        // versions.
        std::uint64_t high = 0;
        std::uint64_t low = 0;
        std::memcpy(&high, id.bytes.data(), 8);
        std::memcpy(&low, id.bytes.data() + 8, 8);
        return static_cast<std::size_t>(low ^ (high * 0x9e3779b97f4a7c15ULL));
    }
};
