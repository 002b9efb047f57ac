// What http costs: the pieces alone, and a whole server to be driven by wrk.
//   cmake -S . -B build/bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DINSULA_BENCH=ON
//   ninja -C build/bench http_bench && build/bench/bench/http_bench
//   build/bench/bench/http_bench serve io_uring 127.0.0.1:8081    (or epoll); ends on end of input
//   and prints CPU time wrk -t1 -c64 -d10s http://127.0.0.1:8081/hello
#include "count_allocations.hpp"
#include "http/answer.hpp"
#include "http/reader.hpp"
#include "loopback_clients.hpp"

#include "insula/http/server.hpp"

#include <boost/asio/co_spawn.hpp>

#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <future>
#include <thread>

namespace {

using namespace insula;
using namespace insula::http;
using namespace std::string_view_literals;

struct endpoint {
    http::policy policy;
};
constexpr endpoint anybody{policy::anonymous};

constexpr auto routes = router(std::to_array<route_row<endpoint>>({
    {method::get, "/hello", anybody},
    {method::post, "/hello", anybody, {.body = body_rule::json}},
    {method::get, "/api/v1/users/me", anybody},
    {method::get, "/api/v1/tenants/{slug}", anybody},
    {method::get, "/api/v1/members", anybody},
    {method::get, "/api/v1/invites", anybody},
    {method::get, "/api/v1/audit/logs", anybody},
    {method::get, "/api/v1/audit/logs/entity/{type}/{id}", anybody},
    {method::get, "/api/v1/projects", anybody},
    {method::post, "/api/v1/projects", anybody},
    {method::get, "/api/v1/projects/{id}", anybody},
    {method::patch, "/api/v1/projects/{id}", anybody},
}));

class hello final : public routed_service<routes> {
public:
    runtime::awaitable<result<response>> serve(request&, const route_info&) override {
        co_return response::fixed(200, "application/json", R"({"hello":"world"})");
    }
};

constexpr std::string_view typical =
    "GET /api/v1/projects/0193b5a0-0000-7000-8000-000000000000 HTTP/1.1\r\nHost: localhost:8080\r\n"
    "Authorization: Bearer "
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImExIn0.eyJpc3MiOiJodHRwOi8vbG9jYWxob3N0In0.c2lnbmF0dXJl\r\n"
    "Accept: application/json\r\nUser-Agent: wrk\r\n\r\n";

void report_allocations(benchmark::State& state, std::size_t before) {
    state.counters["allocations"] = static_cast<double>(bench::allocations.load() - before) /
                                    static_cast<double>(state.iterations());
}

void read_request(benchmark::State& state) {
    const limits bounds;
    request_reader reader(bounds);
    const auto once = [&] {
        std::memcpy(reader.prepare().data(), typical.data(), typical.size());
        reader.commit(typical.size());
        if (reader.advance() != request_reader::step::head)
            std::abort();
        reader.accept_body(1024, true);
        if (reader.advance() != request_reader::step::message)
            std::abort();
        reader.next();
    };
    once();
    const auto before = bench::allocations.load();
    for (auto _ : state)
        once();
    report_allocations(state, before);
}
BENCHMARK(read_request);

void parse_header_alone(benchmark::State& state) {
    std::vector<field> fields;
    for (auto _ : state) {
        message_head head;
        fields.clear();
        benchmark::DoNotOptimize(parse_header(typical, 100, head, fields));
    }
}
BENCHMARK(parse_header_alone);

void match_route(benchmark::State& state) {
    std::string_view path = "/api/v1/projects/0193b5a0-0000-7000-8000-000000000000";
    for (auto _ : state) {
        benchmark::DoNotOptimize(path);
        benchmark::DoNotOptimize(routes.match(method::get, path));
    }
}
BENCHMARK(match_route);

void write_response_head(benchmark::State& state) {
    const auto r = response::json(200, R"({"hello":"world"})");
    std::string out;
    write_head(out, r, {"0193b5a0000070008000000000000000", {}, false, false, false});
    const auto before = bench::allocations.load();
    for (auto _ : state) {
        out.clear();
        write_head(out, r, {"0193b5a0000070008000000000000000", {}, false, false, false});
        benchmark::DoNotOptimize(out.data());
    }
    report_allocations(state, before);
}
BENCHMARK(write_response_head);

template <class T>
T wait_for(runtime::loop& home, runtime::awaitable<T> task) {
    std::promise<T> promise;
    boost::asio::co_spawn(
        home.get_executor(), std::move(task), [&](std::exception_ptr thrown, T value) {
            thrown ? promise.set_exception(thrown) : promise.set_value(std::move(value));
        });
    return promise.get_future().get();
}

/// A whole server on a loop and thread of its own.
class running_server {
public:
    explicit running_server(runtime::backend kind)
        : loop_(runtime::make_loop({.kind = kind}).value()),
          server_(service_, options(), metrics_) {
        thread = std::thread([this] { loop_->run(); });
        wait_for(*loop_, server_.start({loop_.get()})).value();
    }
    ~running_server() {
        wait_for(*loop_, server_.stop(runtime::deadline::after(std::chrono::seconds(1))));
        loop_->stop();
        thread.join();
    }
    std::uint16_t port() const { return runtime::address::parse(server_.local())->port; }

private:
    static server_options options() {
        server_options o;
        o.listen = "127.0.0.1:0";
        o.log_requests = false;
        o.limits.requests_per_connection_max = static_cast<std::size_t>(-1);
        return o;
    }
    std::unique_ptr<runtime::loop> loop_;
    hello service_;
    observe::metrics metrics_;
    http::server server_;

public:
    std::thread thread;
};

constexpr auto plain = "GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"sv;
constexpr auto api_like =
    "GET /hello HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\n"
    "Accept: application/json\r\nAuthorization: Bearer "
    "eyJhbGciOiJFUzI1NiIsImtpZCI6IjAxOTNiNWEwIiwidHlwIjoiSldUIn0."
    "eyJhdWQiOiJpbnN1bGEiLCJleHAiOjE3NjQwMDAwMDAsImlhdCI6MTc2Mzk5OTEwMCwiaXNzIjoiaHR0cDovL2xvY2Fsa"
    "G9zdDo4MDgwIiwianRpIjoiMDE5M2I1YTAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAwIiwicm9sZSI6Im93bmVyIiw"
    "ic2lkIjoiMDE5M2I1YTAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAwIiwic3ViIjoiMDE5M2I1YTAtMDAwMC03MDAw"
    "LTgwMDAtMDAwMDAwMDAwMDAwIn0."
    "c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlcw\r\n"
    "X-Request-ID: 0193b5a0-0000-7000-8000-000000000000\r\n\r\n"sv;
constexpr auto not_found = "GET /nothing/here HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"sv;
constexpr auto with_body =
    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    "Content-Length: 34\r\n\r\n{\"name\":\"x\",\"description\":\"a row\"}"sv;
constexpr auto chunked =
    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    "Transfer-Encoding: chunked\r\n\r\n22\r\n{\"name\":\"x\",\"description\":\"a row\"}\r\n0\r\n\r\n"sv;

/// The answer to a request, for its length: of one request on a connection of its own.
std::string answer_to(std::uint16_t port, std::string_view request) {
    const int fd = bench::connect_to(port);
    std::string answer(4096, '\0');
    if (::send(fd, request.data(), request.size(), 0) != static_cast<ssize_t>(request.size()))
        std::abort();
    const auto got = ::recv(fd, answer.data(), answer.size(), 0);
    ::close(fd);
    answer.resize(static_cast<std::size_t>(got));
    return answer;
}

void session_on(benchmark::State& state, runtime::backend kind, std::string_view request,
                int connections, int depth) {
    running_server server(kind);
    const bench::loopback_clients all(server.port(), connections, depth, request,
                                      answer_to(server.port(), request));
    for (int i = 0; i < 10; ++i)
        all.round();  // connections, buffers and frames are there from here on
    const auto before = bench::allocations.load();
    bench::measure_server(state, server.thread, connections * depth, [&] { all.round(); });
    // measure_server() runs ten rounds more than it counts; each round allocates once for the
    // client.
    const auto rounds = static_cast<double>(state.iterations() + 10);
    const auto made = static_cast<double>(bench::allocations.load() - before);
    state.counters["allocations"] = (made / rounds - 1) / (connections * depth);
}
constexpr auto ring = runtime::backend::io_uring;
constexpr auto poll = runtime::backend::epoll;
BENCHMARK_CAPTURE(session_on, plain_io_uring, ring, plain, 64, 1)->UseRealTime();
BENCHMARK_CAPTURE(session_on, plain_epoll, poll, plain, 64, 1)->UseRealTime();
BENCHMARK_CAPTURE(session_on, one_connection_io_uring, ring, plain, 1, 1)->UseRealTime();
BENCHMARK_CAPTURE(session_on, pipelined_io_uring, ring, plain, 64, 16)->UseRealTime();
BENCHMARK_CAPTURE(session_on, api_like_io_uring, ring, api_like, 64, 1)->UseRealTime();
BENCHMARK_CAPTURE(session_on, not_found_io_uring, ring, not_found, 64, 1)->UseRealTime();
BENCHMARK_CAPTURE(session_on, with_body_io_uring, ring, with_body, 64, 1)->UseRealTime();
BENCHMARK_CAPTURE(session_on, chunked_io_uring, ring, chunked, 64, 1)->UseRealTime();

/// One request on a connection of its own that ends with it: accept, session, refusal or answer,
/// close.
void connection_with(benchmark::State& state, std::string_view request) {
    running_server server(ring);
    bench::measure_server(state, server.thread, 1, [&] {
        const int fd = bench::connect_to(server.port());
        std::array<char, 4096> answer;
        if (::send(fd, request.data(), request.size(), 0) < 0)
            std::abort();
        while (::recv(fd, answer.data(), answer.size(), 0) > 0) {
        }
        ::close(fd);
    });
}
BENCHMARK_CAPTURE(connection_with, one_request,
                  "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"sv)
    ->UseRealTime();

double cpu_seconds() {
    rusage u{};
    getrusage(RUSAGE_SELF, &u);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(u.ru_utime) + seconds(u.ru_stime);
}

int serve(std::string_view backend, std::string listen) {
    runtime::loop_options with;
    with.kind = backend == "epoll" ? runtime::backend::epoll : runtime::backend::io_uring;
    const auto loop = runtime::make_loop(with).value();
    hello service;
    observe::metrics metrics;
    server_options options;
    options.listen = std::move(listen);
    options.log_requests = false;
    http::server server(service, options, metrics);
    std::thread thread([&] { loop->run(); });
    wait_for(*loop, server.start({loop.get()})).value();
    char ignored = 0;
    while (::read(STDIN_FILENO, &ignored, 1) > 0) {
    }
    wait_for(*loop, server.stop(runtime::deadline::after(std::chrono::seconds(1))));
    loop->stop();
    thread.join();
    const auto text = metrics.serialize();
    constexpr std::string_view counter =
        "insula_http_request_duration_seconds_count{route=\"/hello\",server=\"public\"} ";
    const auto at = text.find(counter);
    const double requests =
        at == std::string::npos ? 0 : std::stod(text.substr(at + counter.size(), 20));
    std::printf("%.0f requests, %.2f us CPU each, %.2f allocations each\n", requests,
                cpu_seconds() / requests * 1e6,
                static_cast<double>(bench::allocations.load()) / requests);
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 4 && std::string_view(arguments[1]) == "serve")
        return serve(arguments[2], arguments[3]);
    benchmark::Initialize(&count, arguments);
    if (benchmark::ReportUnrecognizedArguments(count, arguments))
        return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
