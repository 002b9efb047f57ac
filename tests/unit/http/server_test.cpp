#include "test_client.hpp"
#include "test_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace insula::http::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view ask_ok = "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n";

server_options quiet() {
    server_options o;
    o.log_requests = false;
    return o;
}

class http_server : public testing::TestWithParam<runtime::backend> {};
INSTANTIATE_TEST_SUITE_P(on, http_server, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

TEST_P(http_server, serves_one_address_from_several_loops_and_stops_on_all) {
    test_server server(GetParam(), quiet(), nullptr, 3);
    std::vector<std::unique_ptr<client>> peers;
    for (int i = 0; i < 60; ++i) {
        peers.push_back(std::make_unique<client>(server.address()));
        EXPECT_EQ(peers.back()->ask(ask_ok).status, 200u);
    }
    EXPECT_EQ(server.server().connections(), 60u);
    EXPECT_TRUE(server.stop(10s).get());
    for (auto& peer : peers)
        EXPECT_TRUE(peer->at_end());
    EXPECT_EQ(server.server().connections(), 0u);
}

TEST_P(http_server, serves_a_unix_path_from_one_loop) {
    char folder[] = "/tmp/insula_http_XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    auto options = quiet();
    options.listen = "unix:" + std::string(folder) + "/socket";
    {
        test_server server(GetParam(), options, nullptr, 2);
        client peer(server.address());
        EXPECT_EQ(peer.ask(ask_ok).status, 200u);
        EXPECT_EQ(peer.ask(ask_ok).status, 200u);
    }
    EXPECT_EQ(::rmdir(folder), 0) << "the socket is gone after stop";
}

TEST_P(http_server, says_why_it_cannot_listen) {
    auto options = quiet();
    options.listen = "unix:/nonexistent/folder/socket";
    std::string why;
    try {
        test_server server(GetParam(), options);
    } catch (const std::runtime_error& e) {
        why = e.what();
    }
    EXPECT_THAT(why, testing::HasSubstr("/nonexistent/folder/socket"));
}

TEST_P(http_server, G61_many_idle_connections_do_not_disturb_an_active_one) {
    test_server server(GetParam(), quiet());
    std::vector<std::unique_ptr<client>> idle;
    for (int i = 0; i < 300; ++i)
        idle.push_back(std::make_unique<client>(server.address()));
    client half(server.address());
    half.send("GET /ok HTTP/1.1\r\nHo");
    client active(server.address());
    for (int i = 0; i < 1000; ++i)
        ASSERT_EQ(active.ask(ask_ok).status, 200u);
    EXPECT_TRUE(eventually([&] { return server.server().connections() == 302; }));
}

}  // namespace
}  // namespace insula::http::test
