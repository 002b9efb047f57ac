#include "test_server.hpp"

#include "insula/core/json_writer.hpp"
#include "insula/runtime/post.hpp"

#include <boost/asio/co_spawn.hpp>

#include <condition_variable>
#include <functional>
#include <mutex>

namespace insula::http::test {
namespace {

using answer = runtime::awaitable<result<response>>;
using handler = answer (*)(test_service&, request&);

struct endpoint {
    http::policy policy;
    handler call;
};
constexpr endpoint anybody(handler h) {
    return {policy::anonymous, h};
}

answer ok(test_service&, request&) {
    co_return response::json(200, "{}");
}
answer marker(test_service&, request&) {
    co_return response::json(200, R"("marker")");
}
answer echo(test_service&, request& r) {
    co_return response(200, "text/plain", std::string(r.body));
}
answer empty(test_service&, request&) {
    co_return response::no_content();
}
answer page(test_service&, request&) {
    co_return response::fixed(200, "text/html", "<p>page</p>")
        .cache_control("max-age=60")
        .content_security_policy("default-src 'self'");
}
answer large(test_service&, request& r) {
    co_return response(
        200, "text/plain",
        std::string(std::stoul(std::string(r.query.find("bytes").value_or("0"))), 'x'));
}
answer throws(test_service&, request&) {
    throw std::runtime_error("secret text of a bug");
    co_return response();
}
answer loses(test_service&, request&) {
    throw infrastructure_error("secret database address");
    co_return response();
}
answer fails(test_service&, request&) {
    co_return error(errc::slug_taken, "taken", "secret constraint");
}
answer split(test_service&, request& r) {
    co_return response::no_content().set("Location", r.query.find("to").value_or(""));
}
answer inspect(test_service&, request& r) {
    std::string body;
    json_writer w(body);
    w.begin_object()
        .member("method", name(r.method))
        .member("path", r.path)
        .member("param", r.params[0])
        .member("client", r.client);
    w.member("client_key", r.client_key)
        .member("traceparent", r.traceparent)
        .member("request_id", r.request_id)
        .end_object();
    co_return response::json(200, std::move(body));
}
answer turns(test_service&, request&) {
    co_return response::json(200, std::to_string(runtime::loop::current()->stats().turns));
}
answer waits(test_service& s, request& r);

constexpr auto routes = router(std::to_array<route_row<endpoint>>({
    {method::get, "/ok", anybody(ok)},
    {method::post, "/ok", anybody(ok)},
    {method::get, "/marker", anybody(marker)},
    {method::put, "/echo", anybody(echo)},
    {method::put, "/small", anybody(echo), {.body_bytes_max = 8}},
    {method::post, "/json", anybody(echo), {.body = body_rule::json}},
    {method::delete_, "/json", anybody(echo), {.body = body_rule::optional}},
    {method::get, "/empty", anybody(empty)},
    {method::get, "/page", anybody(page)},
    {method::get, "/large", anybody(large)},
    {method::get, "/throws", anybody(throws)},
    {method::get, "/loses", anybody(loses)},
    {method::get, "/fails", anybody(fails)},
    {method::get, "/split", anybody(split)},
    {method::get, "/inspect/{id}", anybody(inspect)},
    {method::get, "/capability/{secret}", anybody(ok), {.redact_path = true}},
    {method::get, "/limited", anybody(ok), {.rate = "limited"}},
    {method::get, "/turns", anybody(turns)},
    {method::get, "/wait", anybody(waits)},
}));

}  // namespace

class test_service final : public routed_service<routes> {
public:
    explicit test_service(runtime::loop& home) : gate(home) {}

    runtime::awaitable<result<response>> serve(request& r, const route_info& route) override {
        return endpoint(route).call(*this, r);
    }

    runtime::event gate;
    std::mutex mutex;
    std::condition_variable entered;
    std::size_t waiting = 0;
};

namespace {
answer waits(test_service& s, request&) {
    {
        std::lock_guard lock(s.mutex);
        ++s.waiting;
    }
    s.entered.notify_all();
    co_await s.gate.wait(runtime::deadline::never());
    co_return response::json(200, R"("released")");
}

template <class T>
T wait_for(runtime::loop& home, runtime::awaitable<T> task) {
    std::promise<T> promise;
    boost::asio::co_spawn(
        home.get_executor(), std::move(task), [&](std::exception_ptr thrown, T value) {
            thrown ? promise.set_exception(thrown) : promise.set_value(std::move(value));
        });
    return promise.get_future().get();
}
}  // namespace

std::vector<runtime::backend> backends() {
    std::vector all{runtime::backend::epoll};
    if (runtime::choose_backend("io_uring"))
        all.push_back(runtime::backend::io_uring);
    return all;
}

test_server::test_server(runtime::backend kind, server_options options, rate_limiter* limiter,
                         std::size_t loops) {
    runtime::loop_options with;
    with.kind = kind;
    std::vector<runtime::loop*> homes;
    for (std::size_t i = 0; i < loops; ++i) {
        loops_.push_back(runtime::make_loop(with).value());
        homes.push_back(loops_.back().get());
    }
    service_ = std::make_unique<test_service>(*homes.front());
    if (!options.listen.starts_with("unix:"))
        options.listen = "127.0.0.1:0";
    server_ = std::make_unique<http::server>(*service_, std::move(options), metrics_, limiter);
    for (auto* home : homes)
        threads_.emplace_back([home] { home->run(); });
    if (const auto started = wait_for(*homes.front(), server_->start(homes)); !started) {
        end_loops();
        throw std::runtime_error(std::string(started.error().internal()));
    }
}

test_server::~test_server() {
    if (!stopped_)
        stop(std::chrono::milliseconds(200)).get();
    end_loops();
    server_.reset();
    service_.reset();
}

void test_server::end_loops() {
    for (auto& home : loops_)
        home->stop();
    for (auto& thread : threads_)
        thread.join();
}

void test_server::release() {
    runtime::post(*loops_.front(), [this] { service_->gate.set(); });
}

void test_server::await_waiting(std::size_t n) {
    std::unique_lock lock(service_->mutex);
    if (!service_->entered.wait_for(lock, std::chrono::seconds(10),
                                    [&] { return service_->waiting >= n; })) {
        throw std::runtime_error("the handler was never called");
    }
}

std::future<bool> test_server::stop(std::chrono::milliseconds until) {
    stopped_ = true;
    auto promise = std::make_shared<std::promise<bool>>();
    boost::asio::co_spawn(
        loops_.back()->get_executor(), server_->stop(runtime::deadline::after(until)),
        [promise](std::exception_ptr thrown, bool by_itself) {
            thrown ? promise->set_exception(thrown) : promise->set_value(by_itself);
        });
    return promise->get_future();
}

bool eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::yield();
    }
    return true;
}

}  // namespace insula::http::test
