#include "backends.hpp"
#include "sockets.hpp"

#include "insula/runtime/event.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/http.hpp>

#include <netinet/tcp.h>

namespace insula::runtime {
namespace {

using namespace std::chrono_literals;
namespace http = boost::beast::http;

static_assert(boost::beast::is_async_stream<stream>::value);
static_assert(boost::beast::is_async_read_stream<stream>::value);

constexpr auto quietly = asio::as_tuple(use_awaitable);

std::string pattern(std::size_t bytes, unsigned seed = 1) {
    std::string text(bytes, '\0');
    for (auto& c : text) {
        seed = seed * 1664525U + 1013904223U;
        c = static_cast<char>(seed >> 24);
    }
    return text;
}

using stream_io = test::loop_test;
INSULA_ON_EVERY_BACKEND(stream_io);

TEST_P(stream_io, reads_what_the_peer_wrote_and_writes_what_it_reads) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::tcp_pair(home());
        char text[16];
        peer.send("hello");
        const auto n = co_await ours.async_read_some(asio::buffer(text));
        EXPECT_EQ(std::string_view(text, n), "hello");
        EXPECT_EQ(co_await ours.async_write_some(asio::buffer("world", 5)), 5U);
        EXPECT_EQ(peer.receive(), "world");
        EXPECT_EQ(ours.get_executor(), home().get_executor());
    });
}

TEST_P(stream_io, a_read_waits_for_bytes_to_come) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        char text[16];
        post(home(), [&] { post(home(), [&] { peer.send("late"); }); });
        const auto n = co_await ours.read_some(asio::buffer(text));
        EXPECT_EQ(std::string_view(text, *n), "late");
    });
}

TEST_P(stream_io, queued_bytes_are_read_in_pieces_and_scattered) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        char first[2];
        char second[3];
        peer.send("abcdefgh");
        const std::array<asio::mutable_buffer, 3> parts{asio::buffer(first), asio::mutable_buffer(),
                                                        asio::buffer(second)};
        EXPECT_EQ(co_await ours.async_read_some(parts), 5U);
        EXPECT_EQ(std::string(first, 2) + std::string(second, 3), "abcde");
        char rest[8];
        const auto n = co_await ours.async_read_some(asio::buffer(rest));
        EXPECT_EQ(std::string_view(rest, n), "fgh");
    });
}

TEST_P(stream_io, gathers_more_buffers_than_one_call_takes) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        const auto text = pattern(100);
        std::vector<asio::const_buffer> parts;
        for (std::size_t i = 0; i < text.size(); ++i) {
            parts.emplace_back(text.data() + i, 1);
        }
        EXPECT_EQ(*co_await ours.write(parts), text.size());
        EXPECT_EQ(peer.receive(), text);
        EXPECT_EQ(co_await asio::async_write(ours, parts, use_awaitable), text.size());
        EXPECT_EQ(peer.receive(), text);
        EXPECT_EQ(*co_await ours.write(asio::buffer("x", 1)), 1U);
        EXPECT_EQ(*co_await ours.write(std::span<const asio::const_buffer>{}), 0U);
    });
}

TEST_P(stream_io, empty_reads_and_writes_end_with_nothing) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::unix_pair(home());
        EXPECT_EQ(co_await ours.async_read_some(asio::mutable_buffer()), 0U);
        EXPECT_EQ(co_await ours.async_write_some(asio::const_buffer()), 0U);
    });
}

TEST_P(stream_io, has_no_delay_and_knows_its_ends) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::tcp_pair(home());
        int on = 0;
        socklen_t size = sizeof on;
        EXPECT_EQ(::getsockopt(ours.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
        EXPECT_EQ(on, 1);
        EXPECT_EQ(ours.remote_endpoint(), address::local_of(peer.get()));
        EXPECT_EQ(ours.local_endpoint(), address::remote_of(peer.get()));
        EXPECT_EQ(ours.remote_endpoint().host(), "127.0.0.1");
        co_return;
    });
}

awaitable<void> write_all(stream& to, const std::string& text) {
    EXPECT_EQ(*co_await to.write(asio::buffer(text)), text.size());
    to.shutdown_write();
}

awaitable<std::string> read_all(stream& from, std::size_t piece) {
    std::string all;
    std::string part(piece, '\0');
    for (;;) {
        const auto [failed, n] = co_await from.async_read_some(asio::buffer(part), quietly);
        if (failed) {
            EXPECT_EQ(failed, asio::error::eof);
            co_return all;
        }
        all.append(part, 0, n);
    }
}

