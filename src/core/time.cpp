#include "insula/core/time.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace insula {
namespace {

using namespace std::chrono;

constexpr auto digit_pairs = [] {
    std::array<char, 200> pairs{};
    for (std::size_t i = 0; i < 100; ++i) {
        pairs[2 * i] = static_cast<char>('0' + i / 10);
        pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
    return pairs;
}();

/// `value` < 100, and what stands between it and the next number; null for nothing.
void put(char*& out, unsigned value, char after = '\0') noexcept {
    std::memcpy(out, &digit_pairs[2U * value], 2);
    out += 2;
    if (after != '\0') {
        *out++ = after;
    }
}

// Reads decimal digits from the front of a text; every read fails for good once one has failed.
class digits_reader {
public:
    explicit digits_reader(std::string_view text) noexcept : rest_(text) {}

    unsigned number(std::size_t width) noexcept {
        unsigned value = 0;
        for (std::size_t i = 0; i < width; ++i) {
            const char c = next();
            failed_ |= c < '0' || c > '9';
            value = value * 10 + static_cast<unsigned>(c - '0');
        }
        return value;
    }
    char next() noexcept {
        if (rest_.empty()) {
            failed_ = true;
            return '\0';
        }
        const char c = rest_.front();
        rest_.remove_prefix(1);
        return c;
    }
    void expect(std::string_view any_of) noexcept {
        const char c = next();
        failed_ |= any_of.find(c) == std::string_view::npos;
    }
    [[nodiscard]] char peek() const noexcept { return rest_.empty() ? '\0' : rest_.front(); }
    [[nodiscard]] bool done() const noexcept { return rest_.empty(); }
    [[nodiscard]] bool failed() const noexcept { return failed_; }
    void fail() noexcept { failed_ = true; }

private:
    std::string_view rest_;
    bool failed_ = false;
};

microseconds read_fraction(digits_reader& in) noexcept {
    std::int64_t micros = 0;
    int count = 0;
    while (in.peek() >= '0' && in.peek() <= '9') {
        const unsigned digit = in.number(1);
        if (count < 6) {
            micros = micros * 10 + digit;
        }
        ++count;
    }
    if (count == 0 || count > 9) {
        in.fail();
    }
    for (; count < 6; ++count) {
        micros *= 10;
    }
    return microseconds(micros);
}

minutes read_offset(digits_reader& in) noexcept {
    const char sign = in.next();
    if (sign == 'Z' || sign == 'z') {
        return minutes(0);
    }
    const unsigned hour_part = in.number(2);
    in.expect(":");
    const unsigned minute_part = in.number(2);
    if ((sign != '+' && sign != '-') || hour_part > 23 || minute_part > 59) {
        in.fail();
    }
    const minutes offset(hour_part * 60 + minute_part);
    return sign == '-' ? -offset : offset;
}

}  // namespace

void write_rfc3339(timestamp at, char* out) noexcept {
    constexpr timestamp first = sys_days(year(0) / January / 1);
    constexpr timestamp last = sys_days(year(10000) / January / 1) - microseconds(1);
    at = std::clamp(at, first, last);
    const auto day = floor<days>(at);
    const year_month_day date(day);
    const auto year_number = static_cast<unsigned>(static_cast<int>(date.year()));
    const auto in_day = static_cast<std::uint64_t>((at - day).count());
    const auto second = static_cast<unsigned>(in_day / 1'000'000);
    const auto micro = static_cast<unsigned>(in_day % 1'000'000);
    put(out, year_number / 100);
    put(out, year_number % 100, '-');
    put(out, static_cast<unsigned>(date.month()), '-');
    put(out, static_cast<unsigned>(date.day()), 'T');
    put(out, second / 3600, ':');
    put(out, second / 60 % 60, ':');
    put(out, second % 60, '.');
    put(out, micro / 10'000);
    put(out, micro / 100 % 100);
    put(out, micro % 100);
    *out = 'Z';
}

std::string rfc3339(timestamp at) {
    std::string text(rfc3339_size, '\0');
    write_rfc3339(at, text.data());
    return text;
}

std::optional<timestamp> parse_rfc3339(std::string_view text) noexcept {
    digits_reader in(text);
    const auto y = static_cast<int>(in.number(4));
    in.expect("-");
    const unsigned mo = in.number(2);
    in.expect("-");
    const unsigned d = in.number(2);
    in.expect("Tt ");
    const unsigned h = in.number(2);
    in.expect(":");
    const unsigned mi = in.number(2);
    in.expect(":");
    const unsigned s = in.number(2);
    microseconds fraction(0);
    if (in.peek() == '.') {
        in.next();
        fraction = read_fraction(in);
    }
    const minutes offset = read_offset(in);
    const year_month_day date{year{y}, month{mo}, day{d}};
    if (in.failed() || !in.done() || !date.ok() || h > 23 || mi > 59 || s > 59) {
        return std::nullopt;
    }
    return sys_days(date) + hours(h) + minutes(mi) + seconds(s) + fraction - offset;
}

const clock_source& system_clock_source() noexcept {
    class system_clock final : public clock_source {
    public:
        timestamp now() const noexcept override { return insula::now(); }
    };
    static const system_clock instance;
    return instance;
}

}  // namespace insula
