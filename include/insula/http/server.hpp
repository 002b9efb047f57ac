#pragma once

#include "insula/core/error.hpp"
#include "insula/http/client_address.hpp"
#include "insula/http/limits.hpp"
#include "insula/http/rate_limit.hpp"
#include "insula/http/service.hpp"
#include "insula/observe/metrics.hpp"
#include "insula/runtime/deadline.hpp"
#include "insula/runtime/executor.hpp"
#include "insula/runtime/loop.hpp"

#include <memory>
#include <string>
#include <vector>

namespace insula::http {

struct server_options {
    std::string listen = "127.0.0.1:8080";  // "127.0.0.1:0", "[::1]:8080", "unix:/path"
    std::string name = "public";            // label of the metrics: "public", "admin"
    http::limits limits;
    trusted_proxies proxies;
    std::vector<std::string> cors_origins;  // exact origins ("https://app.example"), or "*"
    // One access line per request (level info); 5xx are logged anyway, refusals are counted anyway.
    bool log_requests = true;
};

/// One listener and accept loop per runtime loop (SO_REUSEPORT), all of one address. `s`, `m`,
/// `limiter` and the loops must outlive it.
class server {
public:
    /// `limiter` may be null: nothing is limited.
    server(service& s, server_options options, observe::metrics& m,
           rate_limiter* limiter = nullptr);
    /// Must be stopped, or never started.
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    /// Binds (port 0: the kernel chooses one, the same for all loops) and starts accepting on each
    /// of the loops, which must be running. Awaited on any of them, once. Error: internal, with the
    /// reason in internal(); then nothing was started and stop() is not needed.
    runtime::awaitable<result<>> start(std::vector<runtime::loop*> loops);

    /// From now on /readyz may say so and every response carries `Connection: close`; accepting
    /// goes on (a load balancer needs a moment to notice). Any thread.
    void drain() noexcept;
    bool draining() const noexcept;

    /// Stops accepting, closes idle connections at once, lets running requests finish until `d`,
    /// then closes the rest. True when everything finished by itself. Awaited on any loop; once.
    runtime::awaitable<bool> stop(runtime::deadline d);

    /// "127.0.0.1:43210" after start().
    const std::string& local() const noexcept;
    std::size_t connections() const noexcept;
    std::size_t in_flight() const noexcept;

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace insula::http
