// What the runtime costs: CPU time of the serving thread for one request over loopback TCP with 64
// keep-alive connections, on both backends and, for comparison, on Asio's own epoll; and the price
// of crossing threads. Read "server_ns": the time column also contains the client.

#include "insula/runtime/event.hpp"
#include "insula/runtime/listener.hpp"
#include "insula/runtime/loop.hpp"
#include "insula/runtime/post.hpp"
#include "insula/runtime/stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace insula::runtime;

constexpr int connections = 64;
constexpr std::size_t request_bytes = 120;
constexpr std::size_t response_bytes = 160;

// Blocking sockets of the client: all requests go out, then all answers are read.
class clients {
public:
    explicit clients(const address& server) {
        sockaddr_storage to;
        const auto size = server.to(to);
        for (int i = 0; i < connections; ++i) {
            const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
            const int on = 1;
            if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&to), size) != 0) {
                std::abort();
            }
            ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            fds_.push_back(fd);
        }
    }
    ~clients() {
        for (const int fd : fds_) {
            ::close(fd);
        }
    }
    clients(const clients&) = delete;
    clients& operator=(const clients&) = delete;

    void round() const {
        char buffer[response_bytes] = {};
        for (const int fd : fds_) {
            if (::send(fd, buffer, request_bytes, 0) != request_bytes) {
                std::abort();
            }
        }
        for (const int fd : fds_) {
            if (::recv(fd, buffer, response_bytes, MSG_WAITALL) != response_bytes) {
                std::abort();
            }
        }
    }

private:
    std::vector<int> fds_;
};

std::int64_t cpu_ns(std::thread& thread) {
    clockid_t clock{};
    timespec used{};
    if (::pthread_getcpuclockid(thread.native_handle(), &clock) != 0 ||
        ::clock_gettime(clock, &used) != 0) {
        std::abort();
    }
    return used.tv_sec * 1'000'000'000 + used.tv_nsec;
}

void measure(benchmark::State& state, const address& where, std::thread& server) {
    const clients all(where);
    for (int i = 0; i < 10; ++i) {
        all.round();
    }
    const auto before = cpu_ns(server);
    for (auto _ : state) {
        all.round();
    }
    const auto requests = static_cast<double>(state.iterations()) * connections;
    state.counters["server_ns"] = static_cast<double>(cpu_ns(server) - before) / requests;
    state.SetItemsProcessed(static_cast<std::int64_t>(requests));
}

awaitable<void> serve(stream connection) {
    char request[4096];
    const std::string response(response_bytes, 'r');
    for (;;) {
        connection.expires_at(deadline::after(std::chrono::seconds(10)));
        const auto got = co_await connection.read_some(boost::asio::buffer(request));
        if (!got || !co_await connection.write(boost::asio::buffer(response))) {
            co_return;
        }
    }
}

awaitable<void> accept_all(loop& home, listener& door) {
    while (auto connection = co_await door.accept()) {
        boost::asio::co_spawn(home, serve(std::move(*connection)),
                              [](const std::exception_ptr&) {});
    }
}

void requests(benchmark::State& state, backend kind, bool direct) {
    auto made = make_loop({.kind = kind, .direct_send = direct});
    if (!made) {
        state.SkipWithError(std::string(made.error().internal()).c_str());
        return;
    }
    auto& home = **made;
    auto door = listener::bind(home, "127.0.0.1:0");
    boost::asio::co_spawn(home, accept_all(home, *door), [](const std::exception_ptr&) {});
    std::thread server([&] { home.run(); });
    measure(state, door->local(), server);
    home.stop();
    server.join();
}
BENCHMARK_CAPTURE(requests, io_uring_direct_send, backend::io_uring, true)->UseRealTime();
BENCHMARK_CAPTURE(requests, io_uring_ring_send, backend::io_uring, false)->UseRealTime();
BENCHMARK_CAPTURE(requests, epoll, backend::epoll, true)->UseRealTime();

namespace asio = boost::asio;

asio::awaitable<void> asio_serve(asio::ip::tcp::socket connection) {
    char request[4096];
    const std::string response(response_bytes, 'r');
    for (;;) {
        const auto [failed, n] = co_await connection.async_read_some(
            asio::buffer(request), asio::as_tuple(asio::use_awaitable));
        if (failed) {
            co_return;
        }
        co_await asio::async_write(connection, asio::buffer(response), asio::use_awaitable);
    }
}

asio::awaitable<void> asio_accept(asio::ip::tcp::acceptor& door) {
    for (;;) {
        auto connection = co_await door.async_accept(asio::use_awaitable);
        connection.set_option(asio::ip::tcp::no_delay(true));
        asio::co_spawn(door.get_executor(), asio_serve(std::move(connection)), asio::detached);
    }
}

// Asio's io_context on epoll, without any deadline: what is compared against.
void requests_on_asio(benchmark::State& state) {
    asio::io_context context(1);
    asio::ip::tcp::acceptor door(context,
                                 asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    asio::co_spawn(context, asio_accept(door), asio::detached);
    std::thread server([&] { context.run(); });
    auto where = *address::parse("127.0.0.1:" + std::to_string(door.local_endpoint().port()));
    measure(state, where, server);
    context.stop();
    server.join();
}
BENCHMARK(requests_on_asio)->UseRealTime();

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
    auto here = make_loop({.kind = kind});
    auto there = make_loop({.kind = kind});
    if (!here || !there) {
        state.SkipWithError("no such backend here");
        return;
    }
    std::thread other([&] { (*there)->run(); });
    boost::asio::co_spawn(**here, call_across(state, **here, **there),
                          [](const std::exception_ptr&) {});
    (*here)->run();
    (*there)->stop();
    other.join();
}
BENCHMARK_CAPTURE(call_another_loop, io_uring, backend::io_uring)->UseRealTime();
BENCHMARK_CAPTURE(call_another_loop, epoll, backend::epoll)->UseRealTime();

awaitable<void> post_locally(benchmark::State& state, loop& home) {
    for (auto _ : state) {
        co_await boost::asio::post(home.get_executor(), use_awaitable);
    }
    home.stop();
}

void post_and_resume(benchmark::State& state) {
    auto home = make_loop({.kind = backend::epoll});
    boost::asio::co_spawn(**home, post_locally(state, **home), [](const std::exception_ptr&) {});
    (*home)->run();
}
BENCHMARK(post_and_resume);

}  // namespace

BENCHMARK_MAIN();
