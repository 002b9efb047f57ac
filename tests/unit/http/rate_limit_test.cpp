#include "insula/http/rate_limit.hpp"

#include "insula/http/client_address.hpp"

#include <gtest/gtest.h>

namespace insula::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::vector<rate_class> classes() {
    return {{"login", 5.0 / 60, 5}, {"anonymous", 10, 20}};
}

TEST(http_token_buckets, allow_the_burst_then_the_rate) {
    token_buckets buckets(classes());
    const auto start = token_buckets::clock::time_point(seconds(1000));
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(buckets.check_at("login", "1.2.3.4", start), std::nullopt) << i;
    EXPECT_EQ(buckets.check_at("login", "1.2.3.4", start), 12u);
    EXPECT_EQ(buckets.check_at("login", "1.2.3.4", start + seconds(11)), 1u);
    EXPECT_EQ(buckets.check_at("login", "1.2.3.4", start + seconds(12)), std::nullopt);
    EXPECT_EQ(buckets.check_at("login", "1.2.3.4", start + seconds(12)), 12u);
}

TEST(http_token_buckets, keep_keys_and_classes_apart) {
    token_buckets buckets(classes());
    const auto now = token_buckets::clock::time_point(seconds(1000));
    for (int i = 0; i < 5; ++i)
        (void)buckets.check_at("login", "a", now);
    EXPECT_NE(buckets.check_at("login", "a", now), std::nullopt);
    EXPECT_EQ(buckets.check_at("login", "b", now), std::nullopt);
    EXPECT_EQ(buckets.check_at("anonymous", "a", now), std::nullopt);
}

TEST(http_token_buckets, never_fill_beyond_the_burst) {
    token_buckets buckets(classes());
    const auto start = token_buckets::clock::time_point(seconds(1000));
    (void)buckets.check_at("anonymous", "a", start);
    int passed = 0;
    while (!buckets.check_at("anonymous", "a", start + std::chrono::hours(24)))
        ++passed;
    EXPECT_EQ(passed, 20);
}

TEST(http_token_buckets, survive_a_clock_that_stands_or_steps_back) {
    token_buckets buckets(classes());
    const auto start = token_buckets::clock::time_point(seconds(1000));
    for (int i = 0; i < 5; ++i)
        (void)buckets.check_at("login", "a", start);
    EXPECT_NE(buckets.check_at("login", "a", start - seconds(500)), std::nullopt);
    EXPECT_NE(buckets.check_at("login", "a", start), std::nullopt);
}

