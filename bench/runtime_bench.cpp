// What the runtime costs: CPU time of the serving thread for one keep-alive HTTP request over
// loopback TCP, on both backends and on Asio's own io_context (epoll), all three under one and the
// same coroutine that lets Beast parse; connections accepted; and the price of crossing threads.
// Read "server_ns": the time columns also contain the client.
#include "loopback_clients.hpp"

#include "insula/runtime/event.hpp"
#include "insula/runtime/listener.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/post.hpp"
#include "insula/runtime/stream.hpp"
#include "insula/runtime/timer.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>

#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

namespace {

using namespace insula::runtime;
namespace asio = boost::asio;
namespace http = boost::beast::http;

constexpr std::string_view answer_text =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n"
    "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\r\n{\"status\":\"alive\"}";

// The same for everybody: Beast reads a request from a flat_buffer, keep-alive or not is looked up
// in it, and the answer is written. Ours has a deadline as well; Asio's sockets have none.
template <class Awaitable, class Stream, class Token>
Awaitable serve_http(Stream connection, Token token) {
    boost::beast::flat_buffer buffer;
    try {
        for (;;) {
            http::request_parser<http::empty_body> parser;
            if constexpr (std::is_same_v<Stream, stream>) {
                connection.expires_at(deadline::after(std::chrono::seconds(10)));
            }
            co_await http::async_read(connection, buffer, parser, token);
            co_await asio::async_write(connection, asio::buffer(answer_text), token);
            if (!parser.get().keep_alive()) {
                co_return;
            }
        }
    } catch (const boost::system::system_error&) {
        // the client has left
    }
}

// Without HTTP: what was read counts as one request.
awaitable<void> serve_octets(stream connection) {
    char request[4096];
    for (;;) {
        connection.expires_at(deadline::after(std::chrono::seconds(10)));
        const auto got = co_await connection.read_some(asio::buffer(request));
        if (!got || !co_await connection.write(asio::buffer(answer_text))) {
            co_return;
        }
    }
}

awaitable<void> close_at_once(stream connection) {
    co_await connection.close();
}

awaitable<void> accept_all(loop& home, listener& door, awaitable<void> (*serve)(stream)) {
    while (auto connection = co_await door.accept()) {
        asio::co_spawn(home, serve(std::move(*connection)), [](const std::exception_ptr&) {});
    }
}

awaitable<void> serve_beast(stream connection) {
    return serve_http<awaitable<void>>(std::move(connection), use_awaitable);
}

/// A loop that serves, on a thread of its own.
class our_server {
public:
    our_server(backend kind, awaitable<void> (*serve)(stream), bool direct_send = false)
        : home_(make_loop({.kind = kind, .direct_send = direct_send}).value()),
          door_(listener::bind(*home_, "127.0.0.1:0").value()) {
        asio::co_spawn(*home_, accept_all(*home_, door_, serve), [](const std::exception_ptr&) {});
        thread = std::thread([this] { home_->run(); });
    }
    ~our_server() {
        home_->stop();
        thread.join();
    }
    std::uint16_t port() const { return door_.local().port; }

private:
    std::unique_ptr<loop> home_;
    listener door_;

public:
    std::thread thread;
};

using asio_executor = asio::io_context::executor_type;
using asio_task = asio::awaitable<void, asio_executor>;
using asio_socket = asio::basic_stream_socket<asio::ip::tcp, asio_executor>;
using asio_acceptor = asio::basic_socket_acceptor<asio::ip::tcp, asio_executor>;
constexpr asio::use_awaitable_t<asio_executor> asio_token;

asio_task asio_accept(asio_acceptor& door) {
    for (;;) {
        asio_socket connection = co_await door.async_accept(asio_token);
        connection.set_option(asio::ip::tcp::no_delay(true));
        asio::co_spawn(door.get_executor(),
                       serve_http<asio_task>(std::move(connection), asio_token), asio::detached);
    }
}

/// Asio's io_context with one thread and told so, executors not type-erased.
class asio_server {
public:
    asio_server() {
        asio::co_spawn(context_, asio_accept(door_), asio::detached);
        thread = std::thread([this] { context_.run(); });
    }
    ~asio_server() {
        context_.stop();
        thread.join();
    }
    std::uint16_t port() const { return door_.local_endpoint().port(); }

private:
    asio::io_context context_{1};
    asio_acceptor door_{context_, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0)};

public:
    std::thread thread;
};

using insula::bench::loopback_clients;

