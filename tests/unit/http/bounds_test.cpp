// The bounds that concern several connections at once: room for waiting ones, memory of bodies; and
// what a session says of a single message's sizes.
#include "test_client.hpp"
#include "test_server.hpp"

#include <boost/json.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace insula::http::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view ask_ok = "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view ask_wait = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";

std::string put_echo(std::size_t bytes) {
    return "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
}

server_options with_places(std::size_t connections) {
    server_options o;
    o.log_requests = false;
    o.limits.connections_max = connections;
    return o;
}

class http_bounds : public testing::TestWithParam<runtime::backend> {};
INSTANTIATE_TEST_SUITE_P(on, http_bounds, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

TEST_P(http_bounds, G65_a_connection_that_waits_gives_its_place_to_a_new_one) {
    test_server server(GetParam(), with_places(2));
    client first(server.address());
    EXPECT_EQ(first.ask(ask_ok).status, 200u);
    client second(server.address());
    EXPECT_EQ(second.ask(ask_ok).status, 200u);
    client third(server.address());
    EXPECT_EQ(third.ask(ask_ok).status, 200u);
    EXPECT_TRUE(first.at_end()) << "the one that has waited longest goes, without a word";
    EXPECT_EQ(second.ask(ask_ok).status, 200u);
    EXPECT_THAT(server.metrics(), HasSubstr("insula_http_evicted_total{server=\"public\"} 1"));
    EXPECT_THAT(server.metrics(),
                HasSubstr("insula_http_connections_refused_total{server=\"public\"} 0"));
    EXPECT_EQ(server.server().connections(), 2u);
}

TEST_P(http_bounds, G61_who_never_asks_anything_goes_before_who_asks_again) {
    test_server server(GetParam(), with_places(2));
    client known(server.address());
    EXPECT_EQ(known.ask(ask_ok).status, 200u);
    client silent(server.address());
    EXPECT_TRUE(eventually([&] { return server.server().connections() == 2; }));
    // Only after a moment: who has just come may be about to ask.
    const auto came = std::chrono::steady_clock::now();
    EXPECT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > came + 1100ms; }));
    client third(server.address());
    EXPECT_EQ(third.ask(ask_ok).status, 200u);
    EXPECT_TRUE(silent.at_end());
    EXPECT_EQ(known.ask(ask_ok).status, 200u);
}

TEST_P(http_bounds, G61_half_a_header_holds_no_place) {
    test_server server(GetParam(), with_places(1));
    client slow(server.address());
    slow.send("GET /ok HTTP/1.1\r\nHo");
    EXPECT_TRUE(eventually([&] { return server.server().connections() == 1; }));
    client other(server.address());
    EXPECT_EQ(other.ask(ask_ok).status, 200u);
    EXPECT_TRUE(slow.at_end());
}

TEST_P(http_bounds, G61_half_a_header_behind_a_request_holds_no_place) {
    auto options = with_places(1);
    options.limits.header_timeout = 10min;
    test_server server(GetParam(), options);
    client slow(server.address());
    EXPECT_EQ(slow.ask(std::string(ask_ok) + "G").status, 200u);
    // Its answer may come before its session waits again.
    EXPECT_TRUE(eventually([&] {
        client other(server.address());
        other.send(ask_ok);
        const auto r = other.receive();
        return r && r->status == 200;
    }));
    EXPECT_TRUE(slow.at_end());
}

TEST_P(http_bounds, G61_a_flood_does_not_drive_out_who_asks_again) {
    test_server server(GetParam(), with_places(8));
    std::vector<std::unique_ptr<client>> known;
    for (int i = 0; i < 6; ++i) {
        known.push_back(std::make_unique<client>(server.address()));
        EXPECT_EQ(known.back()->ask(ask_ok).status, 200u);
    }
    std::vector<std::unique_ptr<client>> flood;
    for (int i = 0; i < 100; ++i)
        flood.push_back(std::make_unique<client>(server.address()));
    // All of them have been seen, and each took somebody's place.
    EXPECT_TRUE(eventually([&] {
        return server.metrics().find("insula_http_evicted_total{server=\"public\"} 98") !=
               std::string::npos;
    }));
    // Half of the places stay with those that have asked before: the last ones that did.
    EXPECT_EQ(known[4]->ask(ask_ok).status, 200u);
    EXPECT_EQ(known[5]->ask(ask_ok).status, 200u);
    client healthy(server.address());
    EXPECT_EQ(healthy.ask(ask_ok).status, 200u);
}

TEST_P(http_bounds, G65_who_is_at_work_keeps_its_place) {
    test_server server(GetParam(), with_places(2));
    client busy(server.address()), sending(server.address());
    busy.send(ask_wait);
    server.await_waiting(1);
    sending.send(put_echo(3) + "a");
    EXPECT_TRUE(eventually([&] { return server.server().connections() == 2; }));
    // The half body may still be under way: ask until it counts.
    EXPECT_TRUE(eventually([&] {
        client third(server.address());
        const auto r = third.receive();
        return r && r->status == 503;
    }));
    EXPECT_EQ(sending.ask("bc").body, "abc");
    server.release();
    EXPECT_EQ(busy.receive()->body, "\"released\"");
}

TEST_P(http_bounds, G61_a_flood_of_connections_leaves_the_last_ones_served) {
    test_server server(GetParam(), with_places(8));
    std::vector<std::unique_ptr<client>> flood;
    for (int i = 0; i < 300; ++i)
        flood.push_back(std::make_unique<client>(server.address()));
    client healthy(server.address());
    EXPECT_EQ(healthy.ask(ask_ok).status, 200u);
    EXPECT_LE(server.server().connections(), 8u);
    flood.clear();
    EXPECT_TRUE(eventually([&] { return server.server().connections() == 1; }));
}