TEST(http_token_buckets, G65_memory_is_bounded_and_the_exhausted_are_remembered) {
    token_buckets buckets(classes(), 1024);
    const auto now = token_buckets::clock::time_point(seconds(1000));
    for (int i = 0; i < 5; ++i)
        (void)buckets.check_at("login", "attacker", now);
    for (int i = 0; i < 100'000; ++i)
        (void)buckets.check_at("login", "key" + std::to_string(i), now + milliseconds(i / 100));
    EXPECT_LE(buckets.size(), buckets.capacity());
    EXPECT_EQ(buckets.capacity(), 1024u);
    EXPECT_NE(buckets.check_at("login", "attacker", now + seconds(1)), std::nullopt)
        << "a flood of keys must not free the one who was limited";
}

TEST(http_token_buckets, count_what_they_refuse_by_class) {
    token_buckets buckets(classes());
    const auto now = token_buckets::clock::time_point(seconds(1000));
    for (int i = 0; i < 7; ++i)
        (void)buckets.check_at("login", "a", now);
    (void)buckets.check_at("anonymous", "a", now);
    EXPECT_EQ(buckets.refused("login"), 2u);
    EXPECT_EQ(buckets.refused("anonymous"), 0u);
}

TEST(http_client_address, ipv6_counts_by_its_network) {
    EXPECT_EQ(ip_address::parse("2001:db8:1:2:3:4:5:6")->key(), "2001:db8:1:2::/64");
    EXPECT_EQ(ip_address::parse("2001:db8:1:2::1")->key(), "2001:db8:1:2::/64");
    EXPECT_EQ(ip_address::parse("203.0.113.7")->key(), "203.0.113.7");
    EXPECT_EQ(ip_address::parse("::ffff:203.0.113.7")->key(), "203.0.113.7");
    EXPECT_EQ(ip_address::parse("203.0.113.7:80"), std::nullopt);
    EXPECT_EQ(ip_address::parse("unknown"), std::nullopt);
}

std::string client(std::string_view peer, std::string_view forwarded,
                   std::string_view x_forwarded_for) {
    const std::vector<std::string> networks{"10.0.0.0/8", "192.168.1.1", "fd00::/9"};
    const auto trusted = trusted_proxies::parse(networks);
    return client_address(*ip_address::parse(peer), forwarded, x_forwarded_for, *trusted).str();
}

TEST(http_client_address, is_the_sockets_unless_that_is_a_trusted_proxy) {
    EXPECT_EQ(client("203.0.113.7", "for=1.1.1.1", "1.1.1.1"), "203.0.113.7");
    EXPECT_EQ(client("10.1.1.1", "", ""), "10.1.1.1");
    EXPECT_EQ(client("10.1.1.1", "", "1.1.1.1"), "1.1.1.1");
    EXPECT_EQ(client("192.168.1.2", "", "1.1.1.1"), "192.168.1.2");
    EXPECT_EQ(client("fd7f::1", "", "2001:db8::1"), "2001:db8::1");
    EXPECT_EQ(client("fd80::1", "", "2001:db8::1"), "fd80::1");
}

TEST(http_client_address, is_counted_from_the_right_across_trusted_proxies) {
    EXPECT_EQ(client("10.1.1.1", "", "9.9.9.9, 1.1.1.1, 10.2.2.2"), "1.1.1.1")
        << "9.9.9.9 is the client's own claim";
    EXPECT_EQ(client("10.1.1.1", "for=9.9.9.9, for=1.1.1.1;proto=https, for=\"10.2.2.2:8080\"", ""),
              "1.1.1.1");
    EXPECT_EQ(client("10.1.1.1", "For=\"[2001:db8::7]:47011\"", ""), "2001:db8::7");
    EXPECT_EQ(client("10.1.1.1", "", "10.3.3.3, 10.2.2.2"), "10.3.3.3");
    EXPECT_EQ(client("10.1.1.1", "", "1.1.1.1:3333"), "1.1.1.1");
}

TEST(http_client_address, is_the_proxys_when_a_client_sent_the_field_that_the_proxy_lets_through) {
    EXPECT_EQ(client("10.1.1.1", "for=9.9.9.9", "1.1.1.1"), "10.1.1.1");
    EXPECT_EQ(client("10.1.1.1", "for=1.1.1.1", "9.9.9.9, 1.1.1.1"), "1.1.1.1");
}

TEST(http_client_address, stops_at_what_is_no_address) {
    EXPECT_EQ(client("10.1.1.1", "", "1.1.1.1, junk"), "10.1.1.1");
    EXPECT_EQ(client("10.1.1.1", "", "1.1.1.1, junk, 10.2.2.2"), "10.2.2.2");
    EXPECT_EQ(client("10.1.1.1", "for=unknown", "1.1.1.1"), "10.1.1.1");
    EXPECT_EQ(client("10.1.1.1", "for=_hidden, for=10.2.2.2", ""), "10.2.2.2");
    EXPECT_EQ(client("10.1.1.1", "by=1.1.1.1", ""), "10.1.1.1");
    EXPECT_EQ(client("10.1.1.1", "for=\"a,b\"", ""), "10.1.1.1");
}

TEST(http_client_address, networks_are_checked_when_configured) {
    for (const char* bad :
         {"10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0.0/x", "example.org", ""}) {
        EXPECT_FALSE(trusted_proxies::parse(std::vector<std::string>{bad})) << bad;
    }
}

}  // namespace
}  // namespace insula::http
