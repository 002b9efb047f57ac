#pragma once
// The suite of the runtime runs unchanged on every backend that this machine allows.

#include "insula/runtime/loop.hpp"
#include "insula/runtime/post.hpp"
#include "insula/runtime/timer.hpp"

#include <boost/asio/co_spawn.hpp>

#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace insula::runtime::test {

// epoll always; io_uring unless this machine refuses it, which backend_test counts and explains.
std::vector<backend> available_backends();

inline std::string backend_name(const testing::TestParamInfo<backend>& info) {
    return std::string(name(info.param));
}

#define INSULA_ON_EVERY_BACKEND(suite)                                                       \
    INSTANTIATE_TEST_SUITE_P(on, suite,                                                      \
                             testing::ValuesIn(insula::runtime::test::available_backends()), \
                             insula::runtime::test::backend_name)

inline std::unique_ptr<loop> new_loop(loop_options options) {
    auto made = make_loop(options);
    if (!made) {
        throw std::runtime_error(made.error().describe());
    }
    return std::move(*made);
}

// Nothing here waits longer: a test that hangs fails instead, with its name.
inline constexpr std::chrono::seconds patience{120};

// A loop of the backend under test.
class loop_test : public testing::TestWithParam<backend> {
protected:
    loop_test() : loop_test(loop_options{}) {}
    explicit loop_test(loop_options options) {
        options.kind = GetParam();
        home_ = new_loop(options);
    }

    // Runs `body`, a function that returns awaitable<void>, to its end on the loop. It may capture:
    // it lives here until the loop has ended.
    template <class F>
    void run(F&& body) {
        std::exception_ptr thrown;
        bool done = false;
        asio::co_spawn(*home_, body(), [&](const std::exception_ptr& failure) {
            thrown = failure;
            done = true;
            home_->stop();
        });
        asio::co_spawn(*home_, give_up(*home_), [](const std::exception_ptr&) {});
        home_->run();
        if (thrown) {
            std::rethrow_exception(thrown);
        }
        EXPECT_TRUE(done) << "the test's coroutine did not end";
    }
    // The same in the background of the test's coroutine; its exception fails the test.
    void background(awaitable<void> task) {
        asio::co_spawn(*home_, std::move(task), [](const std::exception_ptr& failure) {
            if (failure) {
                try {
                    std::rethrow_exception(failure);
                } catch (const std::exception& reason) {
                    ADD_FAILURE() << "background task: " << reason.what();
                }
            }
        });
    }

    loop& home() { return *home_; }

    std::unique_ptr<loop> home_;

private:
    static awaitable<void> give_up(loop& home) {
        co_await sleep_for(patience);
        ADD_FAILURE() << "gave up waiting";
        home.stop();
    }
};

// A second loop of the same kind, running on a thread of its own until destruction.
class other_loop {
public:
    explicit other_loop(backend kind)
        : loop_(new_loop({.kind = kind})), thread_([this] { loop_->run(); }) {}
    ~other_loop() { stop(); }
    other_loop(const other_loop&) = delete;
    other_loop& operator=(const other_loop&) = delete;

    void stop() {
        loop_->stop();
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    loop& get() { return *loop_; }

private:
    std::unique_ptr<loop> loop_;
    std::thread thread_;
};

// Lets everything that is ready run: work posted after what is queued now, `turns` times through
// the kernel.
awaitable<void> turns(int count);

}  // namespace insula::runtime::test
