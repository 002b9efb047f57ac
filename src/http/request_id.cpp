#include "http/request_id.hpp"

#include "insula/core/random.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace insula::http {
namespace {

constexpr auto hex_pairs = [] {
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<std::array<char, 2>, 256> pairs{};
    for (std::size_t i = 0; i < pairs.size(); ++i)
        pairs[i] = {digits[i / 16], digits[i % 16]};
    return pairs;
}();

void write_hex(char* to, std::uint64_t value) noexcept {
    for (int shift = 56; shift >= 0; shift -= 8, to += 2)
        std::memcpy(to, hex_pairs[(value >> shift) & 0xff].data(), 2);
}

}  // namespace

bool valid_request_id(std::string_view text) noexcept {
    return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    });
}

void make_request_id(std::string& out) {
    // A random name of this thread and a counter under a bijective mixer (splitmix64): unique by
    // construction, and no call of the system's generator on every request.
    static thread_local const std::uint64_t thread = random_u64();
    static thread_local std::uint64_t counter = random_u64();
    counter += 0x9e3779b97f4a7c15ULL;
    std::uint64_t mixed = counter;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    mixed ^= mixed >> 31;
    out.resize(32);
    write_hex(out.data(), thread);
    write_hex(out.data() + 16, mixed);
}

}  // namespace insula::http
