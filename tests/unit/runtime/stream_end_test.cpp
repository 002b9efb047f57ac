// How operations end: by cancellation, by deadline, by close, by destruction, by the loop's stop.

#include "backends.hpp"
#include "sockets.hpp"

#include "insula/runtime/event.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/write.hpp>

namespace insula::runtime {
namespace {

using namespace std::chrono_literals;

constexpr auto quietly = asio::as_tuple(use_awaitable);

std::string pattern(std::size_t bytes, unsigned seed = 1) {
    std::string text(bytes, '\0');
    for (auto& c : text) {
        seed = seed * 1664525U + 1013904223U;
        c = static_cast<char>(seed >> 24);
    }
    return text;
}

using stream_end = test::loop_test;
INSULA_ON_EVERY_BACKEND(stream_end);

awaitable<void> read_and_note(stream& from, std::string& outcome, event& done) {
    char text[16];
    const auto [failed, n] = co_await from.async_read_some(asio::buffer(text), quietly);
    outcome = failed ? failed.message() : std::string(text, n);
    done.set();
}

const std::string aborted = error_code(asio::error::operation_aborted).message();
const std::string timed_out = error_code(asio::error::timed_out).message();

TEST_P(stream_end, a_cancelled_read_loses_no_bytes) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        event done(home());
        std::string outcome;
        background(read_and_note(ours, outcome, done));
        co_await test::turns(2);
        ours.cancel();
        EXPECT_TRUE(co_await done.wait(deadline::after(test::patience)));
        EXPECT_EQ(outcome, aborted);
        peer.send("still here");
        char text[16];
        EXPECT_EQ(*co_await ours.read_some(asio::buffer(text)), 10U);
        EXPECT_TRUE(ours.is_open());
    });
}

TEST_P(stream_end, hears_the_cancellation_slot_of_each_operation) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        asio::cancellation_signal stop_reading;
        asio::cancellation_signal stop_writing;
        char text[16];
        const auto big = pattern(8 << 20);
        error_code read_end;
        error_code write_end;
        std::size_t written = 0;
        event done(home());
        ours.async_read_some(
            asio::buffer(text),
            asio::bind_cancellation_slot(stop_reading.slot(), [&](error_code code, std::size_t) {
                read_end = code;
                done.set();
            }));
        asio::async_write(
            ours, asio::buffer(big),
            asio::bind_cancellation_slot(stop_writing.slot(), [&](error_code code, std::size_t n) {
                write_end = code;
                written = n;
                done.set();
            }));
        co_await test::turns(2);
        stop_writing.emit(asio::cancellation_type::terminal);
        EXPECT_TRUE(co_await done.wait(deadline::after(test::patience)));
        EXPECT_EQ(write_end, asio::error::operation_aborted);
        EXPECT_LT(written, big.size());
        EXPECT_EQ(read_end, error_code());
        stop_reading.emit(asio::cancellation_type::partial);
        EXPECT_TRUE(co_await done.wait(deadline::after(test::patience)));
        EXPECT_EQ(read_end, asio::error::operation_aborted);
        // What arrived is exactly a beginning of what was sent.
        std::string arrived;
        for (auto part = peer.receive(); !part.empty(); part = peer.receive()) {
            arrived += part;
            co_await test::turns(1);
        }
        EXPECT_TRUE(big.starts_with(arrived));
        EXPECT_GE(arrived.size(), written);
    });
}

TEST_P(stream_end, never_calls_a_handler_from_within_its_initiation) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        peer.send("xy");
        char text[1];
        bool inside = true;
        int calls = 0;
        const auto check = [&](error_code, std::size_t) {
            EXPECT_FALSE(inside);
            ++calls;
        };
        co_await ours.async_read_some(asio::buffer(text));
        ours.async_read_some(asio::buffer(text), check);     // queued bytes
        ours.async_write_some(asio::buffer("z", 1), check);  // sent at once
        inside = false;
        co_await test::turns(1);
        EXPECT_EQ(calls, 2);
        co_await ours.close();
    });
}

TEST_P(stream_end, a_deadline_ends_a_pending_read_and_every_later_operation) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        char text[16];
        ours.expires_at(deadline::after(3ms));
        const auto start = steady_clock::now();
        const auto read = co_await ours.read_some(asio::buffer(text));
        EXPECT_EQ(read.error(), asio::error::timed_out);
        EXPECT_GE(steady_clock::now() - start, 2ms);
        const auto again = co_await ours.read_some(asio::buffer(text));
        EXPECT_EQ(again.error(), asio::error::timed_out);
        const auto write = co_await ours.write(asio::buffer("x", 1));
        EXPECT_EQ(write.error(), asio::error::timed_out);
        ours.expires_at(deadline::never());
        peer.send("alive");
        EXPECT_EQ(*co_await ours.read_some(asio::buffer(text)), 5U);
    });
}

