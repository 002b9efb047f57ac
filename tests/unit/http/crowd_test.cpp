// The turns that requests take which were pipelined behind others, on a loop that has much else to
// do: nobody waits for ever.
#include "http/session.hpp"
#include "test_server.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <gtest/gtest.h>

namespace insula::http::test {
namespace {

using namespace std::chrono_literals;

constexpr int sessions = 100;
constexpr int requests_each = 1;

/// One that pipelines.
runtime::awaitable<void> pipeliner(crowd& among, int& served) {
    for (int i = 0; i < requests_each; ++i) {
        co_await among.pipelined_turn();
        ++served;
    }
}

/// Ready again each time the loop has looked at the kernel, until it stops.
runtime::awaitable<void> other_work(runtime::loop& home) {
    runtime::timer at_once(home);
    while (co_await at_once.wait({runtime::steady_clock::now()})) {
    }
}

void start(runtime::loop& home, runtime::awaitable<void> task) {
    boost::asio::co_spawn(home.get_executor(), std::move(task), [](const std::exception_ptr&) {});
}

runtime::awaitable<void> give_up(runtime::loop& home) {
    runtime::timer limit(home);
    co_await limit.wait({runtime::steady_clock::now() + 10s});
    home.stop();
}

class http_crowd : public testing::TestWithParam<runtime::backend> {};
INSTANTIATE_TEST_SUITE_P(on, http_crowd, testing::ValuesIn(backends()),
                         [](const auto& info) { return std::string(runtime::name(info.param)); });

TEST_P(http_crowd, G61_everybody_gets_a_turn_whatever_else_is_ready) {
    // The loop runs 512 items between two looks at the kernel, so those that are woken together may
    // run on both sides of a look.
    for (int ready = 500; ready < 514; ++ready) {
        runtime::loop_options with;
        with.kind = GetParam();
        auto home = runtime::make_loop(with).value();
        crowd among(*home);
        int served = 0, ended = 0;
        for (int i = 0; i < ready; ++i)
            start(*home, other_work(*home));
        for (int i = 0; i < sessions; ++i) {
            boost::asio::co_spawn(home->get_executor(), pipeliner(among, served),
                                  [&](const std::exception_ptr&) {
                                      if (++ended == sessions)
                                          home->stop();
                                  });
        }
        boost::asio::co_spawn(home->get_executor(), give_up(*home),
                              [](const std::exception_ptr&) {});
        home->run();
        ASSERT_EQ(served, sessions * requests_each) << "with " << ready << " other items ready";
    }
}

}  // namespace
}  // namespace insula::http::test
