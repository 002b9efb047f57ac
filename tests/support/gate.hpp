// A gate between two programs, the product and PostgreSQL or a client and the product: passes
// bytes on, or does to them what networks do.
#pragma once

#include "support/postgres.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace insula::test {

/// What happens to the bytes of one direction.
struct flow {
    bool hold = false;                  ///< nothing is taken
    std::size_t slice = 0;              ///< every so many bytes travel alone; 0: as they come
    std::chrono::milliseconds delay{};  ///< each byte arrives so much later
    std::size_t bytes_per_second = 0;   ///< 0: as fast as they come
    std::size_t corrupt_every = 0;      ///< one bit of about so many bytes is another; 0: none
    std::size_t reset_after = 0;        ///< both ends get a reset after so many bytes; 0: never
    bool half_close = false;            ///< its receiver hears an end; the other way goes on

    bool operator==(const flow&) const = default;
};

/// What happens to connections, those there are and those to come.
struct fault {
    enum class door : std::uint8_t {
        open,
        closes,  ///< accepts and closes; and closes what is open
        gone,    ///< nobody listens; and closes what is open
    };
    door entry = door::open;
    flow to_server{};
    flow to_client{};

    static fault both_ways(const flow& how) {
        return {.entry = door::open, .to_server = how, .to_client = how};
    }
};

/// Where somebody listens: a socket's path, or a port of 127.0.0.1 (0: any).
struct endpoint {
    std::string path;
    int port = 0;
};

class gate {
public:
    /// Faults by name, and those that need to know PostgreSQL's protocol.
    enum class mode {
        pass,
        one_byte,         ///< every byte travels alone, both ways
        hold,             ///< accepts and passes nothing
        refuse,           ///< closes what connects, and what is connected
        pooler,           ///< names another backend at the start than the one that answers
        cut_before_sync,  ///< a message with `needle` never reaches the server
        cut_after_sync,   ///< it does, and its answer is swallowed
        cut_for_good,     ///< as cut_after_sync; and before anybody can come back, refuse
        hold_marked,      ///< as hold, for connections that ever sent `needle`; the others pass
        refuse_marked,    ///< as refuse, for those
    };

    /// A socket in a folder of its own, before PostgreSQL's socket.
    explicit gate(cluster& behind);
    /// Any two ends.
    gate(endpoint listens, endpoint behind);
    ~gate();
    gate(const gate&) = delete;
    gate& operator=(const gate&) = delete;

    void set(mode how);
    void set(const fault& how);
    /// Every connection there is falls silent for good, as when a firewall forgets it; what comes
    /// from now on passes.
    void strand();
    /// For the cuts: what the client must send to spring them. They spring once, then everything
    /// passes. For the marks: set before they connect.
    void set_needle(std::string text);
    bool sprung() const { return sprung_; }
    /// How often it did to somebody what it was told, since it was told.
    std::size_t deeds() const { return deeds_; }
    /// How many connections it carries at the moment.
    int carried() const { return carried_; }
    /// How many were attempted, of those that found somebody listening.
    std::size_t attempts() const;
    /// The most attempts within any second since the moment.
    std::size_t most_attempts_a_second(std::chrono::steady_clock::time_point since) const;
    /// Where it listens: port 5432 in the folder, or "127.0.0.1:port".
    const std::string& folder() const { return folder_.path(); }
    std::string address() const { return "127.0.0.1:" + std::to_string(listens_.port); }
    /// The conninfo with this gate in place of the server.
    std::string conninfo(const std::string& database, const std::string& role) const;

private:
    friend class carried_connection;
    struct rules {
        mode how = mode::pass;
        fault what;
        std::uint64_t stranded = 0;  // connections up to this number are silent
        std::string needle;
    };

    void begin();
    void change(const std::function<void(rules&)>& how);
    rules current() const;
    void open_door();
    void accept_loop();
    void accept_one();
    int connect_behind() const;

    temporary_folder folder_;
    endpoint listens_;
    endpoint behind_;
    int listening_ = -1;  // of the constructor, then of accept_loop()
    std::atomic<bool> stop_{false};
    std::atomic<bool> sprung_{false};
    std::atomic<int> carried_{0};
    std::atomic<std::size_t> deeds_{0};
    std::atomic<std::uint64_t> generation_{0};  // counts the changes of rules_
    mutable std::mutex mutex_;
    rules rules_;                                                  // under mutex_
    std::vector<std::chrono::steady_clock::time_point> attempts_;  // under mutex_
    std::uint64_t numbers_ = 0;                                    // of connections; under mutex_
    std::vector<std::thread> threads_;  // of accept_loop() only, until it has ended
    std::thread acceptor_;
};

}  // namespace insula::test
