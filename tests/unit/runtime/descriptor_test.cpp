#include "insula/runtime/descriptor.hpp"

#include "backends.hpp"
#include "sockets.hpp"

#include "insula/runtime/event.hpp"

#include <fcntl.h>

namespace insula::runtime {
namespace {

using namespace std::chrono_literals;
using watch = descriptor_watch;

using descriptor = test::loop_test;
INSULA_ON_EVERY_BACKEND(descriptor);

TEST_P(descriptor, answers_what_is_ready_as_long_as_it_is) {
    run([&]() -> awaitable<void> {
        const auto [a, b] = test::raw_unix_pair();
        watch on(home(), a.get());
        EXPECT_EQ(*co_await on.wait(watch::read | watch::write, deadline::never()), watch::write);
        b.send("xy");
        // Level semantics: nobody read anything, so it stays ready.
        for (int i = 0; i < 3; ++i) {
            EXPECT_EQ(*co_await on.wait(watch::read, deadline::never()), watch::read);
        }
        EXPECT_EQ(*co_await on.wait(watch::read | watch::write, deadline::never()),
                  watch::read | watch::write);
        char c = 0;
        EXPECT_EQ(::recv(a.get(), &c, 1, 0), 1);
        EXPECT_EQ(*co_await on.wait(watch::read, deadline::never()), watch::read);
        EXPECT_EQ(::recv(a.get(), &c, 1, 0), 1);
        const auto empty = co_await on.wait(watch::read, deadline::after(1ms));
        EXPECT_EQ(empty.error(), asio::error::timed_out);
        co_await on.release();
    });
}

TEST_P(descriptor, wakes_when_something_comes) {
    run([&]() -> awaitable<void> {
        const auto [a, b] = test::raw_unix_pair();
        watch on(home(), a.get());
        for (int i = 0; i < 5; ++i) {
            post(home(), [&] { post(home(), [&] { b.send("x"); }); });
            EXPECT_EQ(*co_await on.wait(watch::read, deadline::never()), watch::read);
            EXPECT_EQ(a.receive(), "x");
        }
        co_await on.release();
    });
}

TEST_P(descriptor, a_hang_up_is_ready_for_everything_asked) {
    run([&]() -> awaitable<void> {
        auto [a, b] = test::raw_unix_pair();
        watch on(home(), a.get());
        b.close();
        EXPECT_EQ(*co_await on.wait(watch::read, deadline::never()), watch::read);
        EXPECT_EQ(*co_await on.wait(watch::write, deadline::never()), watch::write);
        co_await on.release();
    });
}

awaitable<void> note(watch& on, int interests, deadline until, boost::system::result<int>& answer,
                     event& done) {
    answer = co_await on.wait(interests, until);
    done.set();
}

TEST_P(descriptor, two_waits_overlap_and_end_on_their_own) {
    run([&]() -> awaitable<void> {
        const auto [a, b] = test::raw_unix_pair();
        watch on(home(), a.get());
        event read_done(home());
        event write_done(home());
        boost::system::result<int> read = 0;
        boost::system::result<int> write = 0;
        background(note(on, watch::read, deadline::never(), read, read_done));
        background(note(on, watch::write, deadline::never(), write, write_done));
        EXPECT_TRUE(co_await write_done.wait(deadline::after(5s)));
        EXPECT_EQ(*write, watch::write);
        EXPECT_FALSE(co_await read_done.wait(deadline::after(3ms)));
        b.send("x");
        EXPECT_TRUE(co_await read_done.wait(deadline::after(5s)));
        EXPECT_EQ(*read, watch::read);
        co_await on.release();
    });
}

TEST_P(descriptor, a_deadline_of_one_wait_leaves_the_other) {
    run([&]() -> awaitable<void> {
        const auto [a, b] = test::raw_unix_pair();
        watch on(home(), a.get());
        event short_done(home());
        event long_done(home());
        boost::system::result<int> brief = 0;
        boost::system::result<int> patient = 0;
        background(note(on, watch::read, deadline::after(2ms), brief, short_done));
        background(note(on, watch::read, deadline::never(), patient, long_done));
        EXPECT_TRUE(co_await short_done.wait(deadline::after(5s)));
        EXPECT_EQ(brief.error(), asio::error::timed_out);
        b.send("x");
        EXPECT_TRUE(co_await long_done.wait(deadline::after(5s)));
        EXPECT_EQ(*patient, watch::read);
        co_await on.release();
    });
}

TEST_P(descriptor, cancel_ends_the_wait_and_the_next_one_works) {
    run([&]() -> awaitable<void> {
        const auto [a, b] = test::raw_unix_pair();
        watch on(home(), a.get());
        for (int i = 0; i < 3; ++i) {
            post(home(), [&] { on.cancel(); });
            const auto answer = co_await on.wait(watch::read, deadline::never());
            EXPECT_EQ(answer.error(), asio::error::operation_aborted);
        }
        b.send("x");
        EXPECT_EQ(*co_await on.wait(watch::read, deadline::never()), watch::read);
        co_await on.release();
    });
}

TEST_P(descriptor, release_ends_waits_and_refuses_new_ones) {
    run([&]() -> awaitable<void> {
        auto [a, b] = test::raw_unix_pair();
        watch on(home(), a.get());
        event done(home());
        boost::system::result<int> answer = 0;
        background(note(on, watch::read, deadline::never(), answer, done));
        co_await test::turns(2);
        co_await on.release();
        a.close();
        EXPECT_TRUE(co_await done.wait(deadline::after(5s)));
        EXPECT_EQ(answer.error(), asio::error::operation_aborted);
        const auto late = co_await on.wait(watch::read, deadline::never());
        EXPECT_EQ(late.error(), asio::error::operation_aborted);
        co_await on.release();
    });
}

TEST_P(descriptor, destruction_ends_the_wait_and_frees_the_owner_after_the_kernel) {
    run([&]() -> awaitable<void> {
        auto [a, b] = test::raw_unix_pair();
        bool freed = false;
        std::shared_ptr<int> owner(new int(a.get()), [&](int* p) {
            freed = true;
            delete p;
        });
        auto on = std::make_unique<watch>(home(), a.get(), std::move(owner));
        event done(home());
        boost::system::result<int> answer = 0;
        background(note(*on, watch::read, deadline::never(), answer, done));
        co_await test::turns(2);
        on.reset();
        EXPECT_TRUE(co_await done.wait(deadline::after(5s)));
        EXPECT_EQ(answer.error(), asio::error::operation_aborted);
        for (int i = 0; i < 100 && !freed; ++i) {
            co_await test::turns(1);
        }
        EXPECT_TRUE(freed);
    });
}

TEST_P(descriptor, says_what_the_kernel_says_about_descriptors_that_cannot_be_watched) {
    run([&]() -> awaitable<void> {
        watch on(home(), 1 << 20);
        const auto answer = co_await on.wait(watch::read, deadline::after(1s));
        EXPECT_EQ(answer.error(), boost::system::errc::bad_file_descriptor);
        co_await on.release();
    });
}

awaitable<void> wait_for_ever(std::unique_ptr<watch> on) {
    static_cast<void>(co_await on->wait(watch::read, deadline::never()));
}

TEST_P(descriptor, a_stopping_loop_destroys_its_waiters) {
    const auto [a, b] = test::raw_unix_pair();
    background(wait_for_ever(std::make_unique<watch>(home(), a.get())));
    run([&]() -> awaitable<void> { co_await test::turns(3); });
}

}  // namespace
}  // namespace insula::runtime
