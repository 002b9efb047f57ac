#include "insula/core/uuid.hpp"

#include "insula/core/random.hpp"

#include <atomic>
#include <chrono>
#include <utility>

namespace insula {
namespace {

/// Every request writes several: two digits at a time.
constexpr auto digit_pairs = [] {
    constexpr char digits[] = "0123456789abcdef";
    std::array<std::array<char, 2>, 256> pairs{};
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        pairs[i] = {digits[i >> 4U], digits[i & 15U]};
    }
    return pairs;
}();

constexpr auto digit_values = [] {
    std::array<std::int8_t, 256> values{};
    values.fill(-1);
    for (int i = 0; i < 10; ++i) {
        values[static_cast<std::size_t>('0' + i)] = static_cast<std::int8_t>(i);
    }
    for (int i = 0; i < 6; ++i) {
        values[static_cast<std::size_t>('a' + i)] = static_cast<std::int8_t>(10 + i);
        values[static_cast<std::size_t>('A' + i)] = static_cast<std::int8_t>(10 + i);
    }
    return values;
}();

constexpr int digit_value(char c) noexcept {
    return digit_values[static_cast<unsigned char>(c)];
}

char* write_digits(char* out, std::uint8_t byte) noexcept {
    std::memcpy(out, digit_pairs[byte].data(), 2);
    return out + 2;
}

constexpr bool hyphen_before(std::size_t byte) noexcept {
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

// 48 bits of milliseconds and 12 bits of their fraction, never the same twice and never smaller:
// when the clock stands or goes back the last value plus one is taken.
std::uint64_t next_ticks() noexcept {
    static std::atomic<std::uint64_t> last{0};
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    const auto nanos = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
    const std::uint64_t wanted = (nanos / 1'000'000) << 12 | (nanos % 1'000'000) * 4096 / 1'000'000;
    std::uint64_t seen = last.load(std::memory_order_relaxed);
    std::uint64_t next = 0;
    do {
        next = wanted > seen ? wanted : seen + 1;
    } while (!last.compare_exchange_weak(seen, next, std::memory_order_relaxed));
    return next;
}

// A call into OpenSSL's generator costs far more than eight bytes of it.
std::uint64_t pooled_random() {
    struct pool {
        std::array<std::uint64_t, 64> words{};
        std::size_t used = 64;
    };
    thread_local pool mine;
    if (mine.used == mine.words.size()) {
        random_bytes({reinterpret_cast<std::uint8_t*>(mine.words.data()), sizeof mine.words});
        mine.used = 0;
    }
    return std::exchange(mine.words[mine.used++], 0);
}

}  // namespace

void uuid::write(char* out) const noexcept {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (hyphen_before(i)) {
            *out++ = '-';
        }
        out = write_digits(out, bytes[i]);
    }
}

std::string uuid::str() const {
    std::string text(36, '\0');
    write(text.data());
    return text;
}

std::string uuid::hex() const {
    std::string text(32, '\0');
    auto* out = text.data();
    for (const auto byte : bytes) {
        out = write_digits(out, byte);
    }
    return text;
}

std::optional<uuid> uuid::parse(std::string_view text) noexcept {
    if (text.size() != 36) {
        return std::nullopt;
    }
    uuid id;
    std::size_t at = 0;
    for (std::size_t i = 0; i < id.bytes.size(); ++i) {
        if (hyphen_before(i) && text[at++] != '-') {
            return std::nullopt;
        }
        const int high = digit_value(text[at++]);
        const int low = digit_value(text[at++]);
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        id.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return id;
}

uuid make_uuid_v7() {
    const std::uint64_t ticks = next_ticks();
    const std::uint64_t random = pooled_random();
    uuid id;
    for (std::size_t i = 0; i < 6; ++i) {
        id.bytes[i] = static_cast<std::uint8_t>(ticks >> (12 + 8 * (5 - i)));
    }
    id.bytes[6] = static_cast<std::uint8_t>(0x70 | ((ticks >> 8) & 0x0f));
    id.bytes[7] = static_cast<std::uint8_t>(ticks);
    for (std::size_t i = 0; i < 8; ++i) {
        id.bytes[8 + i] = static_cast<std::uint8_t>(random >> (8 * (7 - i)));
    }
    id.bytes[8] = static_cast<std::uint8_t>(0x80 | (id.bytes[8] & 0x3f));
    return id;
}

}  // namespace insula
