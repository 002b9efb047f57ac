#pragma once

#include <chrono>
#include <cstddef>

namespace insula::http {

/// Every bound of the HTTP side. Sizes are bytes, times are milliseconds; none of them is
/// "unlimited".
struct limits {
    /// Largest request body (413 `payload_too_large`); a route may ask for less or more.
    std::size_t body_bytes_max = 1024 * 1024;
    /// Request line and all fields together (431 `header_too_large`).
    std::size_t header_bytes_max = 16 * 1024;
    std::size_t fields_max = 100;
    /// One chunk-size line with its extensions (400); RFC 9112 7.1.1 lets a recipient limit them.
    std::size_t chunk_line_bytes_max = 256;
    /// All chunk framing of one message together, beyond one byte in sixteen of its body (400):
    /// tiny chunks with long extensions would else cost far more than the body limit says.
    std::size_t chunk_overhead_bytes_max = 16 * 1024;

    /// From the first byte of a request to the end of its header (408).
    std::chrono::milliseconds header_timeout{10'000};
    /// For the whole body (408).
    std::chrono::milliseconds body_timeout{30'000};
    /// Between requests on a kept connection, and before the first one; then closed without an
    /// answer.
    std::chrono::milliseconds idle_timeout{60'000};
    /// For writing one response; a reader slower than this is cut off.
    std::chrono::milliseconds write_timeout{30'000};
    /// What a handler gets as `request::deadline`, unless its route says otherwise.
    std::chrono::milliseconds request_timeout{30'000};
    /// How long we go on reading (and throwing away) after a refusal, so that the client can read
    /// why.
    std::chrono::milliseconds linger_timeout{1'000};

    /// Memory of all bodies larger than 16 KiB that are held at one time, of one server. Who sends
    /// more meanwhile gets 503 `overloaded`; smaller bodies are always taken.
    std::size_t bodies_bytes_max = 64 * 1024 * 1024;

    /// Of one server, all loops together. Beyond it a new connection takes the place of one that
    /// waits without a request (of the same loop); when none does it gets 503 and is closed.
    std::size_t connections_max = 16 * 1024;
    /// Requests inside handlers at one time. Beyond it 503 `overloaded` with Retry-After, before
    /// any work.
    std::size_t in_flight_max = 1024;
    /// After so many requests the connection is closed (a load balancer then spreads anew).
    std::size_t requests_per_connection_max = 1'000'000;
};

}  // namespace insula::http