TEST_P(stream_io, megabytes_go_both_ways_at_once_unchanged) {
    run([&]() -> awaitable<void> {
        auto ends = test::raw_unix_pair();
        auto a = stream::adopt(home(), ends.a.release());
        auto b = stream::adopt(home(), ends.b.release());
        const auto forth = pattern(8 << 20, 1);
        const auto back = pattern(8 << 20, 2);
        background(write_all(a, forth));
        background(write_all(b, back));
        std::string at_a;
        event done(home());
        const auto read_a = [&]() -> awaitable<void> {
            at_a = co_await read_all(a, 70000);
            done.set();
        };
        background(read_a());
        const auto at_b = co_await read_all(b, 1000);
        EXPECT_TRUE(co_await done.wait(deadline::after(test::patience)));
        EXPECT_TRUE(at_a == back);
        EXPECT_TRUE(at_b == forth);
        // The end stays the end.
        char c = 0;
        const auto [failed, n] = co_await b.async_read_some(asio::buffer(&c, 1), quietly);
        EXPECT_EQ(failed, asio::error::eof);
    });
}

TEST_P(stream_io, reads_what_came_before_the_end_then_the_end) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::tcp_pair(home());
        peer.send("last words");
        peer.close();
        char text[4];
        std::string all;
        for (int i = 0; i < 3; ++i) {
            all.append(text, *co_await ours.read_some(asio::buffer(text)));
        }
        EXPECT_EQ(all, "last words");
        const auto end = co_await ours.read_some(asio::buffer(text));
        EXPECT_EQ(end.error(), asio::error::eof);
    });
}

TEST_P(stream_io, reports_a_reset_connection_on_both_sides) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::tcp_pair(home());
        const linger hard{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        peer.close();
        char text[4];
        const auto read = co_await ours.read_some(asio::buffer(text));
        EXPECT_EQ(read.error(), asio::error::connection_reset);
        // Neither write raises SIGPIPE.
        const auto write = co_await ours.write(asio::buffer("x", 1));
        EXPECT_EQ(write.error(), asio::error::broken_pipe);
    });
}

TEST_P(stream_io, a_lagging_reader_pauses_receiving_and_loses_nothing) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::tcp_pair(home());
        const auto text = pattern(16 << 20, 9);
        char first = 0;
        std::thread sender([&, fd = peer.get()] {
            std::size_t sent = 0;
            while (sent < text.size()) {
                const auto n = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
                ASSERT_GT(n, 0);
                sent += static_cast<std::size_t>(n);
            }
            ::shutdown(fd, SHUT_WR);
        });
        EXPECT_EQ(co_await ours.async_read_some(asio::buffer(&first, 1)), 1U);
        // Nobody reads for a while: what is held stays below the bound and what one turn may bring.
        const auto& options = home().options();
        std::size_t most = 0;
        for (int i = 0; i < 50; ++i) {
            co_await sleep_for(200us);
            most = std::max(most, ours.available());
        }
        EXPECT_LE(most, options.stream_queue_bytes_max +
                            std::size_t{options.buffer_count} * options.buffer_bytes);
        const auto rest = co_await read_all(ours, 3000);
        sender.join();
        EXPECT_TRUE(std::string(1, first) + rest == text);
    });
}

class few_buffers : public test::loop_test {
protected:
    few_buffers() : loop_test({.entries = 8, .buffer_count = 2, .buffer_bytes = 64}) {}
};
INSULA_ON_EVERY_BACKEND(few_buffers);

awaitable<void> send_and_end(stream& to, const std::string& text) {
    EXPECT_EQ(*co_await to.write(asio::buffer(text)), text.size());
    to.shutdown_write();
}
awaitable<void> receive_and_compare(stream& from, const std::string& text, int& open, event& all) {
    const auto got = co_await read_all(from, 500);
    EXPECT_TRUE(got == text);
    if (--open == 0) {
        all.set();
    }
}

// Buffers run out in every turn (ENOBUFS), the submission queue is always full, completions
// overflow.
TEST_P(few_buffers, many_streams_share_too_few_buffers_and_entries) {
    run([&]() -> awaitable<void> {
        constexpr int count = 60;
        std::vector<std::unique_ptr<stream>> streams;
        std::vector<std::string> texts;
        event all(home());
        int open = count;
        texts.reserve(count);
        for (unsigned i = 0; i < count; ++i) {
            auto ends = test::raw_unix_pair();
            texts.push_back(pattern(20000, i));
            streams.push_back(std::make_unique<stream>(stream::adopt(home(), ends.a.release())));
            streams.push_back(std::make_unique<stream>(stream::adopt(home(), ends.b.release())));
            background(receive_and_compare(*streams[2 * i + 1], texts[i], open, all));
        }
        co_await test::turns(2);
        for (unsigned i = 0; i < count; ++i) {
            background(send_and_end(*streams[2 * i], texts[i]));
        }
        EXPECT_TRUE(co_await all.wait(deadline::after(test::patience)));
        if (GetParam() == backend::io_uring) {
            EXPECT_GT(home().stats().buffers_exhausted, 0U) << "the test did not reach its case";
        }
    });
}

