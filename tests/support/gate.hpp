// A gate between the product and PostgreSQL: passes, slices, holds, cuts, or pretends to be a
// pooler.
#pragma once

#include "support/postgres.hpp"

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace insula::test {

class gate {
public:
    enum class mode {
        pass,
        one_byte,         ///< every byte travels alone, both ways
        hold,             ///< accepts and passes nothing
        refuse,           ///< closes what connects, and what is connected
        pooler,           ///< names another backend at the start than the one that answers
        cut_before_sync,  ///< a message with `needle` never reaches the server
        cut_after_sync,   ///< it does, and its answer is swallowed
        hold_marked,      ///< as hold, for connections that ever sent `needle`; the others pass
        refuse_marked,    ///< as refuse, for those
    };

    explicit gate(cluster& behind);
    ~gate();
    gate(const gate&) = delete;
    gate& operator=(const gate&) = delete;

    void set(mode how) { mode_ = how; }
    /// For the cuts: what the client must send to spring them. They spring once, then everything
    /// passes. For the marks: set before they connect.
    void set_needle(std::string text);
    bool sprung() const { return sprung_; }
    /// How many connections it carries at the moment.
    int carried() const { return carried_; }
    /// Where it listens, on port 5432.
    const std::string& folder() const { return folder_.path(); }
    /// The conninfo with this gate in place of the server.
    std::string conninfo(const std::string& database, const std::string& role) const;

private:
    void accept_loop();
    void carry(int client);
    /// False: cut both sides now.
    bool from_client(int client, int server, bool& marked);
    bool from_server(int server, int client, bool& first);
    bool contains_needle(const std::string& data);

    temporary_folder folder_;
    std::string target_;
    int listening_ = -1;
    std::atomic<mode> mode_{mode::pass};
    std::atomic<bool> stop_{false};
    std::atomic<bool> sprung_{false};
    std::atomic<int> carried_{0};
    std::mutex mutex_;
    std::string needle_;                // under mutex_
    std::vector<std::thread> threads_;  // of accept_loop() only, until it has ended
    std::thread acceptor_;
};

}  // namespace insula::test
