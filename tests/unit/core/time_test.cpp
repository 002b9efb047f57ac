#include "insula/core/time.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <ctime>

using namespace insula;
using namespace std::chrono;

namespace {

timestamp at(int y, unsigned mo, unsigned d, int h = 0, int mi = 0, int s = 0, int us = 0) {
    return sys_days(year(y) / static_cast<int>(mo) / static_cast<int>(d)) + hours(h) + minutes(mi) +
           seconds(s) + microseconds(us);
}

}  // namespace

TEST(rfc3339, writes_six_digits_and_z) {
    EXPECT_EQ(rfc3339(at(2026, 11, 23, 6, 30, 0, 123456)), "2026-11-23T06:30:00.123456Z");
    EXPECT_EQ(rfc3339(timestamp()), "1970-01-01T00:00:00.000000Z");
    EXPECT_EQ(rfc3339(at(1969, 12, 31, 23, 59, 59, 999999)), "1969-12-31T23:59:59.999999Z");
    EXPECT_EQ(rfc3339(at(2024, 2, 29)), "2024-02-29T00:00:00.000000Z");
}

TEST(rfc3339, writes_what_the_c_library_writes) {
    std::uint64_t random = 1;
    for (int i = 0; i < 20'000; ++i) {
        random = random * 6364136223846793005 + 1442695040888963407;
        // Years 0 to 9999.
        const auto micros = static_cast<std::int64_t>((random >> 8) % 315'569'520'000'000'000) -
                            62'167'219'200'000'000;
        const timestamp t{microseconds(micros)};
        const auto second = floor<seconds>(t);
        const std::time_t raw = second.time_since_epoch().count();
        std::tm parts{};
        ASSERT_NE(gmtime_r(&raw, &parts), nullptr);
        char text[64];
        std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
                      parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                      parts.tm_min, parts.tm_sec, static_cast<int>((t - second).count()));
        ASSERT_EQ(rfc3339(t), text);
    }
}

TEST(rfc3339, clamps_years_that_have_no_four_digits) {
    EXPECT_EQ(rfc3339(timestamp::max()), "9999-12-31T23:59:59.999999Z");
    EXPECT_EQ(rfc3339(timestamp::min()), "0000-01-01T00:00:00.000000Z");
}

TEST(rfc3339, reads_what_it_writes) {
    for (const auto t : {timestamp(), at(1, 1, 1), at(9999, 12, 31, 23, 59, 59, 999999), now()}) {
        EXPECT_EQ(parse_rfc3339(rfc3339(t)), t);
    }
}

TEST(rfc3339, reads_offsets_and_short_fractions) {
    EXPECT_EQ(parse_rfc3339("1985-04-12T23:20:50.52Z"), at(1985, 4, 12, 23, 20, 50, 520000));
    EXPECT_EQ(parse_rfc3339("1996-12-19T16:39:57-08:00"), at(1996, 12, 20, 0, 39, 57));
    EXPECT_EQ(parse_rfc3339("1937-01-01t12:00:27.87+00:20"), at(1937, 1, 1, 11, 40, 27, 870000));
    EXPECT_EQ(parse_rfc3339("2026-01-01 00:00:00z"), at(2026, 1, 1));
    EXPECT_EQ(parse_rfc3339("2026-01-01T00:00:00.123456789Z"), at(2026, 1, 1, 0, 0, 0, 123456));
}

TEST(rfc3339, refuses_everything_else) {
    for (const std::string_view bad :
         {"", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
          "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "1990-12-31T23:59:60Z",
          "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00+24:00",
          "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00Zx", "26-01-01T00:00:00Z",
          "2026-01-01T00:00:00 Z", "+026-01-01T00:00:00Z", "2026-01-00T00:00:00Z"}) {
        EXPECT_FALSE(parse_rfc3339(bad)) << bad;
    }
}

TEST(clock, manual_clock_stands_until_moved) {
    manual_clock clock(at(2026, 1, 1));
    const clock_source& source = clock;
    EXPECT_EQ(source.now(), at(2026, 1, 1));
    clock.advance(seconds(5));
    EXPECT_EQ(source.now(), at(2026, 1, 1, 0, 0, 5));
    clock.set(at(2000, 1, 1));
    EXPECT_EQ(source.now(), at(2000, 1, 1));
}

TEST(clock, system_clock_is_the_time_of_day) {
    const auto before = now();
    const auto seen = system_clock_source().now();
    EXPECT_LE(before, seen);
    EXPECT_LE(seen, now());
}
