#pragma once
// A real server on a loop of its own, and the routes the tests ask for.

#include "insula/http/server.hpp"
#include "insula/runtime/event.hpp"
#include "insula/runtime/loop.hpp"

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace insula::http::test {

/// Those this machine offers; epoll always.
std::vector<runtime::backend> backends();

class test_service;

class test_server {
public:
    explicit test_server(runtime::backend kind, server_options options = {},
                         rate_limiter* limiter = nullptr, std::size_t loops = 1);
    ~test_server();

    const std::string& address() const { return server_->local(); }
    http::server& server() { return *server_; }
    std::string metrics() const { return metrics_.serialize(); }
    /// Lets one handler of GET /wait go on.
    void release();  // with one loop only
    /// Until `n` handlers have ever entered GET /wait.
    void await_waiting(std::size_t n);
    std::future<bool> stop(std::chrono::milliseconds until);

private:
    void end_loops();

    std::vector<std::unique_ptr<runtime::loop>> loops_;
    observe::metrics metrics_;
    std::unique_ptr<test_service> service_;
    std::unique_ptr<http::server> server_;
    std::vector<std::thread> threads_;
    bool stopped_ = false;
};

/// Asks again and again until it is true, ten seconds at most.
bool eventually(const std::function<bool()>& condition);

}  // namespace insula::http::test
