#include "insula/observe/metrics.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

using namespace insula::observe;

namespace {

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST(metrics, are_written_as_prometheus_text) {
    metrics all;
    all.counter("insula_requests_total", "Requests served.", {{"status", "200"}}).add();
    all.counter("insula_requests_total", "Requests served.", {{"status", "500"}}).add(2);
    all.gauge("insula_connections", "Open connections.").set(3);
    auto& seconds = all.histogram("insula_seconds", "Time.", {}, {0.1, 1});
    seconds.observe(0.05);
    seconds.observe(std::chrono::milliseconds(500));
    const auto text = all.serialize();
    EXPECT_TRUE(has_line(text, "# HELP insula_requests_total Requests served.")) << text;
    EXPECT_TRUE(has_line(text, "# TYPE insula_requests_total counter"));
    EXPECT_TRUE(has_line(text, "insula_requests_total{status=\"200\"} 1"));
    EXPECT_TRUE(has_line(text, "insula_requests_total{status=\"500\"} 2"));
    EXPECT_TRUE(has_line(text, "insula_connections 3"));
    EXPECT_TRUE(has_line(text, "insula_seconds_count 2"));
    EXPECT_TRUE(has_line(text, "insula_seconds_bucket{le=\"0.1\"} 1"));
    EXPECT_TRUE(has_line(text, "insula_seconds_bucket{le=\"+Inf\"} 2"));
}

TEST(metrics, the_same_name_and_labels_are_the_same_instrument) {
    metrics all;
    auto& a = all.counter("x_total", "X.", {{"k", "1"}});
    auto& b = all.counter("x_total", "X.", {{"k", "1"}});
    auto& c = all.counter("x_total", "X.", {{"k", "2"}});
    EXPECT_EQ(&a, &b);
    EXPECT_NE(&a, &c);
    EXPECT_EQ(&all.gauge("g", "G."), &all.gauge("g", "G."));
    EXPECT_EQ(&all.histogram("h", "H."), &all.histogram("h", "H."));
}

TEST(metrics, a_name_of_two_kinds_is_a_bug) {
    metrics all;
    all.counter("x_total", "X.");
    EXPECT_THROW(all.gauge("x_total", "X."), std::invalid_argument);
    EXPECT_THROW(all.gauge_from("x_total", "X.", {}, [] { return 1.0; }), std::invalid_argument);
    EXPECT_THROW(all.counter("not a name", "X."), std::invalid_argument);
    EXPECT_THROW(all.counter("y_total", "X.", {{"not a label", "v"}}), std::invalid_argument);
}

TEST(metrics, computed_ones_are_read_when_asked) {
    metrics all;
    double value = 1;
    all.gauge_from("pool_size", "Size.", {{"cell", "0"}}, [&value] { return value; });
    all.counter_from("dropped_total", "Dropped.", {}, [] { return 7.0; });
    EXPECT_TRUE(has_line(all.serialize(), "pool_size{cell=\"0\"} 1"));
    value = 2;
    const auto text = all.serialize();
    EXPECT_TRUE(has_line(text, "pool_size{cell=\"0\"} 2")) << text;
    EXPECT_TRUE(has_line(text, "# TYPE dropped_total counter"));
    EXPECT_TRUE(has_line(text, "dropped_total 7"));
}

TEST(metrics, label_values_cannot_break_a_line) {
    metrics all;
    all.counter("x_total", "X.", {{"k", "a\"b\\c\nd"}}).add();
    EXPECT_TRUE(has_line(all.serialize(), R"(x_total{k="a\"b\\c\nd"} 1)")) << all.serialize();
}

TEST(metrics, count_from_many_threads_while_they_are_read) {
    metrics all;
    auto& hits = all.counter("hits_total", "Hits.");
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&all, &hits, t] {
                for (int i = 0; i < 1000; ++i) {
                    hits.add();
                    all.gauge("g", "G.", {{"t", std::to_string(t)}}).add();
                }
            });
        }
        for (int i = 0; i < 20; ++i) {
            EXPECT_FALSE(all.serialize().empty());
        }
    }
    EXPECT_EQ(hits.value(), 4000);
    EXPECT_EQ(all.gauge("g", "G.", {{"t", "3"}}).value(), 1000);
}