template <class Server>
void measure(benchmark::State& state, Server& server) {
    const auto connections = static_cast<int>(state.range(0));
    const auto depth = static_cast<int>(state.range(1));
    const loopback_clients all(server.port(), connections, depth,
                               "GET /livez HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", answer_text);
    insula::bench::measure_server(state, server.thread, connections * depth, [&] { all.round(); });
}

void http_on(benchmark::State& state, backend kind) {
    our_server server(kind, &serve_beast);
    measure(state, server);
}
void http_on_asio(benchmark::State& state) {
    asio_server server;
    measure(state, server);
}
void octets_on(benchmark::State& state, backend kind, bool direct_send) {
    our_server server(kind, &serve_octets, direct_send);
    measure(state, server);
}

// Connections, requests sent at once on each.
void shapes(benchmark::internal::Benchmark* b) {
    b->Args({1, 1})->Args({64, 1})->Args({512, 1})->Args({64, 16})->UseRealTime();
}
BENCHMARK_CAPTURE(http_on, io_uring, backend::io_uring)->Apply(shapes);
BENCHMARK_CAPTURE(http_on, epoll, backend::epoll)->Apply(shapes);
BENCHMARK(http_on_asio)->Apply(shapes);
BENCHMARK_CAPTURE(octets_on, io_uring, backend::io_uring, false)->Args({64, 1})->UseRealTime();
BENCHMARK_CAPTURE(octets_on, io_uring_direct_send, backend::io_uring, true)
    ->Args({64, 1})
    ->UseRealTime();
BENCHMARK_CAPTURE(octets_on, epoll, backend::epoll, true)->Args({64, 1})->UseRealTime();

// A connection made, accepted, and closed by both sides.
void accept_on(benchmark::State& state, backend kind) {
    our_server server(kind, &close_at_once);
    insula::bench::measure_server(state, server.thread, 1, [&] {
        const int fd = insula::bench::connect_to(server.port());
        char nothing = 0;
        (void)!::recv(fd, &nothing, 1, 0);
        ::close(fd);
    });
}
BENCHMARK_CAPTURE(accept_on, io_uring, backend::io_uring)->UseRealTime();
BENCHMARK_CAPTURE(accept_on, epoll, backend::epoll)->UseRealTime();

// A coroutine on one loop calls one on another and waits for its answer.
awaitable<int> answer() {
    co_return 42;
}

awaitable<void> call_across(benchmark::State& state, loop& home, loop& other) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(co_await run_on(other, answer));
    }
    home.stop();
}

void call_another_loop(benchmark::State& state, backend kind) {
    auto here = make_loop({.kind = kind}).value();
    auto there = make_loop({.kind = kind}).value();
    std::thread other([&] { there->run(); });
    asio::co_spawn(*here, call_across(state, *here, *there), [](const std::exception_ptr&) {});
    here->run();
    there->stop();
    other.join();
}
BENCHMARK_CAPTURE(call_another_loop, io_uring, backend::io_uring)->UseRealTime();
BENCHMARK_CAPTURE(call_another_loop, epoll, backend::epoll)->UseRealTime();

awaitable<void> post_locally(benchmark::State& state, loop& home) {
    for (auto _ : state) {
        co_await asio::post(home.get_executor(), use_awaitable);
    }
    home.stop();
}

void post_and_resume(benchmark::State& state) {
    const auto home = make_loop({.kind = backend::epoll}).value();
    asio::co_spawn(*home, post_locally(state, *home), [](const std::exception_ptr&) {});
    home->run();
}
BENCHMARK(post_and_resume);

// A wait that is over at once, beside as many others that are not.
awaitable<void> wait_often(benchmark::State& state, loop& home) {
    timer many(home);
    for (std::int64_t i = 0; i < state.range(0); ++i) {
        asio::co_spawn(
            home, many.wait(deadline::after(std::chrono::hours(1) + i * std::chrono::seconds(1))),
            [](const std::exception_ptr&, bool) {});
    }
    co_await asio::post(home.get_executor(), use_awaitable);
    timer alarm(home);
    for (auto _ : state) {
        benchmark::DoNotOptimize(co_await alarm.wait({home.now()}));
    }
    many.cancel();
    home.stop();
}

void timer_expires(benchmark::State& state) {
    const auto home = make_loop({.kind = backend::epoll}).value();
    asio::co_spawn(*home, wait_often(state, *home), [](const std::exception_ptr&) {});
    home->run();
}
BENCHMARK(timer_expires)->Arg(0)->Arg(10'000);

}  // namespace

BENCHMARK_MAIN();