TEST_P(stream_end, a_deadline_ends_a_write_that_the_peer_does_not_take) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::tcp_pair(home());
        const std::string big(32 << 20, 'b');
        ours.expires_at(deadline::after(20ms));
        const auto write = co_await ours.write(asio::buffer(big));
        EXPECT_EQ(write.error(), asio::error::timed_out);
    });
}

TEST_P(stream_end, a_deadline_can_be_moved_while_an_operation_is_pending) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        event done(home());
        std::string outcome;
        // Later: the first time passes without an effect.
        ours.expires_at(deadline::after(5ms));
        background(read_and_note(ours, outcome, done));
        co_await test::turns(1);
        ours.expires_at(deadline::after(10s));
        EXPECT_FALSE(co_await done.wait(deadline::after(15ms)));
        // Earlier: at once.
        ours.expires_at(deadline::after(1ms));
        EXPECT_TRUE(co_await done.wait(deadline::after(5s)));
        EXPECT_EQ(outcome, timed_out);
        // Away.
        ours.expires_at(deadline::after(5ms));
        background(read_and_note(ours, outcome, done));
        co_await test::turns(1);
        ours.expires_at(deadline::never());
        EXPECT_FALSE(co_await done.wait(deadline::after(15ms)));
        peer.send("bye");
        EXPECT_TRUE(co_await done.wait(deadline::after(5s)));
        EXPECT_EQ(outcome, "bye");
    });
}

TEST_P(stream_end, pushing_a_deadline_back_costs_no_timer_operation) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        char c = 0;
        co_await test::turns(2);  // the fixture's own timer is set by then
        const auto timers_before = home().timers().size();
        for (int i = 0; i < 100; ++i) {
            ours.expires_at(deadline::after(10s));
            peer.send("x");
            EXPECT_EQ(co_await ours.async_read_some(asio::buffer(&c, 1)), 1U);
        }
        EXPECT_LE(home().timers().size(), timers_before + 1);
    });
}

TEST_P(stream_end, close_ends_pending_operations_and_waits_for_the_kernel) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::tcp_pair(home());
        const int fd = ours.native_handle();
        event read_done(home());
        event write_done(home());
        std::string read;
        error_code write_end;
        const std::string big(32 << 20, 'b');
        background(read_and_note(ours, read, read_done));
        asio::async_write(ours, asio::buffer(big), [&](error_code code, std::size_t) {
            write_end = code;
            write_done.set();
        });
        co_await test::turns(2);
        co_await ours.close();
        EXPECT_FALSE(test::is_open(fd));
        EXPECT_FALSE(ours.is_open());
        EXPECT_TRUE(co_await read_done.wait(deadline::after(5s)));
        EXPECT_TRUE(co_await write_done.wait(deadline::after(5s)));
        EXPECT_EQ(read, aborted);
        EXPECT_EQ(write_end, asio::error::operation_aborted);
        char c = 0;
        const auto late = co_await ours.read_some(asio::buffer(&c, 1));
        EXPECT_EQ(late.error(), asio::error::operation_aborted);
        co_await ours.close();
    });
}

TEST_P(stream_end, destruction_ends_pending_operations_and_closes) {
    run([&]() -> awaitable<void> {
        auto pair = test::unix_pair(home());
        const int fd = pair.ours.native_handle();
        event done(home());
        error_code end;
        char text[4];
        {
            stream gone = std::move(pair.ours);
            gone.async_read_some(asio::buffer(text), [&](error_code code, std::size_t) {
                end = code;
                done.set();
            });
            co_await test::turns(2);
        }
        EXPECT_TRUE(co_await done.wait(deadline::after(5s)));
        EXPECT_EQ(end, asio::error::operation_aborted);
        for (int i = 0; i < 100 && test::is_open(fd); ++i) {
            co_await test::turns(1);
        }
        EXPECT_FALSE(test::is_open(fd));
        char c = 0;
        EXPECT_EQ(::recv(pair.peer.get(), &c, 1, MSG_DONTWAIT), 0) << "the peer sees the end";
    });
}

awaitable<void> own_and_read(stream owned) {
    char text[8];
    static_cast<void>(co_await owned.async_read_some(asio::buffer(text), quietly));
}
awaitable<void> own_and_write(stream owned) {
    const std::string big(32 << 20, 'b');
    static_cast<void>(co_await owned.write(asio::buffer(big)));
}

TEST_P(stream_end, a_stopping_loop_destroys_readers_and_writers_and_closes_their_streams) {
    auto reading = test::unix_pair(home());
    auto writing = test::tcp_pair(home());
    auto idle = test::unix_pair(home());
    const int fds[] = {reading.ours.native_handle(), writing.ours.native_handle(),
                       idle.ours.native_handle()};
    background(own_and_read(std::move(reading.ours)));
    background(own_and_write(std::move(writing.ours)));
    run([&]() -> awaitable<void> { co_await test::turns(3); });
    for (const int fd : fds) {
        EXPECT_FALSE(test::is_open(fd));
    }
    EXPECT_FALSE(idle.ours.is_open());
}

}  // namespace
}  // namespace insula::runtime
