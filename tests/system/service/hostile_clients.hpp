// Clients that mean no good, as data: what each of many connections sends at first, then drop by
// drop, whether it reads, and what it does when it was cut off.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

namespace insula::test {

struct attack {
    std::string name;
    std::size_t connections = 0;
    std::string opening;     ///< sent at once on each connection
    std::string drip;        ///< sent on each connection ten times a second, for ever
    bool reads = false;      ///< else answers stay in the sockets
    bool reopens = false;    ///< comes again when it was closed
    bool hangs_up = false;   ///< closes by itself ten times a second, and comes again
    int receive_buffer = 0;  ///< SO_RCVBUF, 0 for the system's
};

/// Runs one attack in a thread of the lowest priority, until destruction. All connections have been
/// opened, and the opening sent as far as it was taken, when the constructor returns.
class attackers {
public:
    attackers(const std::string& address, attack what);
    ~attackers();
    attackers(const attackers&) = delete;
    attackers& operator=(const attackers&) = delete;

    /// Connections that the server closed so far.
    std::size_t cut_off() const { return cut_off_; }
    /// Bytes that came back.
    std::size_t read_bytes() const { return read_bytes_; }
    /// Begin of an answer that one of them got, for messages of failed tests.
    std::string sample() const { return sample_; }

private:
    struct connection {
        int socket = -1;
        std::size_t sent = 0;  // of the opening
    };
    void open(connection& one);
    void work(connection& one);
    bool push(connection& one);
    bool pull(connection& one);
    void run(const std::stop_token& end);

    std::string address_;
    attack what_;
    std::vector<connection> all_;
    std::atomic<std::size_t> cut_off_{0};
    std::atomic<std::size_t> read_bytes_{0};
    std::string sample_;
    std::jthread thread_;
};

/// Raises this process's limit of open files; how many it may have now.
std::size_t raise_descriptor_limit();

}  // namespace insula::test
