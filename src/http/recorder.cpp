#include "http/recorder.hpp"

#include <fmt/format.h>

namespace insula::http {

recorder::recorder(const service& s, const std::string& server, const limits& bounds,
                   observe::metrics& m)
    : service_(s), server_(server), metrics_(m), routes_(s.route_count() + 1) {
    const observe::labels mine{{"server", server}};
    for (std::size_t i = 1; i < refused_.size(); ++i) {
        refused_[i] = &m.counter(
            "insula_http_refused_total",
            "Messages the framing guard, a size limit or a deadline refused",
            {{"server", server}, {"reason", std::string(name(static_cast<refusal>(i)))}});
    }
    refused_[0] = refused_[1];
    connections_refused_ = &m.counter("insula_http_connections_refused_total",
                                      "Connections beyond connections_max", mine);
    requests_refused_ =
        &m.counter("insula_http_overloaded_total", "Requests beyond in_flight_max", mine);
    rate_limited_ = &m.counter("insula_http_rate_limited_total",
                               "Requests refused by a per-address rate limit", mine);
    slow_readers_ = &m.counter("insula_http_write_failed_total",
                               "Responses not taken in time or by a closed connection", mine);
    idle_closed_ = &m.counter("insula_http_idle_closed_total",
                              "Kept connections closed by the idle limit", mine);
    evicted_ = &m.counter("insula_http_evicted_total",
                          "Waiting connections closed to make room for new ones", mine);
    accepted_ = &m.counter("insula_http_connections_total", "Connections accepted", mine);
    // The callbacks may be called after this server is gone: they hold the numbers, not the server.
    const auto numbers = load_;
    m.gauge_from("insula_http_connections", "Open connections", mine, [numbers] {
        return static_cast<double>(numbers->connections.load(std::memory_order_relaxed));
    });
    m.gauge_from("insula_http_in_flight", "Requests inside handlers", mine, [numbers] {
        return static_cast<double>(numbers->in_flight.load(std::memory_order_relaxed));
    });
    m.gauge_from(
        "insula_http_body_bytes", "Memory of request bodies larger than 16 KiB", mine, [numbers] {
            return static_cast<double>(numbers->body_bytes.load(std::memory_order_relaxed));
        });
    m.gauge("insula_http_body_bytes_max", "Limit of insula_http_body_bytes", mine)
        .set(static_cast<double>(bounds.bodies_bytes_max));
    m.gauge("insula_http_connections_max", "Limit of insula_http_connections", mine)
        .set(static_cast<double>(bounds.connections_max));
    m.gauge("insula_http_in_flight_max", "Limit of insula_http_in_flight", mine)
        .set(static_cast<double>(bounds.in_flight_max));
}

std::string recorder::label(std::size_t route) const {
    return route < service_.route_count() ? std::string(service_.route(route).pattern) : "none";
}

/// Two threads may both look it up the first time; the metrics give both the same instrument.
observe::counter& recorder::requests_of(std::size_t route, unsigned status_class) {
    auto& slot = routes_[route].by_class[status_class];
    if (auto* known = slot.load(std::memory_order_acquire))
        return *known;
    const auto verb = route < service_.route_count() ? name(service_.route(route).method)
                                                     : std::string_view("any");
    auto& made = metrics_.counter("insula_http_requests_total", "Requests answered",
                                  {{"server", server_},
                                   {"route", label(route)},
                                   {"method", std::string(verb)},
                                   {"status", fmt::format("{}xx", status_class)}});
    slot.store(&made, std::memory_order_release);
    return made;
}

observe::histogram& recorder::duration_of(std::size_t route) {
    auto& slot = routes_[route].duration;
    if (auto* known = slot.load(std::memory_order_acquire))
        return *known;
    auto& made = metrics_.histogram("insula_http_request_duration_seconds",
                                    "From the complete header to the written response",
                                    {{"server", server_}, {"route", label(route)}});
    slot.store(&made, std::memory_order_release);
    return made;
}

void recorder::answered(std::size_t route, unsigned status, std::chrono::nanoseconds took) {
    const auto status_class = status / 100 < 6 ? status / 100 : 5;
    requests_of(route, status_class).add();
    duration_of(route).observe(took);
}

}  // namespace insula::http