class direct_sends : public test::loop_test {
protected:
    direct_sends() : loop_test({.direct_send = true}) {}
};
INSULA_ON_EVERY_BACKEND(direct_sends);

TEST_P(direct_sends, take_the_ring_only_when_the_socket_is_full) {
    run([&]() -> awaitable<void> {
        auto [ours, peer] = test::tcp_pair(home());
        const std::array<asio::const_buffer, 2> parts{asio::buffer("ab", 2), asio::buffer("cd", 2)};
        EXPECT_EQ(co_await ours.async_write_some(parts), 4U);
        EXPECT_EQ(co_await ours.async_write_some(asio::buffer("e", 1)), 1U);
        EXPECT_EQ(peer.receive(), "abcde");
        const std::string big(32 << 20, 'b');
        ours.expires_at(deadline::after(10ms));
        const auto slow = co_await ours.write(asio::buffer(big));
        EXPECT_EQ(slow.error(), asio::error::timed_out);
    });
}

awaitable<void> serve_http(stream& connection, int requests) {
    boost::beast::flat_buffer buffer;
    for (int i = 0; i < requests; ++i) {
        http::request_parser<http::string_body> parser;
        parser.body_limit(1 << 20);
        co_await http::async_read(connection, buffer, parser, use_awaitable);
        http::response<http::string_body> answer(http::status::ok, 11);
        answer.body() = parser.get().body();
        answer.keep_alive(true);
        answer.prepare_payload();
        co_await http::async_write(connection, answer, use_awaitable);
    }
}

TEST_P(stream_io, carries_beasts_http_both_ways) {
    run([&]() -> awaitable<void> {
        auto ends = test::raw_unix_pair();
        auto client = stream::adopt(home(), ends.a.release());
        auto server = stream::adopt(home(), ends.b.release());
        background(serve_http(server, 20));
        boost::beast::flat_buffer buffer;
        for (int i = 0; i < 20; ++i) {
            http::request<http::string_body> question(http::verb::post, "/echo", 11);
            question.set(http::field::host, "x");
            question.body() = pattern(static_cast<std::size_t>(i) * 9000);
            question.prepare_payload();
            co_await http::async_write(client, question, use_awaitable);
            http::response<http::string_body> answer;
            co_await http::async_read(client, buffer, answer, use_awaitable);
            EXPECT_TRUE(answer.body() == question.body());
        }
    });
}

TEST_P(stream_io, connects_and_says_why_it_cannot) {
    run([&]() -> awaitable<void> {
        auto door = listener::bind(home(), "127.0.0.1:0");
        const auto where = door->local();
        auto client = co_await stream::connect(home(), where, deadline::after(5s));
        auto server = co_await door->accept();
        EXPECT_TRUE(client.has_value() && server.has_value());
        EXPECT_EQ(*co_await client->write(asio::buffer("hi", 2)), 2U);
        char text[4];
        EXPECT_EQ(*co_await server->read_some(asio::buffer(text)), 2U);
        door->close();
        co_await test::turns(3);
        const auto refused = co_await stream::connect(home(), where, deadline::after(5s));
        EXPECT_EQ(refused.error(), asio::error::connection_refused);
        const auto late = co_await stream::connect(home(), where, deadline::after(-1s));
        EXPECT_EQ(late.error(), asio::error::timed_out);
        const auto nowhere = co_await stream::connect(home(), address{}, deadline::never());
        EXPECT_EQ(nowhere.error(), asio::error::invalid_argument);
    });
}

// A listener whose backlog is full answers no SYN: the connection hangs until its deadline.
TEST_P(stream_io, connecting_ends_at_its_deadline) {
    run([&]() -> awaitable<void> {
        auto door = listener::bind(home(), "127.0.0.1:0", {.backlog = 0});
        std::vector<stream> filling;
        error_code end;
        for (int i = 0; i < 10 && !end; ++i) {
            auto one = co_await stream::connect(home(), door->local(), deadline::after(30ms));
            if (one) {
                filling.push_back(std::move(*one));
            } else {
                end = one.error();
            }
        }
        EXPECT_EQ(end, asio::error::timed_out);
    });
}

}  // namespace
}  // namespace insula::runtime
