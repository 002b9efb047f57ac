#include "insula/observe/log.hpp"

#include "insula/core/json.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <type_traits>

using namespace insula;
using namespace insula::observe;
using namespace std::string_view_literals;

namespace {

const auto noon = parse_rfc3339("2026-11-23T12:00:00.5Z").value();

std::string text_line(std::string_view event, std::initializer_list<field> fields) {
    return format_log_line(log_format::text, log_level::info, noon, event, fields);
}
std::string json_line(std::string_view event, std::initializer_list<field> fields) {
    return format_log_line(log_format::json, log_level::info, noon, event, fields);
}

// Collects lines; the log is back to its state before configuration afterwards.
class captured_log {
public:
    explicit captured_log(log_level level, log_format format = log_format::text) {
        configure_log({level, format, 8192, [this](log_level, std::string_view line) {
                           const std::lock_guard lock(mutex_);
                           lines_.emplace_back(line);
                       }});
    }
    ~captured_log() { shutdown_log(); }

    // Everything logged so far: shutting down writes what is queued.
    std::vector<std::string> finish() {
        shutdown_log();
        const std::lock_guard lock(mutex_);
        return lines_;
    }

private:
    std::mutex mutex_;
    std::vector<std::string> lines_;
};

}  // namespace

TEST(log_line, of_json_is_one_object_with_typed_fields) {
    const auto id = tenant_id::parse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").value();
    EXPECT_EQ(
        json_line("tenant made", {{"tenant", id},
                                  {"count", 3},
                                  {"bytes", 18446744073709551615ULL},
                                  {"ratio", 0.5},
                                  {"ok", true},
                                  {"why", errc::slug_taken},
                                  {"at", noon},
                                  {"text", std::string("x")}}),
        R"({"time":"2026-11-23T12:00:00.500000Z","level":"info","event":"tenant made",)"
        R"("tenant":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f","count":3,"bytes":18446744073709551615,)"
        R"("ratio":0.5,"ok":true,"why":"slug_taken","at":"2026-11-23T12:00:00.500000Z","text":"x"})");
}

TEST(log_line, of_json_stays_json_whatever_the_fields_hold) {
    for (const auto hostile :
         {"\"},{\"level\":\"error"sv, "a\r\nb"sv, "\x1b[2J"sv, "\xff\xfe"sv, "a\0b"sv}) {
        const auto line = json_line(hostile, {{"field", hostile}});
        const auto parsed = parse_json(line);
        ASSERT_TRUE(parsed) << line;
        EXPECT_EQ(parsed->as_object().size(), 4U);
        EXPECT_EQ(line.find('\n'), std::string::npos);
    }
}

TEST(log_line, of_text_is_readable) {
    EXPECT_EQ(text_line("listening", {{"address", "127.0.0.1:8080"},
                                      {"loops", 2},
                                      {"why", "no ring"},
                                      {"tls", false},
                                      {"empty", ""}}),
              "2026-11-23T12:00:00.500000Z info  listening address=127.0.0.1:8080 loops=2 "
              R"(why="no ring" tls=false empty="")");
    EXPECT_EQ(text_line("name", {{"v", "Zoë"}}),
              "2026-11-23T12:00:00.500000Z info  name v=\"Zoë\"");
}

TEST(log_line, of_text_cannot_be_forged_or_play_the_terminal) {
    for (const auto hostile : {"a\nb=1"sv, "a\r\n2026-01-01 error forged"sv, "\x1b]0;title\x07"sv,
                               "\x1b[31m"sv, "a\0b"sv,
                               "\x9b"
                               "31m"sv,
                               "\xc2\x9b"
                               "31m"sv,
                               "\xe2\x80\xae"
                               "abc"sv,
                               "\xe2\x80\xa8x"sv, "\xff"sv, "a=b"sv, "\" x=\"1"sv, "\\"sv}) {
        for (const auto& line : {text_line("e", {{"field", hostile}}), text_line(hostile, {})}) {
            for (const char c : line) {
                const auto byte = static_cast<unsigned char>(c);
                EXPECT_TRUE(byte >= 0x20 && byte < 0x7f) << line;
            }
        }
        const auto line = text_line("e", {{"field", hostile}});
        EXPECT_NE(line.find(" field=\""), std::string::npos) << line;
        EXPECT_EQ(line.back(), '"');
    }
    EXPECT_EQ(text_line("e", {{"f", "a\"b\x1b"}}),
              "2026-11-23T12:00:00.500000Z info  e f=\"a\\\"b\\x1b\"");
}

