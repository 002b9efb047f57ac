// One connection that a gate carries.
#pragma once

#include "support/gate.hpp"

#include <array>
#include <deque>
#include <random>

namespace insula::test {

/// Both ends and what is between them; lives on a thread of its own.
class carried_connection {
public:
    carried_connection(gate& owner, int client, int server, std::uint64_t number);
    ~carried_connection();
    carried_connection(const carried_connection&) = delete;
    carried_connection& operator=(const carried_connection&) = delete;

    /// Until either end, the gate's rules or the gate's end close it.
    void run();

private:
    using clock = std::chrono::steady_clock;

    struct chunk {
        clock::time_point due;
        std::string bytes;
    };
    /// One direction.
    struct lane {
        int from = -1;
        int to = -1;
        std::deque<chunk> between{};
        std::size_t held = 0;  // bytes in `between`
        bool source_ended = false;
        bool told = false;            // the receiver has heard of the end
        std::size_t passed = 0;       // since the rules changed
        clock::time_point free_at{};  // for bytes_per_second
    };

    bool step();
    void wait_for_something();
    /// False: close both ends now.
    bool take(lane& of, const flow& how);
    bool deliver(lane& of, const flow& how);
    static bool has_something(const lane& of);
    bool send_some(lane& of, std::size_t most, const flow& how);
    void corrupt(std::string& bytes, std::size_t every);
    void tell_end(lane& of);
    bool stay_silent();
    bool from_client(std::string& data);
    void name_another_backend(std::string& data);
    void swallow_answer();

    gate& owner_;
    std::uint64_t generation_;  // of rules_
    gate::rules rules_;
    std::uint64_t number_;
    lane up_;    // to the server
    lane down_;  // to the client
    bool marked_ = false;
    bool first_ = true;   // the server has not named its backend
    bool reset_ = false;  // how it is closed
    std::minstd_rand dice_;
};

}  // namespace insula::test