TEST_P(http_bounds, G61_who_pipelines_leaves_turns_to_others) {
    constexpr int clients = 10;
    constexpr int requests = 300;
    test_server server(GetParam(), with_places(clients + 1));
    client observer(server.address());
    const auto turns = [&] {
        return std::stoul(observer.ask("GET /turns HTTP/1.1\r\nHost: a\r\n\r\n").body);
    };
    const auto before = turns();
    std::string pipeline;
    for (int i = 0; i < requests; ++i)
        pipeline += ask_ok;
    std::vector<std::unique_ptr<client>> all;
    for (int i = 0; i < clients; ++i) {
        all.push_back(std::make_unique<client>(server.address()));
        all.back()->send(pipeline);
    }
    for (auto& one : all) {
        for (int i = 0; i < requests; ++i)
            ASSERT_EQ(one->receive()->status, 200u);
    }
    // Each time the loop looks at the kernel it takes four of those behind another one, of all
    // connections together; it used to take what was there.
    EXPECT_GE(turns() - before, static_cast<unsigned long>(clients * (requests - 1) / 4));
}

TEST_P(http_bounds, G61_who_does_not_read_is_not_answered_on_and_on) {
    auto options = with_places(2);
    options.limits.write_timeout = 300ms;
    test_server server(GetParam(), options);
    client deaf(server.address(), 4096);
    std::string pipeline;
    for (int i = 0; i < 20'000; ++i)
        pipeline += ask_ok;
    std::jthread sender([&] { deaf.send(pipeline); });
    EXPECT_TRUE(eventually([&] {
        return server.metrics().find("insula_http_write_failed_total{server=\"public\"} 1") !=
               std::string::npos;
    }));
    // 64 KiB that could not be sent, and what is on its way: some 200 answers of 450 bytes.
    const auto text = server.metrics();
    const std::string_view series =
        "insula_http_request_duration_seconds_count{route=\"/ok\",server=\"public\"} ";
    const auto at = text.find(series);
    ASSERT_NE(at, std::string::npos);
    EXPECT_LT(std::stoul(text.substr(at + series.size())), 1000u);
}

TEST_P(http_bounds, G65_large_bodies_share_a_bounded_memory) {
    auto options = with_places(16);
    options.limits.bodies_bytes_max = 900'000;
    test_server server(GetParam(), options);
    const std::string half(150'000, 'x');
    client first(server.address());
    first.send(put_echo(300'000) + half);
    // Counted as it is allocated, which may be twice what came.
    EXPECT_TRUE(eventually([&] {
        return server.metrics().find("insula_http_body_bytes{server=\"public\"} 0") ==
               std::string::npos;
    }));
    client second(server.address());
    const auto r = second.ask(put_echo(800'000) + std::string(800'000, 'y'));
    EXPECT_EQ(r.status, 503u);
    EXPECT_EQ(boost::json::parse(r.body).at("code").as_string(), "overloaded");
    EXPECT_EQ(r.field("Retry-After"), "1");
    EXPECT_TRUE(second.at_end());
    EXPECT_THAT(server.metrics(), HasSubstr("reason=\"no_room\",server=\"public\"} 1"));
    EXPECT_THAT(server.metrics(),
                HasSubstr("insula_http_body_bytes_max{server=\"public\"} 900000"));
    // Small bodies are always taken, and the large one that came first is, too.
    client small(server.address());
    EXPECT_EQ(small.ask(put_echo(16'000) + std::string(16'000, 'z')).status, 200u);
    EXPECT_EQ(first.ask(half).body.size(), 300'000u);
    EXPECT_TRUE(eventually([&] {
        return server.metrics().find("insula_http_body_bytes{server=\"public\"} 0") !=
               std::string::npos;
    }));
}

TEST_P(http_bounds, G65_what_comes_last_of_a_body_counts_too) {
    auto options = with_places(16);
    options.limits.bodies_bytes_max = 16'999;
    test_server server(GetParam(), options);
    client peer(server.address());
    const auto r = peer.ask(put_echo(17'000) + std::string(17'000, 'x'));
    EXPECT_EQ(r.status, 503u);
    EXPECT_EQ(boost::json::parse(r.body).at("code").as_string(), "overloaded");
    EXPECT_TRUE(peer.at_end());
    EXPECT_THAT(server.metrics(), HasSubstr("insula_http_body_bytes{server=\"public\"} 0"));
}

TEST_P(http_bounds, G65_bodies_that_nobody_wants_take_no_memory) {
    auto options = with_places(16);
    options.limits.bodies_bytes_max = 1;
    test_server server(GetParam(), options);
    client peer(server.address());
    const auto r = peer.ask("PUT /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" +
                            std::string(500'000, 'x'));
    EXPECT_EQ(r.status, 404u);
    EXPECT_EQ(peer.ask(ask_ok).status, 200u);
}

TEST_P(http_bounds, G65_a_target_that_is_too_long_is_414_and_counted) {
    test_server server(GetParam(), with_places(16));
    client peer(server.address());
    const auto r = peer.ask("GET /" + std::string(20'000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(r.status, 414u);
    EXPECT_EQ(boost::json::parse(r.body).at("status").to_number<unsigned>(), 414u);
    EXPECT_TRUE(peer.at_end());
    EXPECT_THAT(server.metrics(), HasSubstr("reason=\"target_too_long\",server=\"public\"} 1"));
}

}  // namespace
}  // namespace insula::http::test