TEST(log_line, cuts_values_that_are_too_long) {
    const std::string huge(1 << 20, 'x');
    EXPECT_LT(text_line("e", {{"f", huge}}).size(), 5000U);
    EXPECT_LT(json_line("e", {{"f", huge}}).size(), 5000U);
}

TEST(log, secrets_have_no_way_into_a_field) {
    static_assert(!std::is_constructible_v<field, std::string_view, const secret_string&>);
    static_assert(!std::is_constructible_v<field, std::string_view, const secret_bytes&>);
    static_assert(std::is_constructible_v<field, std::string_view, std::string_view>);
}

TEST(log, writes_in_order_from_its_level_up) {
    captured_log captured(log_level::info);
    EXPECT_FALSE(log_enabled(log_level::debug));
    EXPECT_TRUE(log_enabled(log_level::warn));
    debug("not shown");
    for (int i = 0; i < 100; ++i) {
        info("line", {{"i", i}});
    }
    observe::error("last", {{"error", insula::error(errc::conflict, "shown", "inner")}});
    const auto lines = captured.finish();
    ASSERT_EQ(lines.size(), 101U);
    EXPECT_TRUE(lines[7].ends_with("line i=7")) << lines[7];
    EXPECT_NE(lines[100].find("error=\"conflict: shown [inner]\""), std::string::npos)
        << lines[100];
}

TEST(log, from_many_threads_keeps_lines_whole) {
    captured_log captured(log_level::info, log_format::json);
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([t] {
                for (int i = 0; i < 500; ++i) {
                    info("line", {{"thread", t}, {"i", i}});
                }
            });
        }
    }
    const auto lines = captured.finish();
    EXPECT_EQ(lines.size(), 2000U);
    for (const auto& line : lines) {
        EXPECT_TRUE(parse_json(line)) << line;
    }
}

TEST(log, never_blocks_and_counts_what_it_drops) {
    std::promise<void> release;
    auto released = release.get_future().share();
    std::promise<void> stuck;
    std::mutex mutex;
    std::vector<std::string> lines;
    bool first = true;
    const auto before = log_dropped();
    configure_log({log_level::info, log_format::text, 10, [&](log_level, std::string_view line) {
                       if (std::exchange(first, false)) {
                           stuck.set_value();
                           released.wait();
                       }
                       const std::lock_guard lock(mutex);
                       lines.emplace_back(line);
                   }});
    info("stuck");
    stuck.get_future().wait();
    for (int i = 0; i < 100; ++i) {
        info("line", {{"i", i}});
    }
    EXPECT_EQ(log_dropped() - before, 90U);
    release.set_value();
    shutdown_log();
    ASSERT_EQ(lines.size(), 11U);
    EXPECT_TRUE(lines.back().ends_with("i=99")) << "the newest are kept";
    EXPECT_EQ(log_dropped() - before, 90U) << "the count outlives the log it belongs to";
}

TEST(log, works_before_configuration_and_after_shut_down) {
    testing::internal::CaptureStderr();
    info("early", {{"x", 1}});
    debug("quiet");
    configure_log({});
    info("middle");
    shutdown_log();
    info("late");
    const auto text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find("info  early x=1\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\"event\":\"middle\"}\n"), std::string::npos) << text;
    EXPECT_NE(text.find("info  late\n"), std::string::npos) << text;
    EXPECT_EQ(text.find("quiet"), std::string::npos);
}

TEST(log, names_of_levels_and_formats) {
    EXPECT_EQ(parse_log_level("debug"), log_level::debug);
    EXPECT_EQ(parse_log_level("info"), log_level::info);
    EXPECT_EQ(parse_log_level("warn"), log_level::warn);
    EXPECT_EQ(parse_log_level("error"), log_level::error);
    EXPECT_FALSE(parse_log_level("INFO"));
    EXPECT_EQ(parse_log_format("json"), log_format::json);
    EXPECT_EQ(parse_log_format("text"), log_format::text);
    EXPECT_FALSE(parse_log_format("xml"));
}
